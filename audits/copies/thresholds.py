"""Thresholds of a copy channel, and how seldom chance goes below them: both from control images.

Control images pose as synthetic: nothing about them was copied, so what they show is chance.

A handful of control images says nothing directly about the many synthetic ones, so the tail of
their ratios is extrapolated. Around a query, patients lie like a Poisson process of some local
dimension k, so the ratio r of first to second distance has P(r <= x) = x^k (Facco et al., Sci Rep
7, 2017, article 12140). k differs from place to place, so only the smallest control ratios are
used (Hill, Ann Stat 3, 1975), and a lower confidence bound of k.
"""

from __future__ import annotations

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
_TAIL_ERROR = 0.01
"""Probability that a bound of the tail is wrong, for each of the two; own choice."""


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
        tail_start: Ratio below which the tail of the control ratios was fitted, in each column; 0
            where they have no tail.
        tail_share: Upper bound on the share of sound images below it.
        tail_power: Lower bound on the exponent of the tail.
    """

    ratios: tuple[float, ...]
    tightened: bool
    control_images: int
    control_fired: int
    control_rate: Interval
    smallest: tuple[float, ...]
    tail_start: tuple[float, ...] = ()
    tail_share: tuple[float, ...] = ()
    tail_power: tuple[float, ...] = ()

    def chance_below(self, ratio: float, column: int) -> float | None:
        """Upper bound on the probability that a sound image has a ratio so small.

        Args:
            ratio: A ratio.
            column: Column of the channel.

        Returns:
            The bound; 1 where control ratios have no tail (they all tie); None where control
            images are too few to say.
        """
        if self.control_images <= _FEWEST or not self.tail_start:
            return None
        if self.tail_start[column] <= 0.0:
            return 1.0
        below = min(1.0, ratio / self.tail_start[column])
        return float(self.tail_share[column] * below ** self.tail_power[column])


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
    images among all comparisons: strict in spaces of few dimensions, where ratios scatter, and
    generous in those of many. Without a tail it is the declared one.

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
    tails = [_tail(kept.ratio[:, column]) for column in range(columns)]
    return Thresholds(
        tuple(float(r) for r in ratios),
        bool((ratios < wanted).any()),
        len(kept),
        fired,
        clopper_pearson(fired, len(kept), settings.confidence),
        tuple(float(s) for s in smallest),
        tuple(tail[0] for tail in tails),
        tuple(tail[1] for tail in tails),
        tuple(tail[2] for tail in tails),
    )


def _lowest(ratios: npt.NDArray[np.float64]) -> tuple[int, float, float]:
    """Number of ratios in the tail, its start u, and the sum of log(u / r); start 0: no tail."""
    # Ratios of one stand for nobody near: they are no part of the law.
    ordered = np.maximum(np.sort(ratios[ratios < 1.0]), 1e-12)
    count = max(_FEWEST, int(_TAIL * len(ratios)))
    if len(ordered) <= count:
        return count, 0.0, 0.0
    start = float(ordered[count])
    return count, start, float(np.log(start / ordered[:count]).sum())


def _rare_ratio(ratios: npt.NDArray[np.float64], chance: float) -> float | None:
    """Ratio that a sound image goes below with about this probability, or None without a tail."""
    count, start, total = _lowest(ratios)
    if total <= 0.0:
        return None
    return start * float((chance * len(ratios) / count) ** (total / count))


def _tail(ratios: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    """Start, share (upper bound) and power (lower bound) of the tail of control ratios.

    With k the number of ratios below the start u, the sum of log(u / r) over them, times the
    power, has a gamma distribution with k degrees: Hill (1975), exact for a power law.
    """
    from scipy.special import gammaincinv

    count, start, total = _lowest(ratios)
    if total <= 0.0:
        return 0.0, 1.0, 0.0
    power = float(gammaincinv(count, _TAIL_ERROR)) / total
    share = clopper_pearson_upper(count, len(ratios), 1.0 - _TAIL_ERROR)
    return start, float(share), power
