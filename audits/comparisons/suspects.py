"""Who would be accused first: for the site's own eyes, never for a report that leaves it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from audits.images import Patients

__all__ = ["most_suspicious"]

Floats = npt.NDArray[np.float64]


def most_suspicious(
    scores: Mapping[str, Floats], patients: Patients, count: int = 20
) -> list[dict[str, Any]]:
    """The train patients whom an attacker would accuse first, for the site's own eyes.

    Args:
        scores: Scores of the patients, by name.
        patients: The numbering.
        count: Patients listed.

    Returns:
        JSON types: the rows of the patient's images, the score in which the patient stands out
        most, as a rank among all patients (1 is the highest), and that score.
    """
    from scipy.stats import rankdata

    if not scores:
        return []
    names = list(scores)
    ranks = np.stack([rankdata(-scores[name], method="average") for name in names])
    best = ranks.min(axis=0)
    accused = [int(p) for p in np.lexsort((ranks.mean(axis=0), best)) if patients.member[p]]
    listed = []
    for patient in accused[:count]:
        name = names[int(ranks[:, patient].argmin())]
        listed.append(
            {
                "rows": np.flatnonzero(patients.of_image == patient).tolist(),
                "score": name,
                "rank": float(best[patient]),
                "value": float(scores[name][patient]),
            }
        )
    return listed
