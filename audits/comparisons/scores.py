"""Scores of patients for membership inference, and groups of patients worth a look of their own.

Everything here is blind to who is in train: a score may use the synthetic images and all real
images, never a label. That is what keeps the tests built on it exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from audits.comparisons.reach import Reach, patient_minimum
from audits.images import Patients

__all__ = ["difficult_groups", "patient_scores"]

_NEAREST, _FARTHEST = 1e-6, 2.0
_TOP, _MOST = 0.1, 0.25

Floats = npt.NDArray[np.float64]


def _distances(squared: Floats) -> Floats:
    """Distances between a rounding error and the diameter of the unit sphere."""
    return np.clip(np.sqrt(squared), _NEAREST, _FARTHEST)


def patient_scores(reaches: Sequence[Reach], patients: Patients) -> dict[str, Floats]:
    """Two scores a feature space, each the maximum over a patient's images.

    "nearness" is minus the distance to the nearest synthetic image. "calibrated" is
    log d(image, other patients) - log d(image, synthetic images): how much nearer the synthetic
    images come than real ones do, so that patients in dense regions are not accused for it. It
    is the form of GAN-Leaks and DOMIAS; here the reference is all other real patients.

    Args:
        reaches: One entry a feature space, over unit vectors.
        patients: The numbering.

    Returns:
        "nearness SPACE" and "calibrated SPACE": float64 (patients,), finite; distances count as
        1e-6 to 2, so an exact copy gives a large score and a missing neighbour a harmless one.

    References:
        Chen et al., GAN-Leaks, CCS 2020; van Breugel et al., DOMIAS, AISTATS 2023.
    """
    count = len(patients.member)
    scores = {}
    for reach in reaches:
        near = _distances(reach.to_synthetic.squared.min(axis=1, initial=np.inf))
        ratio = np.log(near) - np.log(_distances(reach.to_others))
        for name, values, farthest in (
            ("nearness", near, _FARTHEST),
            ("calibrated", ratio, float(np.log(_FARTHEST / _NEAREST))),
        ):
            least = patient_minimum(values, patients.of_image, count)
            scores[f"{name} {reach.space}"] = -np.minimum(least, farthest)
    return scores


def _midranks(values: Floats) -> Floats:
    inside = np.sort(values)
    low, high = (np.searchsorted(inside, values, side) for side in ("left", "right"))
    middle: Floats = (low + high) / 2.0
    return middle


def difficult_groups(
    reaches: Sequence[Reach], patients: Patients, cells: npt.NDArray[np.int64] | None = None
) -> dict[str, npt.NDArray[np.bool_]]:
    """Patients who may be betrayed more easily than the rest.

    Args:
        reaches: One entry a feature space.
        patients: The numbering.
        cells: int64 (patients,), a class of each patient, such as label by device; by default
            the stratum.

    Returns:
        bool (patients,) for each group that exists: "outliers", the tenth of patients farthest
        from all other patients (mean rank over spaces); "many images", the tenth with most
        images, with those who tie unless that makes it more than a quarter of all; "rare
        cells", the smallest classes that together hold at most a tenth of the patients.
    """
    count = len(patients.member)
    groups: dict[str, npt.NDArray[np.bool_]] = {}
    if not count:
        return groups
    top = max(1, int(_TOP * count))
    if reaches:
        isolation = np.mean(
            [
                _midranks(patient_minimum(reach.to_others, patients.of_image, count))
                for reach in reaches
            ],
            axis=0,
        )
        edge = np.sort(isolation)[count - top]
        if edge > isolation.min():
            groups["outliers"] = isolation >= edge
    images = np.bincount(patients.of_image, minlength=count)
    edge = np.sort(images)[count - top]
    if (images >= edge).mean() > _MOST:
        edge += 1
    if images.max() >= edge:
        groups["many images"] = images >= edge
    _, cell, sizes = np.unique(
        patients.stratum if cells is None else cells, return_inverse=True, return_counts=True
    )
    # A class counts with all classes of its size or smaller, so that order cannot decide.
    held = np.array([sizes[sizes <= size].sum() for size in sizes])
    rare = held <= _TOP * count
    if rare.any():
        groups["rare cells"] = rare[cell]
    return groups
