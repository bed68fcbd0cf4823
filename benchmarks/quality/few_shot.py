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
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.quality.bench import CORES, HEADINGS, Bench, interval, line, table
from bussynth import Cohort
from bussynth.cohort.split import assignment_digest
from bussynth.config import RunOptions
from bussynth.generator.config import AdaptConfig, GenerateConfig, TrainConfig
from bussynth.generator.generator import Generator
from bussynth.quality.config import EvaluateConfig
from bussynth.quality.material import Material
from bussynth.quality.obedience import Judge

__all__ = ["main"]

PATIENTS = (10, 25, 50, 100)
WAYS = ("adapted", "trained on", "from scratch")


def few(real: Cohort, patients: int, out: Path) -> Cohort:
    """A cohort of a few training patients, the same ones in larger draws, and no others."""
    if (out / "cohort.json").exists():
        return Cohort.open(out)
    train = sorted({row.patient for row in real.select("train") if row.patient})
    drawn = set(np.random.default_rng(0).permutation(train)[:patients])

    def write(path: Path, split: dict[str, str] | None) -> Cohort:
        return Cohort.create(
            path,
            (row for row in real.select("train") if row.patient in drawn),
            kind=real.kind,
            image_size=real.image_size,
            vocabulary=real.vocabulary,
            split=split,
            provenance={"drawn_from": real.digest, "patients": patients},
        )

    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        unsplit = write(Path(folder) / "cohort", None)
        return write(out, {"assignment_sha256": assignment_digest([unsplit])})


def downstream(images: Material, real: Cohort) -> str:
    """AUC on real test patients of a classifier of pathology trained on some images."""
    judge = Judge.fit_material(
        images,
        Material.from_cohort(real.select("test")),
        vocabulary=real.vocabulary,
        columns=("pathology",),
        config=EvaluateConfig(),
        workers=CORES,
    )
    found = judge.measure(images).to_dict()["recognition"]
    return interval(found[0]["auc"]["real"], 2) if found else ""


def main() -> None:
    """Draw, train, generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--base", default="builtin:phantom-64")
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--patients", type=int, nargs="*", default=PATIENTS)
    arguments = parser.parse_args()
    bench = Bench.open(arguments.cohort, arguments.work)
    request = GenerateConfig(n=arguments.images, seed=5, steps=12)
    options = RunOptions(device="auto")
    rows: dict[str, list[str]] = {}
    headings = ("steps", *HEADINGS, "downstream AUC")
    for patients in arguments.patients:
        cohort = few(bench.real, patients, arguments.work / "cohorts" / str(patients))
        real = Material.from_cohort(cohort)
        blank = [""] * len(HEADINGS)
        rows[f"{patients}: the real images"] = ["", *blank, downstream(real, bench.real)]
        for way in WAYS:
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
            useful = downstream(Material.from_cohort(made), bench.real)
            rows[f"{patients}: {way}"] = [str(model.training["steps"]), *cells, useful]
            print(table("patients", rows, headings).splitlines()[-1], flush=True)
    print(table("patients", rows, headings))


if __name__ == "__main__":
    main()
