"""Figures with intervals: the bootstrap over patients, and what shuffled requests would give."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from audits.statistics.intervals import wilson

__all__ = ["Measured", "Sample", "Statistics", "bootstrap", "shuffles"]

Statistics: TypeAlias = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
"""From weights of n images, float64 (r, n), to s figures each, float64 (r, s); NaN if undefined."""

_CELLS: Final = 4_000_000
_SHUFFLES: Final = 200
_SIDES: Final = (0.025, 0.975)


@dataclass(frozen=True, slots=True)
class Measured:
    """A figure with its 95 % interval."""

    value: float
    low: float
    high: float

    def complement(self) -> Measured:
        """Return one minus the figure."""
        return Measured(1.0 - self.value, 1.0 - self.high, 1.0 - self.low)

    def minus(self, other: Measured) -> Measured:
        """Return the difference to a figure of other, independent images.

        The interval adds the distances of the ends in squares (Zou & Donner, Statistics in
        Medicine 27, 2008), so that it is sound where an interval is not symmetric.
        """
        value = self.value - other.value
        return Measured(
            value,
            value - math.hypot(self.value - self.low, other.high - other.value),
            value + math.hypot(self.high - self.value, other.value - other.low),
        )

    def to_dict(self) -> dict[str, float]:
        """Return the three numbers."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, eq=False)
class Sample:
    """Figures and their resamples.

    Attributes:
        values: float64 (s,), the figures.
        resamples: float64 (r, s), NaN where a resample lacks what a figure needs.
    """

    values: npt.NDArray[np.float64]
    resamples: npt.NDArray[np.float64]

    def measured(self, figure: int, *, people: int | None = None) -> Measured:
        """Return one figure with the middle 95 % of its resamples.

        Args:
            figure: Its position.
            people: Of a share: how many patients it is of. Near 0 and 1 resampling finds nothing
                to change and would claim certainty, so the interval is made no narrower than
                Wilson's (JASA 22, 1927) for as many patients.
        """
        found = _measured(float(self.values[figure]), self.resamples[:, figure])
        if people is None:
            return found
        textbook = wilson(round(found.value * people), people)
        return Measured(found.value, min(found.low, textbook.low), max(found.high, textbook.high))


def _measured(value: float, resamples: npt.NDArray[np.float64]) -> Measured:
    known = resamples[np.isfinite(resamples)]
    low, high = np.quantile(known, _SIDES) if len(known) else (value, value)
    # Of few patients, resamples may all lie on one side.
    return Measured(value, min(value, float(low)), max(value, float(high)))


def bootstrap(
    statistics: Statistics,
    patients: npt.NDArray[np.int64],
    *,
    resamples: int,
    rng: np.random.Generator,
) -> Sample:
    """Compute figures and their bootstrap distribution.

    Patients are drawn with replacement, each with all images: images of one patient are not
    independent.

    Args:
        statistics: The figures.
        patients: int64 (n,), number of the patient of each image.
        resamples: How many draws.
        rng: Source of randomness.

    Returns:
        The figures with their resamples.
    """
    _, owner = np.unique(patients, return_inverse=True)
    people = int(owner.max()) + 1
    parts = []
    block = max(1, _CELLS // len(patients))
    for begin in range(0, resamples, block):
        drawn = rng.integers(people, size=(min(block, resamples - begin), people))
        counts = np.stack([np.bincount(row, minlength=people) for row in drawn])
        parts.append(statistics(counts[:, owner].astype(np.float64)))
    return Sample(statistics(np.ones((1, len(patients))))[0], np.concatenate(parts))


def shuffles(
    figures: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]],
    n: int,
    rng: np.random.Generator,
) -> tuple[Measured, ...]:
    """Compute figures of images whose requests were dealt out anew: the level of chance.

    Args:
        figures: From an order of the n requests, int64 (n,), to s figures, float64 (s,).
        n: Images.
        rng: Source of randomness.

    Returns:
        Mean and middle 95 % over 200 shuffles, of each figure.
    """
    drawn = np.stack([figures(rng.permutation(n)) for _ in range(_SHUFFLES)])
    return tuple(_measured(float(np.nanmean(column)), column) for column in drawn.T)
