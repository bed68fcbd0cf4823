"""Binomial intervals, permutation p-values and Holm's correction.

All are textbook formulas; each is tested against a naive implementation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "Interval",
    "clopper_pearson",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "holm",
    "permutation_p_value",
    "wilson",
]


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval with the confidence it was built for (0 to 1)."""

    low: float
    high: float
    confidence: float = 0.95


def _check(successes: int, trials: int, confidence: float) -> None:
    if trials < 0 or not 0 <= successes <= trials:
        raise ValueError(f"Expected 0 <= successes <= trials. Got {successes=}, {trials=}.")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"Expected 0 < confidence < 1. Got {confidence=}.")


def clopper_pearson_lower(successes: int, trials: int, confidence: float = 0.95) -> float:
    """One-sided exact lower bound on a binomial probability.

    Args:
        successes: Number of successes, 0 to ``trials``.
        trials: Number of trials; 0 gives the vacuous bound 0.
        confidence: Coverage of the one-sided bound.

    Returns:
        The bound, in [0, 1].

    Reference:
        Clopper & Pearson, Biometrika 26 (1934).
    """
    from scipy.special import betaincinv

    _check(successes, trials, confidence)
    if successes == 0:
        return 0.0
    return float(betaincinv(successes, trials - successes + 1, 1.0 - confidence))


def clopper_pearson_upper(successes: int, trials: int, confidence: float = 0.95) -> float:
    """One-sided exact upper bound on a binomial probability; 0 trials give 1.

    Args:
        successes: Number of successes, 0 to ``trials``.
        trials: Number of trials.
        confidence: Coverage of the one-sided bound.

    Returns:
        The bound, in [0, 1].

    Reference:
        Clopper & Pearson, Biometrika 26 (1934).
    """
    from scipy.special import betaincinv

    _check(successes, trials, confidence)
    if successes == trials:
        return 1.0
    return float(betaincinv(successes + 1, trials - successes, confidence))


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Two-sided exact interval on a binomial probability; 0 trials give [0, 1].

    Args:
        successes: Number of successes, 0 to ``trials``.
        trials: Number of trials.
        confidence: Coverage of the interval.

    Returns:
        The interval, each side at ``(1 - confidence) / 2``.
    """
    side = 0.5 + confidence / 2.0
    return Interval(
        clopper_pearson_lower(successes, trials, side),
        clopper_pearson_upper(successes, trials, side),
        confidence,
    )


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Two-sided score interval on a binomial probability; 0 trials give [0, 1].

    Args:
        successes: Number of successes, 0 to ``trials``.
        trials: Number of trials.
        confidence: Nominal coverage.

    Returns:
        The interval.

    Reference:
        Wilson, JASA 22 (1927).
    """
    from scipy.special import ndtri

    _check(successes, trials, confidence)
    if trials == 0:
        return Interval(0.0, 1.0, confidence)
    z = float(ndtri(0.5 + confidence / 2.0))
    rate = successes / trials
    denominator = 1.0 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / denominator
    half = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials)) / denominator
    # The closed form misses 0 and 1 by rounding only.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return Interval(low, high, confidence)


def permutation_p_value(at_least_as_extreme: int, permutations: int) -> float:
    """(b + 1) / (B + 1): a p-value from random permutations that is never zero.

    Args:
        at_least_as_extreme: Permutations whose statistic reached the observed one.
        permutations: Permutations drawn; 0 gives 1.

    Returns:
        The p-value, in (0, 1].

    Reference:
        Phipson & Smyth, Stat Appl Genet Mol Biol 9 (2010), art. 39.
    """
    if permutations < 0 or not 0 <= at_least_as_extreme <= permutations:
        raise ValueError(
            "Expected 0 <= at_least_as_extreme <= permutations. "
            f"Got {at_least_as_extreme=}, {permutations=}."
        )
    return (at_least_as_extreme + 1) / (permutations + 1)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Holm's step-down adjusted p-values, in the order given.

    Args:
        p_values: Raw p-values of one family.

    Returns:
        Adjusted p-values, capped at 1; rejecting those <= alpha keeps the family-wise error.

    Reference:
        Holm, Scand J Stat 6 (1979).
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [1.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return tuple(adjusted)
