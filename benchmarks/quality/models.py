"""Finished models on one yardstick, with and without guidance.

    python -m benchmarks.quality.models COHORT WORK MODEL [MODEL ...] [--guidance 1 2]

A model is a folder or ``builtin:NAME``. COHORT is a split real cohort whose test patients the
models have not seen. The last column is the AUC on these of a classifier of pathology that learned
from the images of the row alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.quality.bench import HEADINGS, Bench, learned_from, line, table
from bussynth.generator.config import GenerateConfig
from bussynth.generator.generator import Generator
from bussynth.quality.material import Material

__all__ = ["main"]


def main() -> None:
    """Generate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--guidance", type=float, nargs="*", default=[1.0, 2.0])
    parser.add_argument("--images", type=int, default=500)
    arguments = parser.parse_args()
    bench = Bench.open(arguments.cohort, arguments.work)
    train, test = (Material.from_cohort(bench.real.select(name)) for name in ("train", "test"))
    useful = learned_from(train, test, bench.real)
    rows: dict[str, list[str]] = {}
    for source in arguments.models:
        model = Generator.load(source)
        for guidance in arguments.guidance:
            request = GenerateConfig(n=arguments.images, seed=1, guidance=guidance)
            short = f"{model.digest[7:15]}-{guidance:g}"
            made = bench.generate(model, short, request)
            found = bench.measure(made, short)
            rows.setdefault("real training images (floor)", [*line(found, "floor"), useful])
            learned = learned_from(Material.from_cohort(made), test, bench.real)
            rows[f"{source}, guidance {guidance:g}"] = [*line(found), learned]
    print(table("images", rows, (*HEADINGS, "downstream AUC")))


if __name__ == "__main__":
    main()
