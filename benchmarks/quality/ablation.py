"""What each part of the recipe is worth.

    python -m benchmarks.quality.ablation COHORT WORK [--steps N] [--only NAME ...] [--base MODEL]

Every arm is trained for the same number of steps with the same seed and differs from the recipe in
one thing; then as many images are drawn from each with the same seed. Averages of the weights with
other decays come from the recipe's own run, guidance from its own weights.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from benchmarks.quality.bench import Bench, line, table
from bussynth.config import RunOptions
from bussynth.generator import sampler, training
from bussynth.generator.config import GenerateConfig, TrainConfig
from bussynth.generator.ema import WeightAverage
from bussynth.generator.generator import Generator
from bussynth.generator.storage import read_model

__all__ = ["main"]

RECIPE = "recipe: Haar 2, EDM, noise mean -0.4, mirroring, EMA 0.999, no guidance"
ARMS: dict[str, dict[str, Any]] = {
    RECIPE: {},
    "Haar 4": {"factor": 4},
    "noise mean -1.2": {"noise_mean": -1.2},
    "noise mean 0.0": {"noise_mean": 0.0},
    "epsilon-prediction": {"prediction": "epsilon"},
    "no mirroring": {"flip": False},
    "label-free augmentation 0.12": {"augment": 0.12},
    "from the base": {},
    "from the base, embedding rate 1": {"embedding_rate": 1.0},
    "no Haar step": {"factor": 1},  # four times the work, so it comes last
}
# The average warms up, see WeightAverage: in n steps its decay comes no nearer to 1 than 10 / n, so
# in a short training a decay above the recipe's is the recipe's.
DECAYS = (0.0, 0.9, 0.97)
GUIDANCE = (1.5, 2.0, 3.0)


@contextmanager
def _more_averages(file: Path) -> Iterator[None]:
    """Keep averages with other decays beside the usual one of a training."""

    class Several(WeightAverage):
        def __init__(self, module: torch.nn.Module, decay: float) -> None:
            super().__init__(module, decay)
            self.others = [WeightAverage(module, other) for other in DECAYS]

        def update(self, module: torch.nn.Module, step: int) -> None:
            super().update(module, step)
            for other in self.others:
                other.update(module, step)
            kept[:] = self.others

    kept: list[WeightAverage] = []
    usual = training.WeightAverage
    training.WeightAverage = Several  # type: ignore[misc]
    try:
        yield
    finally:
        training.WeightAverage = usual  # type: ignore[misc]
    if kept:
        tensors = {f"{a.decay}/{k}": v.contiguous() for a in kept for k, v in a.weights.items()}
        save_file(tensors, file)


def _train(bench: Bench, name: str, changes: dict[str, Any], steps: int, base: str | None) -> Path:
    folder = bench.work / "models" / name.split(":")[0].replace(" ", "-")
    if name.startswith("from the base"):
        changes = changes | {"base": base}
    config = TrainConfig(preset="small-64", steps=steps, **changes)
    if name != RECIPE:
        Generator.train(bench.real, folder, config, options=RunOptions(device="auto"))
        return folder
    # The other averages are not part of a checkpoint: this arm is trained in one go.
    averages = bench.work / "averages.safetensors"
    if not averages.exists():
        with _more_averages(averages):
            options = RunOptions(device="auto")
            Generator.train(bench.real, folder, config, options=options, force=folder.exists())
    return folder


def _with_average(folder: Path, file: Path, decay: float) -> Generator:
    """The recipe's model with another average of its weights."""
    stored, tensors = read_model(folder), load_file(file)
    weights = {k: tensors[f"{decay}/{k}"] for k in stored.weights}
    return Generator(replace(stored, weights=weights, digest=f"{stored.digest}/{decay}"))


def main() -> None:
    """Train, generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--sampling-steps", type=int, default=12)
    parser.add_argument("--only", nargs="*", help="first words of the arms to run")
    parser.add_argument("--base", help="model for the arm that starts from one")
    arguments = parser.parse_args()
    bench = Bench.open(arguments.cohort, arguments.work)
    request = GenerateConfig(n=arguments.images, seed=5, steps=arguments.sampling_steps)
    rows: dict[str, list[str]] = {}

    def measure(model: Generator, name: str, config: GenerateConfig = request) -> None:
        short = name.split(":")[0].replace(" ", "-")
        found = bench.measure(bench.generate(model, short, config), short)
        rows.setdefault("real training images (floor)", line(found, "floor"))
        rows[name] = line(found)
        print(table("arm", {name: rows[name]}).splitlines()[-1], flush=True)

    for name, changes in ARMS.items():
        if arguments.only and not any(name.startswith(word) for word in arguments.only):
            continue
        if name.startswith("from the base") and arguments.base is None:
            continue
        folder = _train(bench, name, changes, arguments.steps, arguments.base)
        measure(Generator.load(folder), name)
        if name == RECIPE:
            averages = bench.work / "averages.safetensors"
            for decay in DECAYS:
                measure(_with_average(folder, averages, decay), f"EMA {decay}")
            for scale in GUIDANCE:
                guided = replace(request, guidance=scale)
                measure(Generator.load(folder), f"guidance {scale}", guided)
            usual, sampler.GUIDED = sampler.GUIDED, (0.0, math.inf)
            measure(Generator.load(folder), f"guidance {scale} at all noise levels", guided)
            sampler.GUIDED = usual
    print(table("arm", rows))


if __name__ == "__main__":
    main()
