"""How often each training image is drawn: classes alike, patients of a class alike."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["balanced_weights"]


def balanced_weights(
    patients: npt.NDArray[np.int64], labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Give every class the same weight, and within it every patient.

    A patient with ten images then counts no more than one with a single image, and a rare value
    no less than a common one.

    Args:
        patients: int64 (n,).
        labels: int64 (n,); rows below 0 are never drawn.

    Returns:
        float64 (n,), summing to 1.
    """
    weights = np.zeros(len(labels))
    for label in np.unique(labels[labels >= 0]):
        rows = np.flatnonzero(labels == label)
        _, owner, images = np.unique(patients[rows], return_inverse=True, return_counts=True)
        weights[rows] = 1.0 / (len(images) * images[owner])
    return np.asarray(weights / weights.sum())
