"""What differential privacy for every patient costs in quality.

    python -m benchmarks.quality.private COHORT WORK [--epsilons 1 3 8 10] [--patients 100 600]
        [--ways evolved adapted] [--steps N --batch B --draws K]

From a public base that has seen none of the patients (phantoms by default), on a public data set
in the place of a private one: bred by private votes (``evolve``) and adapted with noise
(``adapt``), at several budgets and numbers of training patients, beside the base as it is. A
classifier of pathology that learned from the images of each row alone is tested on real test
patients.

Each run has a ledger of its own. Its guarantee is for the patients drawn for it; the figures look
at test patients, so in earnest they would stay at the site.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from benchmarks.quality.bench import HEADINGS, Bench, learned_from, line, table
from benchmarks.quality.few_shot import few
from bussynth import Cohort
from bussynth.config import RunOptions
from bussynth.generator.config import AdaptConfig, GenerateConfig
from bussynth.generator.evolution import evolve_cohort
from bussynth.generator.evolution_config import EvolveConfig
from bussynth.generator.generator import Generator
from bussynth.quality.material import Material

__all__ = ["main"]

WAYS = ("evolved", "adapted")


def main() -> None:
    """Breed, adapt, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--base", default="builtin:phantom-64")
    parser.add_argument("--epsilons", type=float, nargs="*", default=(1.0, 3.0, 8.0, 10.0))
    parser.add_argument("--patients", type=int, nargs="*", default=(100, 600))
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=WAYS)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--draws", type=int, default=1)
    arguments = parser.parse_args()
    bench = Bench.open(arguments.cohort, arguments.work)
    test = Material.from_cohort(bench.real.select("test"))
    options = RunOptions(device="auto")
    rows: dict[str, list[str]] = {}

    def add(name: str, made: Cohort) -> None:
        cells = line(bench.measure(made, name))
        rows[name] = [*cells, learned_from(Material.from_cohort(made), test, bench.real)]
        print(table("images", rows, (*HEADINGS, "downstream AUC")).splitlines()[-1], flush=True)

    def evolved(cohort: Cohort, name: str, epsilon: float, patients: int) -> Cohort:
        out = bench.work / "images" / name
        if (out / "cohort.json").exists():
            return Cohort.open(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        config = EvolveConfig(
            base=arguments.base, n=arguments.images, dp_epsilon=epsilon, dp_patients=patients
        )
        return evolve_cohort(cohort, out, config, options=options)

    def adapted(cohort: Cohort, name: str, epsilon: float, patients: int) -> Cohort:
        config = AdaptConfig(
            base=arguments.base,
            dp_epsilon=epsilon,
            dp_patients=patients,
            dp_batch=arguments.batch,
            noise_multiplicity=arguments.draws,
            steps=arguments.steps,
        )
        model = Generator.adapt(cohort, bench.work / "models" / name, config, options=options)
        return bench.generate(model, name, GenerateConfig(n=arguments.images, seed=5))

    make: dict[str, Callable[[Cohort, str, float, int], Cohort]] = {
        "evolved": evolved,
        "adapted": adapted,
    }
    base = Generator.load(arguments.base)
    add("base", bench.generate(base, "base", GenerateConfig(n=arguments.images, seed=5)))
    for patients in arguments.patients:
        for epsilon in arguments.epsilons:
            for way in arguments.ways:
                name = f"{patients}-patients-epsilon-{epsilon:g}-{way}"
                cohort = few(bench.real, patients, bench.work / "cohorts" / name)
                add(name, make[way](cohort, name, epsilon, patients))
    print(table("images", rows, (*HEADINGS, "downstream AUC")))


if __name__ == "__main__":
    main()
