"""Time and memory of a complete audit against the limits set for it.

    python -m benchmarks.audit_scale [--synthetic N] [--train N] [--control N] [--size PIXELS]

Made-up images: one smooth layout a patient, speckle of its own an image. The encoders are trained
first and their time is told apart, because it depends on the encoder and not on the audit. Limits:
10,000 synthetic against 10,000 + 10,000 real images at 64 pixels in 10 minutes and 4 GB on two
cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time

import numpy as np
import numpy.typing as npt

__all__ = ["made_up_images", "main"]

_LIMIT_SECONDS = 600.0
_LIMIT_GIGABYTES = 4.0


def made_up_images(
    patients: int, per_patient: int, size: int, seed: int
) -> tuple[npt.NDArray[np.uint8], list[str]]:
    """Draw images that share a layout within each patient.

    Returns:
        uint8 (patients * per_patient, size, size) and the patient key of each.
    """
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    # One profile for all sets: where train and control differ, null comparisons rightly fire.
    profile = np.random.default_rng(0).standard_normal(size)
    depth = gaussian_filter(profile, size / 8)[:, None] * size / 4
    images = np.empty((patients * per_patient, size, size), np.uint8)
    for patient in range(patients):
        layout = gaussian_filter(rng.standard_normal((size, size)), size / 10) * size / 4
        for view in range(per_patient):
            speckle = gaussian_filter(rng.standard_normal((size, size)), 1.0) * 2
            field = depth + layout + speckle
            field = (field - field.mean()) / field.std()
            images[patient * per_patient + view] = np.clip(np.rint(110 + 45 * field), 0, 255)
    keys = [f"{seed}-{i // per_patient}" for i in range(len(images))]
    return images, keys


def main() -> None:
    """Run one audit and print what it took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--synthetic", type=int, default=10_000)
    parser.add_argument("--train", type=int, default=10_000)
    parser.add_argument("--control", type=int, default=10_000)
    parser.add_argument("--per-patient", type=int, default=2)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    from audits.audit import audit_images
    from audits.encoders import train_encoders
    from audits.images import ImageSet
    from audits.settings import AuditSettings

    made = {
        role: made_up_images(count // options.per_patient, options.per_patient, options.size, seed)
        for seed, (role, count) in enumerate(
            (
                ("synthetic", options.synthetic),
                ("train", options.train),
                ("control", options.control),
            )
        )
    }
    synthetic = ImageSet(made["synthetic"][0])
    train, control = (ImageSet(*made[role]) for role in ("train", "control"))
    settings = AuditSettings()
    begun = time.perf_counter()
    threads = len(os.sched_getaffinity(0))
    encoders = train_encoders(train, control, settings, threads=threads)
    trained = time.perf_counter()
    stages: list[tuple[str, float]] = []

    def note(stage: str, done: int, total: int) -> None:
        now = time.perf_counter()
        if stages and now - stages[-1][1] > 1:
            print(f"  {now - stages[-1][1]:7.1f} s  {stages[-1][0]}", flush=True)
        stages.append((stage, now))

    result = audit_images(
        synthetic,
        train,
        control,
        settings=settings,
        randomised_split=True,
        encoders=encoders,
        shards=options.workers,
        threads=threads,
        progress=note,
    )
    ended = time.perf_counter()
    gigabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        json.dumps(
            {
                "images": {role: len(images) for role, (images, _) in made.items()},
                "encoder_seconds": round(trained - begun, 1),
                "audit_seconds": round(ended - trained, 1),
                "share_of_time_limit": round((ended - trained) / _LIMIT_SECONDS, 3),
                "peak_gigabytes": round(gigabytes, 2),
                "share_of_memory_limit": round(gigabytes / _LIMIT_GIGABYTES, 3),
                "verdict": result.verdict.state.value,
                "reasons": result.verdict.reasons,
            }
        )
    )


if __name__ == "__main__":
    main()
