"""How many network evaluations sampling needs.

    python -m benchmarks.quality.steps COHORT MODEL WORK [--images N]

The same images (conditions and noise) are drawn with rising numbers of steps, without guidance: one
step is one evaluation. The Fréchet distance is taken to the real training images, of which there
are most, since the question is what the steps cost and not how good the model is.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from audits.features.learned.encoder import LearnedMap
from audits.features.random_multiscale import RandomMultiscaleMap
from audits.fidelity.frechet import frechet
from audits.fidelity.spaces import fidelity_spaces
from benchmarks.quality.bench import CORES, table
from bussynth import Cohort
from bussynth.config import RunOptions
from bussynth.generator.config import GenerateConfig
from bussynth.generator.generate import generate_cohort
from bussynth.quality.material import Material

__all__ = ["main"]

STEPS = (4, 6, 8, 12, 20, 50, 100)


def _distance(real: np.ndarray, made: np.ndarray) -> float:
    scale = np.sqrt(real.shape[1])  # as in audits.fidelity.measure
    sides = [np.asarray(one, np.float64) * scale for one in (made, real)]
    return frechet(*sides, np.arange(len(made)), np.arange(len(real))).value


def main() -> None:
    """Generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("model")
    parser.add_argument("work", type=Path)
    parser.add_argument("--images", type=int, default=1000)
    arguments = parser.parse_args()
    train = Material.from_cohort(Cohort.open(arguments.cohort).select("train"))
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    file = work / "encoder.safetensors"
    if not file.exists():
        for space in fidelity_spaces(train.images, train.facts.patients, seed=0, threads=CORES):
            if isinstance(space, LearnedMap):
                space.save(file)
    spaces = [LearnedMap.load(file, expects=None), RandomMultiscaleMap()]
    real = [space.features(train.images) for space in spaces]
    last: np.ndarray | None = None
    found: dict[int, list[float]] = {}
    for steps in reversed(STEPS):
        out = work / f"steps-{steps:03d}"
        if not (out / "cohort.json").exists():
            config = GenerateConfig(n=arguments.images, seed=7, steps=steps)
            options = RunOptions(workers=CORES)
            generate_cohort(arguments.model, out, config, options=options)
        images = Cohort.open(out).images()
        if last is None:
            last = images
        difference = np.abs(images.astype(np.int16) - last).mean()
        distances = [
            _distance(features, space.features(images))
            for features, space in zip(real, spaces, strict=True)
        ]
        found[steps] = [*distances, float(difference)]
    rows = {}
    for steps in STEPS:
        cells = [
            f"{found[steps][k]:.2f} ({found[steps][k] / found[STEPS[-1]][k]:.3f})" for k in (0, 1)
        ]
        rows[str(steps)] = [*cells, f"{found[steps][2]:.2f}"]
    last_one = STEPS[-1]
    headings = (
        f"FD learned (ratio to {last_one})",
        f"FD random (ratio to {last_one})",
        f"mean difference from {last_one} steps, grey values",
    )
    print(table("evaluations", rows, headings))


if __name__ == "__main__":
    main()
