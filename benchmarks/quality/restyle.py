"""What device transfer changes, what it keeps, and whether it helps on other scanners.

    python -m benchmarks.quality.restyle COHORT MODEL WORK --home DEVICE [--strengths S ...]

First table: test images of the home device, rendered as every other device. Networks trained on
real training patients say whether they look like the device asked for, and whether pathology and
lesion box are still there; the first row is the same networks on all real test images as they are.

Second table: a classifier of pathology learns from training images of the home device alone, or
from these and what they become on the other devices, and is tested on real images of the other
devices, of control and test patients, none of whom the model has seen.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.quality.bench import Bench, interval, learned_from, subset, table
from bussynth import Cohort
from bussynth.generator.generator import Generator
from bussynth.generator.restyle import restyle_cohort
from bussynth.generator.restyle_config import RestyleConfig
from bussynth.quality.material import Facts, Material

__all__ = ["main"]

Rows = npt.NDArray[np.bool_]


def part(material: Material, rows: Rows) -> Material:
    """Some images of a material."""
    facts = material.facts
    told = {
        column: tuple(value for value, kept in zip(values, rows, strict=True) if kept)
        for column, values in facts.conditions.items()
    }
    kept = Facts(conditions=told, boxes=facts.boxes[rows], patients=facts.patients[rows])
    return Material(images=material.images[rows], facts=kept)


def joined(materials: Sequence[Material]) -> Material:
    """Materials one after the other, of the same patients by number."""
    facts = [material.facts for material in materials]
    told = {
        column: tuple(value for one in facts for value in one.conditions[column])
        for column in facts[0].conditions
    }
    return Material(
        images=np.concatenate([material.images for material in materials]),
        facts=Facts(
            conditions=told,
            boxes=np.concatenate([one.boxes for one in facts]),
            patients=np.concatenate([one.patients for one in facts]),
        ),
    )


def of_devices(material: Material, devices: Sequence[str]) -> Rows:
    """Which images are of some devices."""
    return np.array([value in devices for value in material.facts.conditions["device"]])


class Study:
    """Real images, the model, and the home device with the others."""

    def __init__(self, bench: Bench, model: str, home: str) -> None:
        self.real, self.work, self.judge = bench.real, bench.work / "restyled", bench.judge
        self.home = home
        self.source = subset(
            self.real, self.work / "home", lambda row: row.conditions.get("device") == home
        )
        self.model = Generator.load(model)
        self.others = tuple(d for d in self.real.vocabulary["device"] if d != home)
        self.split = {
            name: Material.from_cohort(self.real.select(name))
            for name in ("train", "control", "test")
        }

    def restyled(self, split: str, strength: float) -> Material:
        """Images of the home device, as all other devices."""
        out = self.work / f"{split}-{strength:g}"
        if not (out / "cohort.json").exists():
            config = RestyleConfig(to_device=self.others, strength=strength, split=split)
            restyle_cohort(self.source, self.model, out, config)
        return Material.from_cohort(Cohort.open(out))

    def kept(self, strengths: Sequence[float]) -> str:
        """First table."""
        columns = ("device", "pathology")
        rows: dict[str, list[str]] = {}
        for strength in strengths:
            made = self.restyled("test", strength)
            found = self.judge.measure(made).to_dict()
            device, pathology = (
                next(one for one in found["recognition"] if one["column"] == column)
                for column in columns
            )
            figures = (device["balanced_accuracy"], pathology["auc"], found["localisation"]["iou"])
            real = [interval(figure["real"], 2) for figure in figures]
            rows.setdefault("real test images", [str(len(self.split["test"])), *real])
            cells = [interval(figure["synthetic"], 2) for figure in figures]
            rows[f"restyled, strength {strength:g}"] = [str(len(made)), *cells]
        headings = ("images", "device, balanced accuracy", "pathology AUC", "IoU in box")
        return table("test images", rows, headings)

    def useful(self, strengths: Sequence[float]) -> str:
        """Second table."""
        train = self.split["train"]
        # Of the same source as what is rendered from it, so that patients have the same numbers.
        home = Material.from_cohort(self.source.select("train"))
        unseen = [self.split[name] for name in ("control", "test")]
        shift = unseen[0].facts.patients.max() + 1
        facts = unseen[1].facts
        unseen[1] = Material(
            images=unseen[1].images,
            facts=Facts(
                conditions=facts.conditions, boxes=facts.boxes, patients=facts.patients + shift
            ),
        )
        abroad = joined(unseen)
        abroad = part(abroad, of_devices(abroad, self.others))
        ways = {"home device alone": home}
        for strength in strengths:
            ways[f"and restyled, strength {strength:g}"] = joined(
                [home, self.restyled("train", strength)]
            )
        ways["all devices, real (what more data would bring)"] = train
        rows = {}
        for name, images in ways.items():
            cells = [learned_from(images, abroad, self.real, seed=seed) for seed in range(3)]
            rows[name] = [str(len(images)), *cells]
        headings = ("images", *(f"AUC abroad, seed {seed}" for seed in range(3)))
        return table("trained on", rows, headings)


def main() -> None:
    """Render, judge, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cohort", type=Path)
    parser.add_argument("model")
    parser.add_argument("work", type=Path)
    parser.add_argument("--home", required=True)
    parser.add_argument("--strengths", type=float, nargs="*", default=[0.4, 0.55, 0.7])
    arguments = parser.parse_args()
    bench = Bench.open(arguments.cohort, arguments.work)
    study = Study(bench, arguments.model, arguments.home)
    print(study.kept(arguments.strengths), flush=True)
    print()
    print(study.useful(arguments.strengths))


if __name__ == "__main__":
    main()
