"""What protected sampling does to copies and to fidelity, on a model that memorised.

    python -m benchmarks.guard [--patients N] [--steps N] [--images N] [--work FOLDER]

A small generator is trained on few phantoms until most of its images are copies, and samples the
same seeds unguarded, with each guard and with both. The table tells, for each way:

* **draws**: images drawn for each one kept; **left out**: rows of which every draw was rejected;
* **copies**: share of images that correlate above 0.95 with a training image, pixel by pixel,
  mirrored or not. No guard judges by this number. The rows of control images and fresh phantoms
  say what chance does;
* **audit**: share that the copy search of the audit flags as copies of training patients, its
  thresholds set by control patients;
* **FD**: Frechet distance to fresh phantoms in the space of random convolutions; **precision**:
  share of images within the reach of fresh phantoms (Kynkaanniemi et al. 2019, k = 3). The row
  "fresh phantoms" is the floor: as many phantoms that are none of them;
* **time**: processor time an image kept, over that of the unguarded run.

Images of a model that memorised differ little among themselves, which FD counts; compare guarded
with unguarded rows, not with the floor alone. With ``--work`` cohorts and model are kept.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import bussynth
from audits.copies.channel import confirmed
from audits.copies.framings import FramingsChannel, build_reference
from audits.copies.thresholds import calibrate
from audits.features.pixels import pixel_features
from audits.features.random_convolution import RandomConvolutionMap
from audits.settings import AuditSettings
from bussynth.cohort import Cohort
from bussynth.generator.conditions import ConditionEncoder
from bussynth.generator.config import GenerateConfig
from bussynth.generator.diffusion import DenoiserLike
from bussynth.generator.generate import request_conditions
from bussynth.generator.generator import Generator
from bussynth.generator.sampler import initial_noise, sample
from bussynth.generator.seeds import derive_seed
from bussynth.generator.storage import read_model
from bussynth.generator.training import build_denoiser
from bussynth.generator.transform import Haar
from privacy.guard.cpsample import CPSampleGuard
from privacy.guard.redraw import redraw
from privacy.guard.rejection import RejectionGuard

__all__ = ["main"]

Images = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.float64]

SIDE = 32
CONTROLS = 300
FRESH = 1000
COPY = 0.95
ATTEMPTS = 10
BATCH = 64
SEED = 5


@dataclass(frozen=True, eq=False)
class _Real:
    """Images of real patients, here phantoms."""

    images: Images
    patients: list[str]

    @classmethod
    def of(cls, cohort: Cohort) -> _Real:
        rows = [row for batch in cohort.batches(256) for row in batch]
        return cls(np.array([row.image for row in rows]), [row.patient or row.id for row in rows])


class _Model:
    """The generator with an exchangeable denoiser."""

    def __init__(self, folder: Path) -> None:
        stored = read_model(folder)
        self._generator = Generator.load(folder, "cpu")
        self.haar = Haar(stored.architecture.factor)
        self._shape = (stored.architecture.factor**2, *stored.architecture.latent_size)
        self._encoder = ConditionEncoder(stored.vocabulary, stored.architecture.image_size)
        denoiser = build_denoiser(stored.architecture)
        denoiser.load_state_dict(dict(stored.weights))
        self.denoiser: DenoiserLike = denoiser.eval().requires_grad_(False)

    def latents(self, images: Images) -> torch.Tensor:
        """What the denoiser learned from."""
        return self.haar.encode(torch.from_numpy(np.ascontiguousarray(images)))

    @torch.inference_mode()
    def draw(self, denoiser: DenoiserLike, rows: npt.NDArray[np.int64], attempt: int) -> Images:
        """Images of rows; the first attempt is what an unguarded run makes."""
        config, made = GenerateConfig(seed=SEED), []
        for begin in range(0, len(rows), BATCH):
            part = rows[begin : begin + BATCH].tolist()
            again = (attempt,) if attempt else ()
            noise = initial_noise(
                [derive_seed("noise", SEED, row, *again) for row in part], self._shape
            )
            conditions = self._encoder.encode(
                [request_conditions(self._generator, config, row) for row in part]
            )
            latents = sample(denoiser, noise, conditions, torch.ones(len(part)), 20)
            made.append(self.haar.decode(latents).numpy())
        return np.concatenate(made)


@dataclass(frozen=True, eq=False)
class _Measures:
    """How copies and fidelity are measured."""

    train: Images
    fresh: Numbers
    reach: Numbers
    channel: FramingsChannel
    thresholds: Callable[[int], tuple[float, ...]]
    train_patients: int

    @classmethod
    def of(cls, train: _Real, control: _Real, fresh: Images) -> _Measures:
        keys = {key: i for i, key in enumerate(dict.fromkeys(train.patients + control.patients))}
        numbers = np.array([keys[key] for key in train.patients + control.patients])
        reference = build_reference(np.concatenate([train.images, control.images]), numbers)
        channel = FramingsChannel(reference)
        posing = channel.score(control.images, numbers[len(train.images) :])
        none, settings = np.zeros(len(control.images), np.bool_), AuditSettings()
        features = _features(fresh)
        columns = len(channel.columns)
        return cls(
            train.images,
            features,
            np.sort(_distances(features, features), axis=1)[:, 3],
            channel,
            lambda n: calibrate(posing, none, settings, comparisons=n * columns).ratios,
            len(set(train.patients)),
        )

    def cells(self, images: Images) -> str:
        """Copies, audit, FD and precision as cells of the table."""
        library = pixel_features(self.train, SIDE)
        similar = np.maximum(
            *(pixel_features(images, SIDE, mirrored=m) @ library.T for m in (False, True))
        ).max(axis=1)
        scores = self.channel.score(images)
        flagged = confirmed(scores, self.thresholds(len(images)), AuditSettings().copy_distance)
        flagged &= scores.patient < self.train_patients
        features = _features(images)
        within = (_distances(features, self.fresh) <= self.reach).any(axis=1)
        return (
            f"{(similar > COPY).mean():.3f} | {flagged.any(axis=1).mean():.3f} | "
            f"{_frechet(features, self.fresh):.3f} | {within.mean():.2f}"
        )


def _features(images: Images) -> Numbers:
    return RandomConvolutionMap().features(images).astype(np.float64)


def _distances(a: Numbers, b: Numbers) -> Numbers:
    squared = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
    distances: Numbers = np.sqrt(np.maximum(squared, 0.0))
    return distances


def _frechet(a: Numbers, b: Numbers) -> float:
    """Dowson & Landau 1982."""
    one, two = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # The eigenvalues of a product of covariances are real and not negative, but for rounding.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(one @ two).real, 0.0)).sum()
    apart = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    return float(apart + np.trace(one) + np.trace(two) - 2 * roots)


def _accept_all(images: Images) -> npt.NDArray[np.bool_]:
    return np.ones(len(images), np.bool_)


def _prepare(work: Path, patients: int, steps: int) -> tuple[_Real, _Real, _Real, _Model]:
    """Train, control and fresh phantoms, and the model."""
    if not (work / "cohort").exists():
        # The rest of the patients go to test, unused: a control share is at most 0.9.
        total = 2 * CONTROLS
        settings: dict[str, Any] = {"image_size": SIDE, "min_views": 1, "max_views": 1}
        bussynth.phantom(work / "cohort", patients=total, seed=11, **settings)
        bussynth.split(
            work / "cohort", control=CONTROLS / total, test=0.5 - patients / total, seed=1
        )
        bussynth.phantom(work / "fresh", patients=2 * FRESH, seed=12, **settings)
    bussynth.train(
        work / "cohort", work / "model", steps=steps, batch_size=16, flip=False, device="cpu"
    )
    cohort = Cohort.open(work / "cohort")
    sets = [cohort.select(split=name) for name in ("train", "control")]
    train, control, fresh = (_Real.of(part) for part in (*sets, Cohort.open(work / "fresh")))
    return train, control, fresh, _Model(work / "model")


def _run(work: Path, patients: int, steps: int, n: int) -> None:
    train, control, fresh, model = _prepare(work, patients, steps)
    measures = _Measures.of(train, control, fresh.images[:FRESH])
    rejection = RejectionGuard.fit(train.images, control.images, patients=train.patients)
    begin = time.process_time()
    cpsample = CPSampleGuard.fit(model.latents(train.images), train.patients, steps=1000)
    print(
        f"{len(train.images)} training images, {len(control.images)} control images, {n} images "
        f"wanted, {ATTEMPTS} attempts.\n"
        f"Rejection: nominal rate {rejection.describe()['expected_rejections']:.3f}. "
        f"CPSample: {time.process_time() - begin:.0f} s of fitting, labels right by noise level: "
        f"{cpsample.record['accuracy']}.\n"
    )
    print("| way | draws | left out | copies | audit | FD | precision | time |")
    print("|---|---|---|---|---|---|---|---|")
    print(f"| control images | – | – | {measures.cells(control.images)} | – |")
    print(f"| fresh phantoms | – | – | {measures.cells(fresh.images[FRESH : FRESH + n])} | – |")
    guarded, earlier = (
        guard.protected(model.denoiser) for guard in (cpsample, replace(cpsample, tolerance=0.1))
    )
    ways: tuple[tuple[str, DenoiserLike, RejectionGuard | None], ...] = (
        ("unguarded", model.denoiser, None),
        ("rejection", model.denoiser, rejection),
        ("CPSample", guarded, None),
        ("CPSample, rejection", guarded, rejection),
        ("CPSample, tolerance 0.1", earlier, None),
        ("CPSample, tolerance 0.1, rejection", earlier, rejection),
    )
    unguarded = None
    for name, denoiser, guard in ways:
        begin = time.process_time()
        done = redraw(
            partial(model.draw, denoiser),
            _accept_all if guard is None else guard.accept,
            range(n),
            attempts=ATTEMPTS,
        )
        kept = len(done.rows)
        seconds = (time.process_time() - begin) / kept
        unguarded = unguarded or seconds
        print(
            f"| {name} | {done.drawn / kept:.2f} | {done.left_out} | "
            f"{measures.cells(done.images)} | {seconds / unguarded:.1f} |",
            flush=True,
        )


def main() -> None:
    """Parse the arguments, train, sample and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--patients", type=int, default=24, help="training patients, an image each")
    parser.add_argument("--steps", type=int, default=2500, help="of training the generator")
    parser.add_argument("--images", type=int, default=400, help="of each way")
    parser.add_argument("--work", type=Path, help="folder of cohorts and model")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        _run(work, given.patients, given.steps, given.images)


if __name__ == "__main__":
    main()
