"""What the thresholds of the copy search do where the law behind them does not hold.

    python -m benchmarks.copy_thresholds [--simulations N]

Ratios of first to second neighbour are drawn from r^k with a local dimension k that differs from
place to place, for control and synthetic images alike, in independent columns: nothing is copied.
The table tells how often some image is flagged, which makes an audit inconclusive, and how often
one is beyond doubt on a training patient, which fails it. Columns of real channels depend on each
other, so these shares are worst cases.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from audits.copies.channel import CopyScores
from audits.copies.findings import examine
from audits.copies.thresholds import calibrate
from audits.images import Patients
from audits.settings import AuditSettings
from audits.statistics.intervals import clopper_pearson

__all__ = ["main"]

COLUMNS = 13
PATIENTS = Patients(np.arange(100), np.arange(100) < 70, np.zeros(100, np.int64), True)
SIZES = ((200, 1000), (473, 1000), (1000, 5000))
"""Control and synthetic images."""
Shape = tuple[int, int]
Draw = Callable[[np.random.Generator, Shape], npt.NDArray[np.float64]]
LAWS: dict[str, Draw] = {
    "10 everywhere": lambda rng, shape: np.full(shape, 10.0),
    "uniform between 4 and 14": lambda rng, shape: rng.uniform(4.0, 14.0, shape),
    "5 at one place in twenty, else 10": lambda rng, shape: np.where(
        rng.random(shape) < 0.05, 5.0, 10.0
    ),
    "3 at one place in twenty, else 10": lambda rng, shape: np.where(
        rng.random(shape) < 0.05, 3.0, 10.0
    ),
}
"""Local dimension by place."""


def _scores(rng: np.random.Generator, images: int, law: Draw) -> CopyScores:
    shape = (images, COLUMNS)
    patient = rng.integers(len(PATIENTS.member), size=shape)
    ratio = rng.random(shape) ** (1.0 / law(rng, shape))
    return CopyScores(ratio, np.full(shape, 0.5), patient, patient)


def _simulate(rng: np.random.Generator, law: Draw, controls: int, images: int) -> tuple[bool, bool]:
    """Whether some image is flagged, and whether one is beyond doubt."""
    settings = AuditSettings()
    none = np.zeros(controls, np.bool_)
    thresholds = calibrate(
        _scores(rng, controls, law), none, settings, comparisons=images * COLUMNS
    )
    names = tuple(str(column) for column in range(COLUMNS))
    found = examine(
        "all", names, _scores(rng, images, law), PATIENTS, thresholds, settings
    ).findings
    return bool(found.train_images + found.control_images), found.certain


def main() -> None:
    """Parse the arguments, simulate and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--simulations", type=int, default=200, help="of each row")
    simulations = parser.parse_args().simulations
    print("| local dimension | control images | synthetic images | some image flagged | FAIL |")
    print("|---|---|---|---|---|")
    for name, law in LAWS.items():
        for controls, images in SIZES:
            rng = np.random.default_rng(0)
            hits = np.array([_simulate(rng, law, controls, images) for _ in range(simulations)])
            shares = []
            for count in hits.sum(axis=0):
                interval = clopper_pearson(int(count), simulations)
                shares.append(
                    f"{count / simulations:.3f} ({interval.low:.3f} to {interval.high:.3f})"
                )
            print(f"| {name} | {controls} | {images:,} | {' | '.join(shares)} |", flush=True)


if __name__ == "__main__":
    main()
