"""What the three questions of WP216 share: rates of train and control under relabelled patients.

Each question compares a rate among train patients with the same rate among control patients, in
several feature spaces at once. All rates are recomputed under the same random relabellings, and
the maximum of the standardised differences gives one p-value for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.comparisons.disclosure import residual_risk
from audits.comparisons.ranking import TOLERANCE, control_weights, joint_p_values, relabelled
from audits.images import Patients
from audits.statistics.permutation import usable_patients

__all__ = ["Relabelled", "finite_risk", "relabelling_test", "restricted", "standard_weights"]

Floats = npt.NDArray[np.float64]
Statistic = Callable[[npt.NDArray[np.bool_]], Floats]
"""From labels, bool (b, patients), to statistics, float64 (b, columns), large for leakage."""


@dataclass(frozen=True, eq=False)
class Relabelled:
    """What relabelling says about several statistics.

    Attributes:
        single: float64 (columns,), one-sided p-value of each statistic alone.
        joint: One-sided p-value of the largest standardised statistic.
    """

    single: Floats
    joint: float


def relabelling_test(
    statistic: Statistic, patients: Patients, permutations: int, rng: np.random.Generator
) -> Relabelled:
    """Test statistics against relabellings of patients within strata.

    The p-values are exact if labels are exchangeable within strata, whatever the statistic,
    because the true labels are treated like every relabelling: also when standardising.

    Args:
        statistic: Computes all statistics for several labellings at once.
        patients: The numbering.
        permutations: Relabellings.
        rng: Source of randomness.

    Returns:
        The p-values; 1 for a statistic that no relabelling changes.

    Reference:
        Westfall & Young, Resampling-Based Multiple Testing (1993), chapter 2.
    """
    observed = statistic(patients.member[None, :])
    blocks = [statistic(labels) for labels in relabelled(patients, permutations, rng)]
    permuted = np.concatenate([observed[:0], *blocks])
    return Relabelled(*joint_p_values(observed[0], permuted))


def restricted(patients: Patients, keep: npt.NDArray[np.bool_]) -> Patients:
    """Some patients, each as if with one image, because only labels matter here.

    Labels stay exchangeable within strata if the choice does not depend on them.

    Args:
        patients: The numbering.
        keep: bool (patients,).

    Returns:
        The patients kept, in the same order.
    """
    count = int(keep.sum())
    return Patients(np.arange(count), patients.member[keep], patients.stratum[keep], patients.known)


def standard_weights(patients: Patients) -> tuple[Floats, Floats]:
    """Weights that give both groups the mix of strata of train (direct standardisation).

    Only strata with both train and control patients count. A relabelling keeps the counts of
    every stratum, so the weights hold for relabelled patients: each takes the weight of the label
    it is given.

    Args:
        patients: The numbering.

    Returns:
        float64 (patients,) twice: the weight of each patient as a train and as a control
        patient. Over the patients of a group they sum to 1, or are 0 without a usable stratum.
    """
    usable = usable_patients(patients)
    part = restricted(patients, usable)
    train, control = np.zeros(len(usable)), np.zeros(len(usable))
    train[usable] = 1.0 / max(1, part.n_members)
    # In every stratum control weights sum to its train patients, so in all to those of train.
    control[usable] = control_weights(part) / max(1, part.n_members)
    return train, control


def finite_risk(train_rate: float, control_rate: float) -> float | None:
    """Residual risk, None where the control leaves no room and train falls short of it.

    Args:
        train_rate: 0 to 1.
        control_rate: 0 to 1.

    Returns:
        (train - control) / (1 - control).
    """
    # A rate of 1 summed from weights may miss 1 by rounding.
    if control_rate >= 1.0 - TOLERANCE:
        return 0.0 if train_rate >= 1.0 - TOLERANCE else None
    return residual_risk(train_rate, control_rate)
