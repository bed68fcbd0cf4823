"""Nearly the same frame twice, of one patient.

Two frames of a cine loop, or an image with calipers and the same without, count twice in training
and leak between halves of a patient's images. Images are compared as 32 x 32 means, less their mean
and of unit length, so that the product of two is their correlation: gain and offset do not count,
compression and a few strokes hardly.

Only images of one patient are compared. To look for one patient's image among another's would be a
look across the boundary that pseudonyms and differential privacy keep.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIDE", "near_duplicates", "signature"]

SIDE: Final = 32
"""A signature is of so many means along each edge."""

_FLAT: Final = 1e-6


def signature(gray: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Shrink an image to what duplicates share.

    Args:
        gray: Image (H, W), at least 32 x 32; of any resolution.

    Returns:
        float32 (1024,), of mean 0 and length 1; all 0 for a constant image, which is nobody's
        duplicate.

    Raises:
        ValueError: The image is of another kind or too small.
    """
    if gray.dtype != np.uint8 or gray.ndim != 2 or min(gray.shape) < SIDE:
        raise ValueError(f"Signatures are of gray images of 8 bits, at least {SIDE} x {SIDE}.")
    # Whole sums, so that no order of adding shows.
    means = gray.astype(np.int64)
    counts = []
    for axis in (0, 1):
        edges = np.linspace(0, gray.shape[axis], SIDE + 1).astype(int)
        means = np.add.reduceat(means, edges[:-1], axis=axis)
        counts.append(np.diff(edges))
    small = means / (counts[0][:, None] * counts[1][None, :])
    small -= small.mean()
    length = float(np.linalg.norm(small))
    if length < _FLAT:
        return np.zeros(SIDE * SIDE, np.float32)
    return np.asarray(small.ravel() / length, np.float32)


def near_duplicates(
    signatures: Sequence[NDArray[np.float32]] | NDArray[np.float32],
    patients: Sequence[Hashable],
    *,
    least: float = 0.96,
) -> tuple[tuple[int, ...], ...]:
    """Group images that are nearly the same, within each patient.

    Args:
        signatures: One a image, from `signature`.
        patients: The patient of each image.
        least: Correlation from which two images are nearly the same. Of the 811 pairs of views of
            one lesion in BUS-BRA none exceeds 0.94; a shift by 2 of 300 pixels leaves 0.97.

    Returns:
        Groups of two or more rows, ascending, ordered by their first row. Images are grouped
        through others: the first and the last of a group may differ more.

    Raises:
        ValueError: There are not as many signatures as patients, or ``least`` is no correlation.

    Example:
        >>> image = np.arange(4096, dtype=np.uint8).reshape(64, 64)
        >>> rows = [signature(image), signature(image // 2), signature(image)]
        >>> near_duplicates(rows, ["a", "a", "b"])
        ((0, 1),)
    """
    if len(signatures) != len(patients):
        raise ValueError(f"{len(signatures)} signatures are not of {len(patients)} images.")
    if not 0 < least <= 1:
        raise ValueError(f"least={least!r} must be above 0 and at most 1.")
    by_patient: dict[Hashable, list[int]] = {}
    for row, patient in enumerate(patients):
        by_patient.setdefault(patient, []).append(row)
    groups = []
    for rows in by_patient.values():
        if len(rows) > 1:
            stack = np.stack([np.asarray(signatures[row], np.float64) for row in rows])
            groups += [
                tuple(rows[place] for place in group) for group in _joined(stack @ stack.T >= least)
            ]
    return tuple(sorted(groups))


def _joined(alike: NDArray[np.bool_]) -> list[list[int]]:
    """Follow who is like whom; groups of two or more."""
    left = set(range(len(alike)))
    groups = []
    while left:
        group, waiting = [], [left.pop()]
        while waiting:
            one = waiting.pop()
            group.append(one)
            near = left & set(np.flatnonzero(alike[one]).tolist())
            left -= near
            waiting += near
        if len(group) > 1:
            groups.append(sorted(group))
    return groups
