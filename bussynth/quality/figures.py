"""The figures of obedience, for many weightings of the images at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["box_iou", "centre_inside", "pair_aucs", "recalls", "weighted_mean"]

FloatArray = npt.NDArray[np.float64]


def pair_aucs(
    probabilities: FloatArray, labels: npt.NDArray[np.int64], weights: FloatArray
) -> FloatArray:
    """Area under the ROC curve between every two classes.

    Their mean is the one-vs-rest area averaged over the classes, were all classes equally
    frequent (Hand & Till, Machine Learning 45, 2001), so it does not depend on how often each
    value was requested.

    Args:
        probabilities: float64 (n, k).
        labels: int64 (n,), class of each image.
        weights: float64 (r, n).

    Returns:
        float64 (r, k, k): entry (i, j) is the chance that an image of class i has a higher
        probability of i than one of class j; NaN on the diagonal and where a class is missing.
    """
    classes = probabilities.shape[1]
    areas = np.full((len(weights), classes, classes), np.nan)
    for one in range(classes):
        order = np.argsort(probabilities[:, one], kind="stable")
        for other in range(classes):
            rows = order[(labels[order] == one) | (labels[order] == other)]
            if one != other and len(rows):
                areas[:, one, other] = _auc(
                    probabilities[rows, one], labels[rows] == one, weights[:, rows]
                )
    return areas


def _auc(scores: FloatArray, positive: npt.NDArray[np.bool_], weights: FloatArray) -> FloatArray:
    """Area for sorted scores; ties count half."""
    starts = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]])
    above = np.add.reduceat(weights * positive, starts, axis=1)
    below = np.add.reduceat(weights * ~positive, starts, axis=1)
    lower = np.cumsum(below, axis=1) - below
    total = above.sum(axis=1) * below.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        area: FloatArray = (above * (lower + below / 2.0)).sum(axis=1) / total
    return area


def recalls(
    probabilities: FloatArray, labels: npt.NDArray[np.int64], weights: FloatArray
) -> FloatArray:
    """Share of each class's images for which that class is the likeliest.

    Args:
        probabilities: float64 (n, k).
        labels: int64 (n,).
        weights: float64 (r, n).

    Returns:
        float64 (r, k), NaN where a class is missing.
    """
    hit = probabilities.argmax(axis=1) == labels
    classes = range(probabilities.shape[1])
    return np.stack(
        [weighted_mean(hit[labels == one], weights[:, labels == one]) for one in classes], axis=1
    )


def weighted_mean(values: npt.NDArray[np.generic], weights: FloatArray) -> FloatArray:
    """Mean of n values under each weighting: float64 (r,), NaN where no weight is left."""
    with np.errstate(invalid="ignore"):
        mean: FloatArray = weights @ values.astype(np.float64) / weights.sum(axis=1)
    return mean


def box_iou(one: FloatArray, other: FloatArray) -> FloatArray:
    """Intersection over union of boxes (n, 4), x0 y0 x1 y1, row by row: float64 (n,)."""
    inner = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    shared = np.clip(inner, 0.0, None).prod(axis=1)
    union = (one[:, 2:] - one[:, :2]).prod(axis=1) + (other[:, 2:] - other[:, :2]).prod(axis=1)
    iou: FloatArray = shared / np.maximum(union - shared, 1e-12)
    return iou


def centre_inside(found: FloatArray, asked: FloatArray) -> npt.NDArray[np.bool_]:
    """Whether the centre of a found box (n, 4) lies in the asked one, row by row: bool (n,)."""
    centre = (found[:, :2] + found[:, 2:]) / 2.0
    return np.asarray(((asked[:, :2] <= centre) & (centre < asked[:, 2:])).all(axis=1))
