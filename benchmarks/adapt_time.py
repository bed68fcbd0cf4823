"""How long a hospital waits: a base in the box, 50 patients, 500 images.

    python -m benchmarks.adapt_time COHORT [--base builtin:NAME] [--patients N] [--images N]

Draws training patients of a split real cohort into a cohort of their own and runs the two commands
of the documentation with their defaults, each as a process of its own, start-up included. The limit
is 15 minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from benchmarks.quality.bench import CORES
from benchmarks.quality.few_shot import few
from bussynth import Cohort

__all__ = ["main"]

LIMIT = 15 * 60


def main() -> None:
    """Draw, adapt, generate, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cohort", type=Path)
    parser.add_argument("--base", default="builtin:phantom-64")
    parser.add_argument("--patients", type=int, default=50)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--keep", type=Path, help="folder for adapter and images")
    arguments = parser.parse_args()
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.keep or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        cohort = few(Cohort.open(arguments.cohort), arguments.patients, work / "few")
        adapter, made = work / "adapter", work / "synthetic"
        adapt = ["adapt", cohort.path, "--base", arguments.base, "--out", adapter]
        generate = ["generate", adapter, "--out", made, "-n", arguments.images, "--workers", CORES]
        for words in (adapt, generate):
            start = time.monotonic()
            command = [sys.executable, "-m", "bussynth", *(str(word) for word in words)]
            subprocess.run(command, check=True)
            seconds[str(words[0])] = time.monotonic() - start
        megabytes = sum(file.stat().st_size for file in adapter.iterdir()) / 1e6
    total = sum(seconds.values())
    parts = ", ".join(f"{verb} {value:.0f} s" for verb, value in seconds.items())
    print(
        f"{arguments.patients} patients ({len(cohort)} images), {arguments.base}, {CORES} cores, "
        f"torch with {torch.get_num_threads()} threads: {parts}; {total / 60:.1f} minutes of "
        f"{LIMIT // 60}; adapter folder {megabytes:.2f} MB"
    )


if __name__ == "__main__":
    main()
