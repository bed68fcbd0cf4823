"""How near synthetic images come to each real image, the input of the patient-level tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.search.exact import Neighbours

__all__ = ["Reach", "patient_minimum"]


@dataclass(frozen=True, eq=False)
class Reach:
    """Distances between the n real images, train first, and the synthetic images in one space.

    Attributes:
        space: Name of the feature space.
        to_synthetic: For each real image the k nearest synthetic images, nearest first, at the
            lesser distance of plain and mirrored; missing ones at infinity, row -1.
        to_others: float64 (n,), squared distance to the nearest real image of another patient;
            infinity where there is none. Blind to who is train.
    """

    space: str
    to_synthetic: Neighbours
    to_others: npt.NDArray[np.float64]


def patient_minimum(
    values: npt.NDArray[np.float64], patient_of_image: npt.NDArray[np.int64], patients: int
) -> npt.NDArray[np.float64]:
    """Least value over the images of each patient.

    Args:
        values: float64 (n,).
        patient_of_image: int64 (n,).
        patients: Number of patients.

    Returns:
        float64 (patients,), infinity for a patient without images.
    """
    result = np.full(patients, np.inf)
    np.minimum.at(result, patient_of_image, values)
    return result
