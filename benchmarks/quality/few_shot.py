"""What a base is worth when there are few cases.

    python -m benchmarks.quality.few_shot COHORT WORK --base builtin:phantom-64 [--minutes M]

From the training patients of a real cohort 10, 25, 50 and 100 are drawn; for each number an
adapter is fitted to the base, the base is trained further as a whole, and a network is trained
from scratch, each for the same time on the same patients. A classifier trained on the images of
each, and one trained on the few real images, are tested on real test patients.

Times are equal, so runs must not share the machine with other work.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.quality.bench import HEADINGS, Bench, learned_from, line, subset, table
from bussynth import Cohort
from bussynth.config import RunOptions
from bussynth.generator.config import AdaptConfig, GenerateConfig, TrainConfig
from bussynth.generator.generator import Generator
from bussynth.quality.material import Material

__all__ = ["main"]

PATIENTS = (10, 25, 50, 100)
WAYS = ("adapted", "trained on", "from scratch")


def few(real: Cohort, patients: int, out: Path) -> Cohort:
    """A cohort of a few training patients, the same ones in larger draws, and no others."""
    train = sorted({row.patient for row in real.select("train") if row.patient})
    drawn = set(np.random.default_rng(0).permutation(train)[:patients])
    return subset(real, out, lambda row: row.split == "train" and row.patient in drawn)


def main() -> None:
    """Draw, train, generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--base", default="builtin:phantom-64")
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--patients", type=int, nargs="*", default=PATIENTS)
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=WAYS)
    arguments = parser.parse_args()
    bench = Bench.open(arguments.cohort, arguments.work)
    test = Material.from_cohort(bench.real.select("test"))
    request = GenerateConfig(n=arguments.images, seed=5, steps=12)
    options = RunOptions(device="auto")
    rows: dict[str, list[str]] = {}
    headings = ("steps", *HEADINGS, "downstream AUC")
    for patients in arguments.patients:
        cohort = few(bench.real, patients, arguments.work / "cohorts" / str(patients))
        real = Material.from_cohort(cohort)
        blank = [""] * len(HEADINGS)
        rows[f"{patients}: the real images"] = ["", *blank, learned_from(real, test, bench.real)]
        for way in arguments.ways:
            name = f"{patients}-{way.replace(' ', '-')}"
            folder = arguments.work / "models" / name
            limit = {"minutes": arguments.minutes, "steps": 10**6}
            if way == "adapted":
                model = Generator.adapt(
                    cohort, folder, AdaptConfig(base=arguments.base, **limit), options=options
                )
            else:
                base = arguments.base if way == "trained on" else None
                config = TrainConfig(preset="small-64", base=base, **limit)
                model = Generator.train(cohort, folder, config, options=options)
            made = bench.generate(model, name, request)
            cells = line(bench.measure(made, name))
            useful = learned_from(Material.from_cohort(made), test, bench.real)
            rows[f"{patients}: {way}"] = [str(model.training["steps"]), *cells, useful]
            print(table("patients", rows, headings).splitlines()[-1], flush=True)
    print(table("patients", rows, headings))


if __name__ == "__main__":
    main()
