"""Thresholds of a copy channel, and how seldom chance goes below them: both from control images.

Control images pose as synthetic: nothing about them was copied, so what they show is chance.

A handful of control images says nothing directly about the many synthetic ones, so the tail of
their ratios is extrapolated. Around a query, patients lie like a Poisson process of some local
dimension k, so the ratio r of first to second distance has P(r <= x) = x^k (Facco et al., Sci Rep
7, 2017, article 12140). k differs from place to place, so only the smallest control ratios are
used (Hill, Ann Stat 3, 1975), and a lower confidence bound of k. Where places of a small k are
rare they rule the far tail alone; so a hit is beyond doubt only by a far tail of few ratios too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.copies.channel import CopyScores, confirmed
from audits.settings import AuditSettings
from audits.statistics.intervals import Interval, clopper_pearson, clopper_pearson_upper

__all__ = ["Thresholds", "calibrate"]

_TAIL = 0.1
"""Share of the control images whose ratios make the tail."""
_FEWEST = 10
"""Fewest ratios of a tail."""
_FLAG_ERROR = 0.2
"""Probability that a bound of the tail behind a threshold is wrong: a hit that chance brings
makes an audit inconclusive. With 0.2 some image is flagged in about one sound audit in twenty
(benchmarks/copy_thresholds.py)."""
_DOUBT_ERROR = 0.01
"""The same where a single hit fails the audit. Both own choice."""


@dataclass(frozen=True)
class Thresholds:
    """Ratios below which an image is a copy, one for each column of a channel.

    Attributes:
        ratios: Largest ratio in each column.
        tightened: Whether control images made them stricter than declared.
        control_images: Control images used, near-duplicates left out.
        control_fired: Those the declared threshold would have flagged.
        control_rate: Exact interval on that false-positive rate.
        smallest: Smallest control ratio in each column, 1 without control images.
        tail_start: Ratio below which the tail of the control ratios was fitted: in each column two
            fits, of a tenth of the ratios and of the square root of their number; 0 where they
            have no tail.
        tail_share: Upper bound on the share of sound images below each.
        tail_power: Lower bound on the exponent of each.
    """

    ratios: tuple[float, ...]
    tightened: bool
    control_images: int
    control_fired: int
    control_rate: Interval
    smallest: tuple[float, ...]
    tail_start: tuple[tuple[float, ...], ...] = ()
    tail_share: tuple[tuple[float, ...], ...] = ()
    tail_power: tuple[tuple[float, ...], ...] = ()

    def chance_below(self, ratio: float, column: int) -> float | None:
        """Upper bound on the probability that a sound image has a ratio so small.

        Args:
            ratio: A ratio.
            column: Column of the channel.

        Returns:
            The larger bound of the two fits; 1 where control ratios have no tail (they all tie);
            None where control images are too few to say.
        """
        if self.control_images <= _FEWEST or not self.tail_start:
            return None
        chance = 0.0
        fits = zip(
            self.tail_start[column], self.tail_share[column], self.tail_power[column], strict=True
        )
        for start, share, power in fits:
            if start <= 0.0:
                return 1.0
            chance = max(chance, share * min(1.0, ratio / start) ** power)
        return chance


def calibrate(
    control: CopyScores,
    duplicated: npt.NDArray[np.bool_],
    settings: AuditSettings,
    *,
    comparisons: int | None = None,
) -> Thresholds:
    """Set thresholds that no control image comes near and that chance hardly ever reaches.

    Control images pose as synthetic against the same real images, their own patient left out,
    so sizes match: a threshold from a smaller reference would flag sound images. Where their
    ratios have a tail, the threshold is the ratio below which chance brings fewer than ``alpha``
    images among all comparisons, by an upper bound: strict in spaces of few dimensions, where
    ratios scatter, and generous in those of many. Without a tail it is the declared one.

    Args:
        control: Copy scores of the control images.
        duplicated: bool (m,), control images that are near-duplicates of another patient's.
        settings: The audit's settings.
        comparisons: Synthetic images x columns over all channels; None keeps to the declared
            threshold.

    Returns:
        The thresholds of the channel.
    """
    kept = control.take(~duplicated)
    columns = kept.ratio.shape[1]
    near = np.where(kept.distance <= settings.copy_distance, kept.ratio, 1.0)
    smallest = near.min(axis=0, initial=1.0)
    wanted = np.full(columns, settings.copy_ratio)
    if comparisons:
        for column in range(columns):
            rare = _rare_ratio(kept.ratio[:, column], settings.alpha / comparisons)
            wanted[column] = wanted[column] if rare is None else rare
    ratios = np.minimum(wanted, settings.control_margin * smallest)
    declared = confirmed(kept, (settings.copy_ratio,) * columns, settings.copy_distance)
    fired = int(declared.any(axis=1).sum())
    # All ratios, also of far neighbours: more of them below a line than can be hits.
    counts = (_a_tenth(len(kept)), max(_FEWEST, math.isqrt(len(kept))))
    fits = [
        [_tail(kept.ratio[:, column], count, _DOUBT_ERROR) for count in counts]
        for column in range(columns)
    ]
    starts, shares, powers = (
        tuple(tuple(fit[part] for fit in of_column) for of_column in fits) for part in range(3)
    )
    return Thresholds(
        tuple(float(r) for r in ratios),
        bool((ratios < wanted).any()),
        len(kept),
        fired,
        clopper_pearson(fired, len(kept), settings.confidence),
        tuple(float(s) for s in smallest),
        starts,
        shares,
        powers,
    )


def _a_tenth(images: int) -> int:
    return max(_FEWEST, int(_TAIL * images))


def _rare_ratio(ratios: npt.NDArray[np.float64], chance: float) -> float | None:
    """Ratio that a sound image goes below with at most this probability; None without a tail."""
    start, share, power = _tail(ratios, _a_tenth(len(ratios)), _FLAG_ERROR)
    return start * float(chance / share) ** (1.0 / power) if start > 0.0 else None


def _tail(ratios: npt.NDArray[np.float64], count: int, error: float) -> tuple[float, float, float]:
    """Start, share (upper bound) and power (lower bound) of the tail of so many control ratios.

    With ``count`` ratios below the start u, the sum of log(u / r) over them, times the power, has
    a gamma distribution with as many degrees: Hill (1975), exact for a power law. Each bound is
    wrong with probability ``error``. Start 0: there is no tail.
    """
    from scipy.special import gammaincinv

    # Ratios of one stand for nobody near: they are no part of the law.
    ordered = np.maximum(np.sort(ratios[ratios < 1.0]), 1e-12)
    total = float(np.log(ordered[count] / ordered[:count]).sum()) if len(ordered) > count else 0.0
    if total <= 0.0:
        return 0.0, 1.0, 0.0
    power = float(gammaincinv(count, error)) / total
    share = clopper_pearson_upper(count, len(ratios), 1.0 - error)
    return float(ordered[count]), float(share), power
