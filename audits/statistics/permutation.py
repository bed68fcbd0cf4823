"""Random relabellings of patients into train and control, within strata.

When patients were assigned by a coin-flip and nothing leaked, any other assignment was equally
likely. The patient is relabelled with all images: images of one patient are not independent.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from audits.images import Patients

__all__ = ["chance_of_all_members", "halve", "relabel", "usable_patients"]


def usable_patients(patients: Patients) -> npt.NDArray[np.bool_]:
    """Patients of strata that hold both train and control patients; others say nothing.

    Args:
        patients: The numbering.

    Returns:
        bool (patients,).
    """
    usable = np.zeros(len(patients.member), np.bool_)
    for cell in np.unique(patients.stratum):
        inside = patients.stratum == cell
        usable[inside] = len(np.unique(patients.member[inside])) == 2
    return usable


def relabel(patients: Patients, count: int, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """Draw relabellings that keep the number of members of every stratum.

    Args:
        patients: The numbering.
        count: Relabellings.
        rng: Source of randomness.

    Returns:
        bool (count, patients).
    """
    labels = np.repeat(patients.member[None, :], count, axis=0)
    for cell in np.unique(patients.stratum):
        inside = np.flatnonzero(patients.stratum == cell)
        labels[:, inside] = rng.permuted(labels[:, inside], axis=1)
    return labels


def halve(
    chosen: npt.NDArray[np.bool_], stratum: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Pick half of the chosen patients at random, half of each stratum (odd ones by coin-flip).

    Args:
        chosen: bool (patients,).
        stratum: int64 (patients,).
        rng: Source of randomness.

    Returns:
        bool (patients,), a subset of ``chosen``.
    """
    half = np.zeros(len(chosen), np.bool_)
    for cell in np.unique(stratum[chosen]):
        inside = rng.permutation(np.flatnonzero(chosen & (stratum == cell)))
        size = len(inside) // 2
        if len(inside) % 2:
            size += int(rng.integers(2))
        half[inside[:size]] = True
    return half


def chance_of_all_members(patients: Patients, involved: npt.NDArray[np.int64]) -> float:
    """Probability that a random relabelling makes all involved patients members.

    It is the smallest p-value these patients could give, so it tells whether a result could be
    significant at all. It depends on who is involved, never on the labels.

    Args:
        patients: The numbering.
        involved: Distinct patient numbers.

    Returns:
        The probability, 1 when none is involved.
    """
    log = 0.0
    for cell in np.unique(patients.stratum[involved]):
        inside = patients.stratum == cell
        total, members = int(inside.sum()), int(patients.member[inside].sum())
        wanted = int((patients.stratum[involved] == cell).sum())
        if wanted > members:
            return 0.0
        log += math.lgamma(members + 1) - math.lgamma(members - wanted + 1)
        log -= math.lgamma(total + 1) - math.lgamma(total - wanted + 1)
    return math.exp(min(0.0, log))
