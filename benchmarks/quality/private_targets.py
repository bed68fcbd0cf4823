"""Which parameters to train under differential privacy, and how fast.

    python -m benchmarks.quality.private_targets COHORT WORK [--epsilon E] [--patients N]
        [--steps N] [--batch B] [--only ARM ...] [--norms]

Noise grows with the number of parameters, what they can express does too. Each arm adapts the same
public base to the same patients with one budget and trains other parts of it; everything else is
equal. All of it on a public data set in the place of a private one: a choice made on the patients
themselves would be a look that no ledger holds. With ``--norms`` it prints, for each arm, how long
the gradients of a few patients are before they are clipped, and trains nothing.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.quality.bench import HEADINGS, Bench, learned_from, line, table
from benchmarks.quality.few_shot import few
from bussynth import Cohort
from bussynth.config import RunOptions
from bussynth.generator.config import AdaptConfig, GenerateConfig
from bussynth.generator.folder import build, load_data
from bussynth.generator.generator import Generator
from bussynth.generator.plan import check_adapt
from bussynth.generator.private_training import patient_losses
from bussynth.generator.transform import Haar
from bussynth.progress import SILENT
from bussynth.quality.material import Material
from privacy.dp.patient_gradient import patient_gradient

__all__ = ["ARMS", "main"]


@dataclass(frozen=True)
class Arm:
    """What is trained, and how.

    Attributes:
        targets: As in ``adapt --targets``.
        rank: Of low-rank updates.
        rate: Learning rate.
        clip: Norm to which a patient is clipped.
    """

    targets: tuple[str, ...]
    rank: int = 8
    rate: float = 3e-2
    clip: float = 1e-3


ARMS: dict[str, Arm] = {
    "means and biases": Arm(("means", "biases")),
    "convolution, rank 1": Arm(("convolution",), rank=1),
    "attention, rank 8": Arm(("attention",)),
    "convolution and biases": Arm(("convolution", "biases"), rank=1),
    "means and biases, clipped to 1": Arm(("means", "biases"), clip=1.0),
    "convolution, rank 1, clipped to 1": Arm(("convolution",), rank=1, clip=1.0),
    "means, clipped to 1": Arm(("means",), clip=1.0),
    "means and biases, clipped to 1, rate 1e-1": Arm(("means", "biases"), rate=1e-1, clip=1.0),
    "means, biases, conditions, clipped to 1": Arm(("conditions", "means", "biases"), clip=1.0),
    "means, biases, conditions, clipped to 1, rate 1e-2": Arm(
        ("conditions", "means", "biases"), rate=1e-2, clip=1.0
    ),
    "attention, rank 8, conditions, clipped to 1": Arm(("conditions", "attention"), clip=1.0),
    "attention, rank 8, conditions, clipped to 1, rate 1e-2": Arm(
        ("conditions", "attention"), rate=1e-2, clip=1.0
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
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--norms", action="store_true")
    parser.add_argument("--only", nargs="*", choices=ARMS, default=ARMS)
    arguments = parser.parse_args()
    if arguments.norms:
        for arm in arguments.only:
            print(f"{arm}: {_norms(Cohort.open(arguments.cohort), _config(arm, arguments))}")
        return
    bench = Bench.open(arguments.cohort, arguments.work)
    test = Material.from_cohort(bench.real.select("test"))
    options = RunOptions(device="auto")
    rows: dict[str, list[str]] = {}
    headings = ("parameters", "noise over signal", *HEADINGS, "downstream AUC")
    for arm in arguments.only:
        name = arm.replace(" ", "-").replace(",", "")
        cohort = few(bench.real, arguments.patients, bench.work / "cohorts" / name)
        config = _config(arm, arguments)
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


def _config(arm: str, arguments: argparse.Namespace) -> AdaptConfig:
    one = ARMS[arm]
    return AdaptConfig(
        base=arguments.base,
        targets=one.targets,
        rank=one.rank,
        learning_rate=one.rate,
        embedding_rate=1.0,
        clip_norm=one.clip,
        dp_epsilon=arguments.epsilon,
        dp_patients=arguments.patients,
        dp_batch=arguments.batch,
        noise_multiplicity=1,
        steps=arguments.steps,
    )


def _norms(cohort: Cohort, config: AdaptConfig) -> str:
    """Norms of the gradients of some training patients, at the start."""
    with tempfile.TemporaryDirectory() as folder:
        plan = check_adapt(cohort, Path(folder) / "none", config)
        if plan.private is None:
            raise ValueError("a private plan was asked for")
        denoiser = build(plan).train()
        trained = [p for p in denoiser.parameters() if p.requires_grad]
        data = load_data(cohort, Path(folder), plan, SILENT)
        transform, device = Haar(plan.architecture.factor), torch.device("cpu")
        losses = patient_losses(data, denoiser, transform, plan.config, plan.private, device)
        found = []
        for patient in range(0, 240, 10):
            gradient = patient_gradient(losses(patient, 0), trained, plan.private.training.rows)
            squares = [float(one.double().square().sum()) for one in gradient if one is not None]
            found.append(math.sqrt(sum(squares)))
    least, median, most = np.quantile(found, [0, 0.5, 1])
    return f"{median:.3g} ({least:.3g} to {most:.3g}), {len(found)} patients"


if __name__ == "__main__":
    main()
