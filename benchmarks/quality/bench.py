"""What all quality benchmarks share: one yardstick, one judge, one line a set of images."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from audits.features.learned.encoder import LearnedMap
from audits.features.learned.pool import pool_digest
from audits.features.random_multiscale import RandomMultiscaleMap
from audits.fidelity.spaces import fidelity_spaces
from bussynth import Cohort, atomic
from bussynth.cohort.row import Row
from bussynth.cohort.split import assignment_digest
from bussynth.config import RunOptions
from bussynth.generator.config import GenerateConfig
from bussynth.generator.generate import generate_cohort
from bussynth.generator.generator import Generator, Sampler
from bussynth.quality import obedience
from bussynth.quality.config import EvaluateConfig
from bussynth.quality.fidelity import Yardstick
from bussynth.quality.fit import Job, Weights
from bussynth.quality.material import Material
from bussynth.quality.obedience import Judge

__all__ = ["CORES", "HEADINGS", "Bench", "interval", "learned_from", "line", "subset", "table"]

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
HEADINGS = (
    "FD learned",
    "FD random",
    "KID random",
    "precision / recall, random",
    "density / coverage, random",
    "pathology AUC",
    "device AUC",
    "IoU in box",
)


@contextmanager
def _kept_networks(file: Path) -> Iterator[None]:
    """Train the networks of a judge once, whatever happens to the benchmark afterwards."""
    usual = obedience.train_all

    def kept(jobs: Sequence[Job], **options: Any) -> list[Weights]:
        if not file.exists():
            trained = usual(jobs, **options)
            named = {f"{i}/{k}": v for i, one in enumerate(trained) for k, v in one.items()}
            atomic.write_bytes(file, save(named))
        found: list[Weights] = [{} for _ in jobs]
        for name, array in load_file(file).items():
            number, _, key = name.partition("/")
            found[int(number)][key] = array
        return found

    obedience.train_all = kept
    try:
        yield
    finally:
        obedience.train_all = usual


@dataclass(frozen=True)
class Bench:
    """A real cohort and what measures images against it.

    Attributes:
        real: The cohort, split by patient.
        work: Folder in which everything is kept.
        yardstick: Feature spaces fitted to its training patients.
        judge: Networks fitted to its training patients.
    """

    real: Cohort
    work: Path
    yardstick: Yardstick
    judge: Judge

    @classmethod
    def open(cls, cohort: Path, work: Path) -> Bench:
        """Fit the yardstick and the judge, or find what an earlier run has fitted."""
        real = Cohort.open(cohort)
        work.mkdir(parents=True, exist_ok=True)
        train = Material.from_cohort(real.select("train"))
        test = Material.from_cohort(real.select("test"))
        file = work / "encoder.safetensors"
        if file.exists():
            digest = pool_digest(train.images)
            spaces = [LearnedMap.load(file, expects=digest), RandomMultiscaleMap()]
        else:
            spaces = fidelity_spaces(train.images, train.facts.patients, seed=0, threads=CORES)
            next(space for space in spaces if isinstance(space, LearnedMap)).save(file)
        columns = [c for c in ("pathology", "device") if c in real.vocabulary]
        with _kept_networks(work / f"judge-{real.digest[7:19]}.safetensors"):
            judge = Judge.fit(real, columns=columns, config=EvaluateConfig(), workers=CORES)
        return cls(real, work, Yardstick(spaces, train, test), judge)

    def generate(self, model: Generator | Sampler, name: str, config: GenerateConfig) -> Cohort:
        """Generate a cohort under a name, or open the one that is there."""
        out = self.work / "images" / name
        if (out / "cohort.json").exists():
            return Cohort.open(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        return generate_cohort(model, out, config, options=RunOptions(device="auto"))

    def measure(self, synthetic: Cohort, name: str) -> dict[str, Any]:
        """All figures of a set of images, kept in ``WORK/figures/NAME.json``."""
        file = self.work / "figures" / f"{name}.json"
        if file.exists():
            kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            return kept
        material = Material.from_cohort(synthetic)
        found = {
            "digest": synthetic.digest,
            "fidelity": [
                space.to_dict()
                for space in self.yardstick.measure(material, seed=0, resamples=1000)
            ],
            "obedience": self.judge.measure(material).to_dict(),
        }
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_json(file, found)
        return found


def subset(real: Cohort, out: Path, wanted: Callable[[Row], bool]) -> Cohort:
    """Some rows of a split cohort as a split cohort of their own, or the one that is there."""
    if (out / "cohort.json").exists():
        return Cohort.open(out)

    def write(path: Path, split: dict[str, str] | None) -> Cohort:
        return Cohort.create(
            path,
            (row for row in real if wanted(row)),
            kind=real.kind,
            image_size=real.image_size,
            vocabulary=real.vocabulary,
            split=split,
            provenance={"drawn_from": real.digest},
        )

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        unsplit = write(Path(folder) / "cohort", None)
        return write(out, {"assignment_sha256": assignment_digest([unsplit])})


def learned_from(images: Material, test: Material, real: Cohort, *, seed: int = 0) -> str:
    """AUC, on real images, of a classifier of pathology that learned from some images.

    Args:
        images: What it learns from.
        test: Real images of patients that nothing learned from.
        real: The cohort with the vocabulary.
        seed: Of the classifier.

    Returns:
        The figure with its interval; nothing where there are too few patients of a kind.
    """
    # No detector is trained where there are no boxes.
    unboxed = (
        Material(images=one.images, facts=replace(one.facts, boxes=np.full((len(one), 4), np.nan)))
        for one in (images, test)
    )
    judge = Judge.fit_material(
        *unboxed,
        vocabulary=real.vocabulary,
        columns=("pathology",),
        config=EvaluateConfig(seed=seed),
        workers=CORES,
    )
    found = judge.measure(test).to_dict()["recognition"]
    return interval(found[0]["auc"]["real"], 2) if found else ""


def interval(figure: Mapping[str, float], digits: int) -> str:
    """A figure with its interval."""
    value, low, high = (f"{figure[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def line(found: Mapping[str, Any], side: str = "synthetic") -> list[str]:
    """Cells of :data:`HEADINGS` for one set of images.

    Args:
        found: Of :meth:`Bench.measure`.
        side: ``"synthetic"``, or ``"floor"`` for real images in their place.
    """
    learned, random = (space[side] for space in found["fidelity"])
    obedience, beside = found["obedience"], "real" if side == "floor" else "synthetic"
    auc = {one["column"]: one["auc"][beside] for one in obedience["recognition"]}
    place = obedience["localisation"]
    return [
        interval(learned["fd"], 1),
        interval(random["fd"], 1),
        f"{random['kid']['value']:.2f}",
        f"{random['precision']['value']:.2f} / {random['recall']['value']:.2f}",
        f"{random['density']['value']:.2f} / {random['coverage']['value']:.2f}",
        *(interval(auc[c], 2) if c in auc else "" for c in ("pathology", "device")),
        "" if place is None else interval(place["iou"][beside], 2),
    ]


def table(first: str, rows: Mapping[str, list[str]], headings: tuple[str, ...] = HEADINGS) -> str:
    """Markdown."""
    lines = [f"| {' | '.join((first, *headings))} |", "|---" * (1 + len(headings)) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join((k, *v))} |" for k, v in rows.items())])
