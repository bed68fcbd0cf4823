"""Which parameters to train under differential privacy, and how fast.

    python -m benchmarks.quality.private_targets COHORT WORK [--epsilon E] [--patients N]
        [--steps N] [--batch B] [--draws K] [--only ARM ...]

Noise grows with the number of parameters, what they can express does too. Each arm adapts the same
public base to the same patients with one budget and trains other parts of it; everything else is
equal. All of it on a public data set in the place of a private one: a choice made on the patients
themselves would be a look that no ledger holds.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from benchmarks.quality.bench import HEADINGS, Bench, learned_from, line, table
from benchmarks.quality.few_shot import few
from bussynth.config import RunOptions
from bussynth.generator.config import AdaptConfig, GenerateConfig
from bussynth.generator.generator import Generator
from bussynth.generator.plan import check_adapt
from bussynth.quality.material import Material

__all__ = ["ARMS", "main"]


@dataclass(frozen=True)
class Arm:
    """What is trained, and how.

    Attributes:
        targets: As in ``adapt --targets``.
        rank: Of low-rank updates.
        rate: Learning rate.
        embeddings: Learning rate of condition embeddings over that.
    """

    targets: tuple[str, ...]
    rank: int = 8
    rate: float = 3e-2
    embeddings: float = 1.0


ARMS: dict[str, Arm] = {
    "conditions": Arm(("conditions",)),
    "output": Arm(("conditions", "output")),
    "biases": Arm(("conditions", "biases")),
    "means": Arm(("conditions", "means")),
    "attention rank 8": Arm(("conditions", "attention")),
    "attention rank 2": Arm(("conditions", "attention"), rank=2),
    "convolution rank 1": Arm(("conditions", "convolution"), rank=1),
    "means and biases": Arm(("conditions", "means", "biases")),
    "means and biases, rate 1e-2": Arm(("conditions", "means", "biases"), rate=1e-2),
    "means and biases, rate 1e-1": Arm(("conditions", "means", "biases"), rate=1e-1),
    "attention rank 8, rate 1e-2": Arm(("conditions", "attention"), rate=1e-2),
    "means and biases, conditions kept": Arm(("means", "biases")),
    "means and biases, embeddings 10": Arm(("conditions", "means", "biases"), embeddings=10.0),
    "everything, rank 8": Arm(
        ("conditions", "means", "biases", "attention", "convolution", "projection")
    ),
}


def main() -> None:
    """Adapt, generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--base", default="builtin:phantom-64")
    parser.add_argument("--epsilon", type=float, default=8.0)
    parser.add_argument("--patients", type=int, default=600)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=150)
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--only", nargs="*", choices=ARMS, default=ARMS)
    arguments = parser.parse_args()
    bench = Bench.open(arguments.cohort, arguments.work)
    test = Material.from_cohort(bench.real.select("test"))
    options = RunOptions(device="auto")
    rows: dict[str, list[str]] = {}
    headings = ("parameters", "noise over signal", *HEADINGS, "downstream AUC")
    for arm in arguments.only:
        one, name = ARMS[arm], arm.replace(" ", "-").replace(",", "")
        cohort = few(bench.real, arguments.patients, bench.work / "cohorts" / name)
        config = AdaptConfig(
            base=arguments.base,
            targets=one.targets,
            rank=one.rank,
            learning_rate=one.rate,
            embedding_rate=one.embeddings,
            dp_epsilon=arguments.epsilon,
            dp_patients=arguments.patients,
            dp_batch=arguments.batch,
            noise_multiplicity=arguments.draws,
            steps=arguments.steps,
        )
        plan = check_adapt(cohort, bench.work / "plans" / name, config).private
        model = Generator.adapt(cohort, bench.work / "models" / name, config, options=options)
        made = bench.generate(model, name, GenerateConfig(n=arguments.images, seed=5))
        rows[arm] = [
            f"{model.training['trained_parameters']:,}",
            "" if plan is None else f"{plan.noise_to_signal:.1f}",
            *line(bench.measure(made, name)),
            learned_from(Material.from_cohort(made), test, bench.real),
        ]
        print(table("trained", rows, headings).splitlines()[-1], flush=True)
    print(table("trained", rows, headings))


if __name__ == "__main__":
    main()
