"""Intervals from what a number would be without each patient.

Resampling images with replacement puts copies into a sample. They shrink the radii of k-nearest
neighbours to nothing, fall on the diagonal that an unbiased kernel estimate leaves out, and take
patients from a covariance; the replicates lie off the number they are meant to surround, most of
all for a Fréchet distance of a few hundred images. So nothing is computed from resampled images.
Each number comes with its value without each patient (without each image, where there are no
patients). The difference is what a patient contributes, and resampling these contributions with
replacement gives replicates around the number itself: the bootstrap of the statistic made linear
(Efron & Tibshirani, "An introduction to the bootstrap", 1993, chapters 20 and 22).

The variance of such replicates is the jackknife's, which errs upwards on average for any statistic
of independent patients (Efron & Stein, Annals of Statistics 9, 1981). What is covered is the mean
of the number over data sets of the same sizes: the bias of a Fréchet distance stays in the number,
as it stays in the floor beside it. Where no patient changes a number, such as a recall of 1, the
replicates have no spread; :mod:`audits.fidelity.measure` widens intervals of shares for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.statistics.streams import generator_for

__all__ = ["LeaveOut", "bounds", "group_sums"]

Doubles = npt.NDArray[np.float64]

_AT_ONCE = 1 << 20
"""Weights drawn at a time."""
_TAILS = (2.5, 97.5)


@dataclass(frozen=True, eq=False, kw_only=True)
class LeaveOut:
    """A number that compares candidates with references, and the same without each group.

    Attributes:
        value: The number.
        candidates: float64 (groups,), its value without each group of candidates.
        references: float64 (groups,), its value without each group of references.
    """

    value: float
    candidates: Doubles
    references: Doubles

    def turned(self) -> LeaveOut:
        """The same with the parts of candidates and references exchanged."""
        return LeaveOut(value=self.value, candidates=self.references, references=self.candidates)


def group_sums(values: npt.NDArray[np.generic], groups: npt.NDArray[np.int64]) -> Doubles:
    """Sum of values over each group.

    Args:
        values: (n,).
        groups: int64 (n,), group numbers from 0.

    Returns:
        float64 (groups,).
    """
    sums = np.bincount(groups, values.astype(np.float64), int(groups.max()) + 1)
    return sums.astype(np.float64)


def _deviations(effects: Doubles, resamples: int, rng: np.random.Generator) -> Doubles:
    """Sums of effects (groups, numbers) under resampling of groups, (resamples, numbers)."""
    groups = len(effects)
    chances = np.full(groups, 1.0 / groups)
    parts, step = [], max(1, _AT_ONCE // groups)
    for begin in range(0, resamples, step):
        weights = rng.multinomial(groups, chances, min(step, resamples - begin))
        # Product by product, so that the result does not depend on how a library cuts it.
        parts.append(np.einsum("rg,gk->rk", weights - 1.0, effects))
    return np.concatenate(parts)


def bounds(
    numbers: Mapping[str, LeaveOut], *, seed: int, resamples: int
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals; groups of either side are drawn with replacement.

    All numbers share the draws, and so do calls with the same seed and numbers of groups.

    Args:
        numbers: The numbers by name, all on the same groups.
        seed: Seed of the draws.
        resamples: Draws.

    Returns:
        Lower and upper end by name.
    """
    replicates = np.array([number.value for number in numbers.values()])
    for side in ("candidates", "references"):
        without = np.column_stack([getattr(number, side) for number in numbers.values()])
        effects = without.mean(axis=0) - without
        rng = generator_for(seed, f"fidelity resamples {side}")
        replicates = replicates + _deviations(effects, resamples, rng)
    low, high = np.percentile(replicates, _TAILS, axis=0)
    return {name: (float(a), float(b)) for name, a, b in zip(numbers, low, high, strict=True)}
