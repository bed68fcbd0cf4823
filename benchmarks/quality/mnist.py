"""MNIST and Fashion-MNIST under differential privacy, beside the published table.

    python -m benchmarks.quality.mnist FOLDER WORK [--data fashion-mnist] [--epsilon 1 10 inf]
        [--steps N --batch B --draws K --images M]
    python -m benchmarks.quality.mnist --stand-in WORK

FOLDER holds the four standard files (IDX, gzip or not); nothing is downloaded. For each epsilon at
delta 1e-5 a generator is trained privately and from scratch, without public data. A small
classifier learns from its labelled images alone and is tested on the real test images. The unit
of the guarantee is one image: each is a patient of its own. The number of training images counts
as public, and settings are chosen before, on other data. "inf" trains without privacy, with as
many passes.

The product accepts no delta of 1e-5 for 60,000 patients. The noise is that of (epsilon, 1e-5) all
the same; the claim is stated at a smaller delta, where its epsilon is larger. Both are printed.

--stand-in takes the small digits of scikit-learn instead, to try the road without the files; its
figures are NOT comparable with the published ones. Runs are kept in WORK under names that tell
data and settings, and the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from audits.statistics.intervals import wilson
from benchmarks.quality import small_cnn
from benchmarks.quality.bench import CORES, table
from benchmarks.quality.labelled import LabelledImages, read_standard, stand_in
from benchmarks.quality.labelled_run import VOCABULARY, Run, calibrated, measure
from benchmarks.quality.published import DPDM_PASSES, EPSILONS, PUBLISHED
from bussynth.generator.config import PRESET_NAMES, TrainConfig

__all__ = ["main"]

_DELTA: Final = 1e-5
_STANDARD: Final = (60_000, 10_000)
_HEADINGS: Final = (
    "accuracy, %",
    f"epsilon at delta {_DELTA:g}",
    "stated as (epsilon, delta)",
    "noise multiplier",
    "noise to signal",
    "training passes",
    "training, minutes",
    "generating, minutes",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Train, generate, classify, print.

    Args:
        argv: Arguments; those of the process if not given.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.stand_in == (arguments.folder is not None):
        parser.error("give FOLDER WORK, or --stand-in WORK")
    data = stand_in() if arguments.stand_in else read_standard(arguments.folder)
    arguments.batch = arguments.batch or max(1, len(data.labels) // 30)
    arguments.images = arguments.images or len(data.labels)
    sizes = len(data.labels), len(data.test_labels)
    comparable = not arguments.stand_in and sizes == _STANDARD
    _introduce(arguments, data)
    if not comparable:
        print("NOT COMPARABLE with the published table: these are not the standard files.\n")
    rows = {"real images": [_ceiling(data, arguments.classifier_steps), *[""] * 7]}
    print(table("classifier learned from", rows, _HEADINGS), flush=True)
    work: Path = arguments.work / data.digest[:8]
    for epsilon in arguments.epsilon:
        name = "bussynth, no privacy" if np.isinf(epsilon) else f"bussynth, epsilon {epsilon:g}"
        rows[name] = _cells(arguments, data, work, epsilon)
        print(table("", {name: rows[name]}, _HEADINGS).splitlines()[-1], flush=True)
    if comparable:
        print(f"\n{_published(arguments.data)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("folder", type=Path, nargs="?")
    add("work", type=Path)
    add("--stand-in", action="store_true", help="the digits of scikit-learn, in place of FOLDER")
    add("--data", choices=("mnist", "fashion-mnist"), default="mnist", help="what FOLDER holds")
    add("--epsilon", type=float, nargs="+", default=EPSILONS, help="inf is without privacy")
    add("--preset", choices=PRESET_NAMES[1:], default="tiny-32")
    add("--steps", type=int, default=200, help="private steps")
    add("--batch", type=int, help="images expected in a private step; a 30th if not given")
    add("--draws", type=int, default=2, help="draws of noise for each of these images")
    add("--images", type=int, help="synthetic images; as many as real ones if not given")
    add("--learning-rate", type=float, default=1e-2, help="of private training")
    add("--ema-decay", type=float, help="of private training; the preset's if not given")
    add("--warmup-steps", type=int, default=10, help="of private training")
    add("--clip-norm", type=float, default=0.1, help="of private training")
    add("--plain-batch", type=int, default=16, help="images in a step without privacy")
    add("--classifier-steps", type=int, default=small_cnn.STEPS)
    add("--workers", type=int, default=CORES, help="processes that generate")
    return parser


def _introduce(arguments: argparse.Namespace, data: LabelledImages) -> None:
    height, width = data.images.shape[1:]
    print(
        f"{len(data.labels)} images to learn from and {len(data.test_labels)} for the test, "
        f"{width}x{height} pixels; the guarantee is for one image. {arguments.images} synthetic "
        f"images a row; accuracies are of one classifier, with the interval of the test images. "
        f"{CORES} cores."
    )


def _ceiling(data: LabelledImages, steps: int) -> str:
    found = small_cnn.correct(
        data.images, data.labels, data.test_images, data.test_labels, steps=steps
    )
    return _accuracy(found, len(data.test_labels))


def _cells(
    arguments: argparse.Namespace, data: LabelledImages, work: Path, epsilon: float
) -> list[str]:
    """Cells of :data:`_HEADINGS` of one run."""
    train = _settings(arguments, len(data.labels), epsilon)
    claimed = [""] * 4
    if train.private:
        train, reached = calibrated(train, _DELTA)
    run = Run(train=train, images=arguments.images, classifier_steps=arguments.classifier_steps)
    found = measure(data, work, run, workers=arguments.workers)
    if train.private:
        claimed = [
            f"{reached:.3g}",
            f"({found['epsilon']:.3g}, {found['delta']:.1g})",
            f"{found['noise_multiplier']:.3g}",
            f"{found['noise_to_signal']:.2f}",
        ]
    seconds = (found[f"{stage}_seconds"] for stage in ("training", "generating"))
    return [
        _accuracy(found["correct"], found["test"]),
        *claimed,
        f"{run.passes:,.0f}",
        *("" if one is None else f"{one / 60:.1f}" for one in seconds),
    ]


def _settings(arguments: argparse.Namespace, patients: int, epsilon: float) -> TrainConfig:
    # A mirrored digit is none.
    common: dict[str, Any] = {"preset": arguments.preset, "flip": False}
    if np.isinf(epsilon):
        rows, size = arguments.steps * arguments.batch * arguments.draws, arguments.plain_batch
        return TrainConfig(**common, steps=max(1, round(rows / size)), batch_size=size)
    return TrainConfig(
        **common,
        steps=arguments.steps,
        learning_rate=arguments.learning_rate,
        ema_decay=arguments.ema_decay,
        warmup_steps=arguments.warmup_steps,
        clip_norm=arguments.clip_norm,
        images_per_patient=1,
        noise_multiplicity=arguments.draws,
        dp_epsilon=epsilon,
        dp_patients=patients,
        dp_batch=arguments.batch,
        dp_values=VOCABULARY,
    )


def _accuracy(correct: int, total: int) -> str:
    found = wilson(correct, total)
    low, high = 100 * found.low, 100 * found.high
    return f"{100 * correct / total:.1f} ({low:.1f} to {high:.1f})"


def _published(data: str) -> str:
    rows = {
        name: [
            one.public_data,
            *(f"{value:.1f}" for value in getattr(one, data.replace("-", "_"))),
            f"{DPDM_PASSES:,}" if name == "DPDM" else "",
        ]
        for name, one in PUBLISHED.items()
    }
    accuracies = (f"accuracy at epsilon {epsilon:g}, %" for epsilon in EPSILONS)
    return table(f"published, {data}", rows, ("public data", *accuracies, "training passes"))


if __name__ == "__main__":
    main()
