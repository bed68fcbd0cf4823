"""Duplicates between train and control, looked for first: each one destroys the control.

A control image that is also a train image lets a copy of it look like chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.copies.channel import CopyScores, confirmed
from audits.copies.identity import IdentityHit, find_identical

__all__ = ["Duplicates", "find_duplicates"]


@dataclass(frozen=True)
class Duplicates:
    """Pairs of real images of different patients that look like one image.

    Attributes:
        identical: Control rows equal to a train row.
        near: (control row, train row) pairs that are near-duplicates.
        within_control: (control row, control row) pairs of different patients that are
            near-duplicates: perhaps one person under two keys.
    """

    identical: tuple[IdentityHit, ...]
    near: tuple[tuple[int, int], ...]
    within_control: tuple[tuple[int, int], ...]

    @property
    def across(self) -> int:
        """Control images with a duplicate in train."""
        return len({hit.query for hit in self.identical} | {row for row, _ in self.near})


def find_duplicates(
    train: npt.NDArray[np.uint8],
    control: npt.NDArray[np.uint8],
    scores: CopyScores,
    ratio: float,
    max_distance: float,
) -> Duplicates:
    """List duplicates between train and control, and within control.

    Args:
        train: uint8 (n, H, W).
        control: uint8 (m, H, W).
        scores: Copy scores of the control images among train and control, own patient left out.
        ratio: Largest ratio of a near-duplicate.
        max_distance: Largest distance of a near-duplicate.

    Returns:
        The pairs, by control row.
    """
    flagged = confirmed(scores, (ratio,) * scores.ratio.shape[1], max_distance)
    near, within = [], []
    for row in np.flatnonzero(flagged.any(axis=1)):
        scale = int(flagged[row].argmax())
        other = int(scores.row[row, scale])
        if other < len(train):
            near.append((int(row), other))
        else:
            within.append((int(row), other - len(train)))
    return Duplicates(find_identical(control, train), tuple(near), tuple(within))
