"""Patient-level excess disclosure: how many more train than control patients come close.

For each patient the smallest distance between any of their images and any synthetic image is
taken. A patient counts as disclosed when that distance is at most tau. Control patients cannot be
disclosed by the generator, so their rate is the "phantom" rate, and
R = (p_train - p_control) / (1 - p_control) is the share disclosed beyond it (residual risk).

tau is fixed by a rule blind to the labels: the distance below which a declared share of all
patients, pooled, falls. The permutation test is therefore exact. The upper bound puts an exact
bound on each rate at half the error: conservative, valid for any dependence between the two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.images import Patients
from audits.statistics.intervals import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    permutation_p_value,
)
from audits.statistics.permutation import relabel

__all__ = ["Disclosure", "excess_disclosure", "residual_risk"]


@dataclass(frozen=True)
class Disclosure:
    """Excess disclosure of train patients.

    Attributes:
        n_train: Train patients.
        n_control: Control patients.
        disclosed_train: Train patients within tau.
        disclosed_control: Control patients within tau.
        risk: R, at most 1, negative when control patients are closer.
        lower: One-sided lower bound on R; minus infinity when the control leaves nothing.
        upper: One-sided upper bound on R.
        p_value: One-sided permutation p-value.
        confidence: Of each bound.
    """

    n_train: int
    n_control: int
    disclosed_train: int
    disclosed_control: int
    risk: float
    lower: float
    upper: float
    p_value: float
    confidence: float


def residual_risk(train_rate: float, control_rate: float) -> float:
    """(p_T - p_H) / (1 - p_H); at p_H = 1, 0 for p_T = 1 and minus infinity below.

    Args:
        train_rate: p_T, 0 to 1.
        control_rate: p_H, 0 to 1.

    Returns:
        The excess rate relative to what the control leaves.
    """
    if control_rate >= 1.0:
        return 0.0 if train_rate >= 1.0 else -math.inf
    return (train_rate - control_rate) / (1.0 - control_rate)


def excess_disclosure(
    squared: npt.NDArray[np.float64],
    patients: Patients,
    *,
    quantile: float,
    permutations: int,
    confidence: float,
    rng: np.random.Generator,
) -> Disclosure | None:
    """Compare the disclosure rates of train and control patients.

    Args:
        squared: float64 (patients,), smallest squared distance of each patient to any synthetic
            image.
        patients: The numbering.
        quantile: Share of pooled patients within tau.
        permutations: Relabellings.
        confidence: Of the upper bound.
        rng: Source of randomness.

    Returns:
        The comparison, or None without train or without control patients.
    """
    member = patients.member
    n_train, n_control = patients.n_members, patients.n_controls
    if not n_train or not n_control:
        return None
    rank = max(1, math.ceil(quantile * len(member)))
    within = squared <= np.sort(squared)[rank - 1]
    train, control = int((within & member).sum()), int((within & ~member).sum())
    reached = 0
    for begin in range(0, permutations, 500):
        labels = relabel(patients, min(500, permutations - begin), rng)
        reached += int(((labels & within).sum(axis=1) >= train).sum())
    side = 1.0 - (1.0 - confidence) / 2.0
    return Disclosure(
        n_train,
        n_control,
        train,
        control,
        residual_risk(train / n_train, control / n_control),
        residual_risk(
            clopper_pearson_lower(train, n_train, side),
            clopper_pearson_upper(control, n_control, side),
        ),
        residual_risk(
            clopper_pearson_upper(train, n_train, side),
            clopper_pearson_lower(control, n_control, side),
        ),
        permutation_p_value(reached, permutations),
        confidence,
    )
