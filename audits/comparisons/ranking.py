"""Patients in order of a value, under their true labels and under many relabellings.

Disclosure and membership ask the same thing of every labelling: walk through the patients from
the most suspicious on, and count train and control patients. This module keeps the walk, the
weights that make a stratified lottery comparable, and the joint p-value, in one place.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.images import Patients
from audits.statistics.intervals import permutation_p_value
from audits.statistics.permutation import relabel, usable_patients

__all__ = ["TOLERANCE", "Ranking", "control_weights", "joint_p_values", "relabelled", "usable_only"]

TOLERANCE = 1e-9
_BLOCK = 1 << 21


@dataclass(frozen=True, eq=False)
class Ranking:
    """Patients from the smallest value to the largest.

    Attributes:
        order: int64 (patients,), patient at each position.
        start: int64 (patients,), first position of the same value as each position.
        end: int64 (patients,), last position of the same value as each position.
        ends: int64 (values,), last position of each value.
    """

    order: npt.NDArray[np.int64]
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    @property
    def tied(self) -> bool:
        """Whether any two patients share a value."""
        return len(self.ends) < len(self.order)

    @classmethod
    def of(cls, values: npt.NDArray[np.float64]) -> Ranking:
        """Rank patients by a value.

        Args:
            values: float64 (patients,); infinity allowed.

        Returns:
            The ranking.

        Raises:
            ValueError: A value is not a number.
        """
        if np.isnan(values).any():
            raise ValueError("Expected values that are numbers. Got NaN.")
        order = np.argsort(values, kind="stable").astype(np.int64)
        inside = values[order]
        positions = np.arange(len(values))
        last = np.ones(len(values), np.bool_)
        last[:-1] = inside[1:] != inside[:-1]
        ends = np.flatnonzero(last).astype(np.int64)
        run = np.searchsorted(ends, positions)
        starts = np.r_[0, ends + 1].astype(np.int64)
        return cls(order, starts[run], ends[run], ends)


def usable_only(patients: Patients) -> tuple[Patients, npt.NDArray[np.int64]]:
    """Keep the patients of strata that hold both sides; the others carry no information.

    Args:
        patients: The numbering.

    Returns:
        Members and strata of the kept patients (without images), and their numbers before.
    """
    kept = np.flatnonzero(usable_patients(patients))
    part = Patients(
        np.empty(0, np.int64), patients.member[kept], patients.stratum[kept], patients.known
    )
    return part, kept


def control_weights(patients: Patients) -> npt.NDArray[np.float64]:
    """Train patients for each control patient of the stratum, the same under every relabelling.

    Weighted so, control patients stand for the strata in the proportions of train: direct
    standardisation. All weights are equal where the lottery drew one share from every stratum.

    Args:
        patients: Numbering in which every stratum holds train and control patients.

    Returns:
        float64 (patients,), above 0.
    """
    weights = np.ones(len(patients.member))
    for cell in np.unique(patients.stratum):
        inside = patients.stratum == cell
        members = patients.member[inside]
        weights[inside] = members.sum() / (~members).sum()
    return weights


def relabelled(
    patients: Patients, count: int, rng: np.random.Generator
) -> Iterator[npt.NDArray[np.bool_]]:
    """Relabellings in blocks of bounded memory.

    Args:
        patients: The numbering.
        count: Relabellings in all.
        rng: Source of randomness.

    Yields:
        bool (some, patients).
    """
    rows = max(1, min(500, _BLOCK // max(1, len(patients.member))))
    for begin in range(0, count, rows):
        yield relabel(patients, min(rows, count - begin), rng)


def joint_p_values(
    observed: npt.NDArray[np.float64], permuted: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], float]:
    """One-sided p-value of each statistic, and one for all by the largest standardised one.

    Mean and spread are taken over the observed and the relabelled values together, so that all
    labellings are treated alike and the joint p-value is exact.

    Args:
        observed: float64 (statistics,), finite.
        permuted: float64 (relabellings, statistics), finite.

    Returns:
        The single p-values, and the joint one; statistics that never change do not count, and
        without any statistic the joint p-value is 1.

    Reference:
        Westfall & Young (1993), Resampling-Based Multiple Testing.
    """
    count = len(permuted)
    if not len(observed):
        return np.empty(0), 1.0
    every = np.vstack([observed, permuted])
    spread = every.std(axis=0)
    z = (every - every.mean(axis=0)) / np.where(spread > TOLERANCE, spread, np.inf)
    single = (permuted >= observed - TOLERANCE).sum(axis=0)
    joint = int((z[1:].max(axis=1) >= z[0].max() - TOLERANCE).sum())
    return (
        np.array([permutation_p_value(int(b), count) for b in single]),
        permutation_p_value(joint, count),
    )
