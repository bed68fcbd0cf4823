"""From small labelled images to a private generator, its images, and a classifier that knows these.

The road is the product's: a cohort, a training, a synthetic cohort. Each image is a patient of its
own, so the unit of a guarantee is one image.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from benchmarks.quality import small_cnn
from benchmarks.quality.bench import CORES
from benchmarks.quality.labelled import CLASSES, LabelledImages
from bussynth import Cohort, atomic
from bussynth.cohort.row import Row
from bussynth.cohort.split import split_cohort
from bussynth.cohort.split_config import SplitConfig
from bussynth.config import RunOptions
from bussynth.generator.config import GenerateConfig, TrainConfig
from bussynth.generator.generate import generate_cohort
from bussynth.generator.generator import Generator
from bussynth.generator.private_plan import plan_private
from privacy.dp import accounting
from privacy.dp.plan import DPPlan

__all__ = ["VOCABULARY", "Run", "calibrated", "make_cohort", "measure"]

# The schema asks for a pathology; "normal" says that there is no lesion box, and none is drawn.
_NORMAL: Final = {"pathology": "normal"}
#: Conditions of the cohort, all of them public.
VOCABULARY: Final = {"label": [str(k) for k in range(CLASSES)], "pathology": ["normal"]}


@dataclass(frozen=True, kw_only=True)
class Run:
    """Settings of one row of the table.

    Attributes:
        train: How the generator is trained.
        images: How many images it makes.
        classifier_steps: How long the classifier learns.
        seed: Of generating and of the classifier.
    """

    train: TrainConfig
    images: int
    classifier_steps: int = small_cnn.STEPS
    seed: int = 0

    @property
    def passes(self) -> float:
        """Forward and backward passes expected, each of one image at one noise level."""
        steps = self.train.steps or 0
        if self.train.private:
            return steps * self.train.expected_patients * self.train.noise_multiplicity
        return steps * (self.train.batch_size or 0)

    @property
    def name(self) -> str:
        """A short name that other settings do not have."""
        content = [self.train.to_dict(), self.images, self.classifier_steps, self.seed]
        digest = hashlib.sha256(atomic.canonical_json(content).encode()).hexdigest()
        epsilon = self.train.dp_epsilon
        return f"{'no-privacy' if epsilon is None else f'epsilon-{epsilon:.4g}'}-{digest[:8]}"


def make_cohort(data: LabelledImages, out: Path) -> Cohort:
    """A cohort of the training images, each of them a patient of its own, all to learn from.

    Args:
        data: The images; those for the test stay outside.
        out: Folder to make; one that is there is opened.
    """
    if not (out / "cohort.json").exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        Cohort.create(out, _rows(data), kind="real", image_size=_size(data), vocabulary=VOCABULARY)
    cohort = Cohort.open(out)
    if cohort.split_record is None:
        cohort = split_cohort(out, SplitConfig(control=0.0, test=0.0, by=("label",), seed=0)).cohort
    return cohort


def _size(data: LabelledImages) -> tuple[int, int]:
    return data.images.shape[1], data.images.shape[2]


def _rows(data: LabelledImages) -> Iterator[Row]:
    for number, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
        yield Row.from_arrays(
            id=f"image-{number:06d}",
            image=image,
            patient=f"image-{number:06d}",
            conditions={"label": str(label), **_NORMAL},
        )


def calibrated(config: TrainConfig, delta: float) -> tuple[TrainConfig, float]:
    """Settings whose noise gives the epsilon wanted at a delta, and that epsilon.

    The product accepts a delta below 1/(10 patients) only. For more patients the noise is that of
    (epsilon, delta) all the same, while the claim is stated at the usual, smaller delta, where its
    epsilon is larger.

    Args:
        config: ``dp_epsilon`` is the one wanted; steps and dp_batch are given.
        delta: The delta wanted.

    Returns:
        Settings to train with, and their epsilon at ``delta``: the one wanted or a little less.
    """
    wanted, usual = config.dp_epsilon or 0.0, config.delta
    if usual >= delta:
        chosen = replace(config, dp_delta=delta)
        return chosen, plan_private(chosen, 1).epsilon
    best, at_delta, guess = config, 0.0, wanted
    for _ in range(5):
        tried = replace(config, dp_epsilon=round(guess, 4), dp_delta=usual)
        found = accounting.epsilon(plan_private(tried, 1).mechanisms, delta).epsilon
        if at_delta < found <= wanted:
            best, at_delta = tried, found
        guess *= 0.999 * wanted / found
        if at_delta > 0.99 * wanted:
            break
    return best, at_delta


def measure(data: LabelledImages, work: Path, run: Run, *, workers: int = CORES) -> dict[str, Any]:
    """Train, generate, classify; the figures are kept in ``WORK/NAME/figures.json``.

    Args:
        data: The images.
        work: Folder of all runs on these images.
        run: The settings.
        workers: Processes to generate with.

    Returns:
        ``correct`` of ``test`` images, seconds of each stage (None if it was stopped and went
        on), and of a private training the claim, its ``noise_multiplier`` and
        ``noise_to_signal``.
    """
    place = work / run.name
    file = place / "figures.json"
    if file.exists():
        kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return kept
    common = make_cohort(data, work / "cohort")
    cohort = common
    if run.train.private:
        # A copy for a ledger of its own: the runs are alternatives, not one release.
        if not (place / "cohort").exists():
            shutil.copytree(common.path, place / "cohort.partial", dirs_exist_ok=True)
            (place / "cohort.partial").rename(place / "cohort")
        cohort = Cohort.open(place / "cohort")
    fresh, start = not (place / "model").exists(), time.monotonic()
    model = Generator.train(cohort, place / "model", run.train)
    trained = time.monotonic()
    made = generate_cohort(
        place / "model",
        place / "synthetic",
        GenerateConfig(n=run.images, seed=run.seed, conditions=_NORMAL),
        options=RunOptions(workers=1 if torch.cuda.is_available() else workers),
    )
    generated = time.monotonic()
    labels = made.table(["label"]).column("label").to_pylist()
    stated = np.array([label is not None for label in labels])
    right = small_cnn.correct(
        made.images()[stated],
        np.array([int(label) for label in labels if label is not None], np.int64),
        data.test_images,
        data.test_labels,
        steps=run.classifier_steps,
        seed=run.seed,
    )
    found: dict[str, Any] = {
        "correct": right,
        "test": len(data.test_labels),
        "training_seconds": trained - start if fresh else None,
        "generating_seconds": generated - trained if fresh else None,
        "steps": model.training["steps"],
        "parameters": model.training["parameters"],
    }
    if run.train.private:
        claim = model.training["privacy"]
        steps = claim["statement"]["mechanisms"][-1]["public"]
        plan = DPPlan(**{one.name: steps[one.name] for one in fields(DPPlan)})
        found |= {
            "epsilon": claim["epsilon"],
            "delta": claim["delta"],
            "noise_multiplier": plan.noise_multiplier,
            "noise_to_signal": plan.noise_to_signal(model.training["parameters"]),
        }
    atomic.write_json(file, found)
    return found
