"""Whether two encoders, trained alike but for the seed, see the same patients as near.

A finding that depends on the seed of the encoder is a finding about the encoder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from audits.statistics.intervals import Interval

__all__ = ["Agreement", "agreement"]

_FEWEST = 10


@dataclass(frozen=True)
class Agreement:
    """Rank correlation of two encoders' distances.

    Attributes:
        patients: Patients whose distance is finite in both.
        correlation: Spearman's rank correlation, None where not estimable.
        interval: Two-sided interval on it, None where not estimable.
        reason: Why it is not estimable, None where it is.
    """

    patients: int
    correlation: float | None
    interval: Interval | None
    reason: str | None = None


def agreement(
    first: npt.NDArray[np.floating],
    second: npt.NDArray[np.floating],
    confidence: float = 0.95,
) -> Agreement:
    """Spearman's correlation of patients' distances in two spaces.

    The interval is Fisher's z with the variance of Bonett & Wright (Psychometrika 65, 2000),
    (1 + r^2 / 2) / (n - 3); it takes patients as independent.

    Args:
        first: (n,), distance of each patient in one space.
        second: (n,), of the same patients in the other.
        confidence: Of the interval.

    Returns:
        The correlation; not estimable with fewer than ten patients or without any spread.

    Raises:
        ValueError: The arrays differ in shape.
    """
    from scipy.stats import rankdata

    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"Expected two arrays (n,). Got {first.shape} and {second.shape}.")
    known = np.isfinite(first) & np.isfinite(second)
    n = int(known.sum())
    if n < _FEWEST:
        return Agreement(n, None, None, f"fewer than {_FEWEST} patients")
    ranks = [rankdata(values[known]) for values in (first, second)]
    if min(float(np.ptp(r)) for r in ranks) == 0.0:
        return Agreement(n, None, None, "all patients are equally near")
    value = float(np.clip(np.corrcoef(*ranks)[0, 1], -1.0, 1.0))
    centre = math.atanh(math.copysign(min(abs(value), 1.0 - 1e-12), value))
    reach = NormalDist().inv_cdf((1.0 + confidence) / 2.0)
    reach *= math.sqrt((1.0 + value**2 / 2.0) / (n - 3))
    low, high = math.tanh(centre - reach), math.tanh(centre + reach)
    return Agreement(n, value, Interval(min(low, value), max(high, value), confidence))
