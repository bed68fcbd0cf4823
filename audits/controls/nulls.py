"""Negative controls: comparisons in which nothing can have leaked must be null."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.comparisons.contrast import Captures, contrast
from audits.images import Patients
from audits.settings import AuditSettings
from audits.statistics.permutation import halve
from audits.statistics.streams import generator_for

__all__ = ["NullComparison", "NullPlan", "null_comparison", "plan_nulls"]


@dataclass(frozen=True, eq=False)
class NullPlan:
    """Who poses as synthetic, and between whom there must be no difference.

    Attributes:
        name: Short fixed identifier.
        question: What is compared.
        posing: int64, real rows that pose as synthetic; None for the synthetic images themselves.
        rows: int64, real rows they are compared with.
        patients: The numbering of the patients of these rows.
    """

    name: str
    question: str
    posing: npt.NDArray[np.int64] | None
    rows: npt.NDArray[np.int64]
    patients: Patients


@dataclass(frozen=True)
class NullComparison:
    """A comparison without any leakage, which must not fire.

    Attributes:
        name: Short fixed identifier.
        question: What is compared.
        n_images: Images posing as synthetic.
        n_first: Patients in the role of train.
        n_second: Patients in the role of control.
        p_value: Two-sided joint p-value, or None when not estimable.
        fired: Whether it fired at its share of the null level.
    """

    name: str
    question: str
    n_images: int
    n_first: int
    n_second: int
    p_value: float | None
    fired: bool


def _subset(
    patients: Patients, keep: npt.NDArray[np.bool_], member: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], Patients]:
    """Rows and numbering of some patients under new labels."""
    rows = np.flatnonzero(keep[patients.of_image])
    number = np.cumsum(keep) - 1
    return rows, Patients(
        number[patients.of_image[rows]].astype(np.int64),
        member[keep],
        patients.stratum[keep],
        patients.known,
    )


def plan_nulls(patients: Patients, seed: int) -> tuple[NullPlan, ...]:
    """Draw the null comparisons.

    Half of the control patients, then half of the train patients, pose as synthetic against the
    others: if train and control differ for any reason but leakage, these fire. Then train is
    split at random: synthetic images must not prefer one half.

    Args:
        patients: The numbering.
        seed: Seed of the audit.

    Returns:
        The plans; some may be empty where there are few patients.
    """
    member = patients.member
    everyone = np.ones(len(member), np.bool_)
    rng = generator_for(seed, "null halves")
    control_half = halve(~member, patients.stratum, rng)
    member_half = halve(member, patients.stratum, rng)
    plans = (
        (
            "control posing as synthetic",
            "Half of the control patients, posing as synthetic, against train and the other half.",
            control_half,
            everyone & ~control_half,
            member,
        ),
        (
            "train posing as synthetic",
            "Half of the training patients, posing as synthetic, against the other half and "
            "control.",
            member_half,
            everyone & ~member_half,
            member,
        ),
        (
            "member-only split",
            "The synthetic images against two random halves of the training patients.",
            None,
            member,
            member_half,
        ),
    )
    return tuple(
        NullPlan(
            name,
            question,
            None if posing is None else np.flatnonzero(posing[patients.of_image]),
            *_subset(patients, keep, labels),
        )
        for name, question, posing, keep, labels in plans
    )


def null_comparison(
    plan: NullPlan, captures: Mapping[str, Captures], plans: int, settings: AuditSettings
) -> NullComparison:
    """Run the contrast where nothing can have leaked.

    Args:
        plan: The comparison.
        captures: Captures of the posing images among the plan's rows, by space; empty where the
            plan compares nothing.
        plans: Comparisons that share the null level.
        settings: The audit's settings.

    Returns:
        The comparison with its two-sided p-value.
    """
    result = contrast(
        captures,
        plan.patients,
        tails=settings.tails,
        min_tail=settings.min_tail,
        alpha=settings.alpha,
        permutations=settings.permutations,
        bootstrap=0,
        confidence=settings.confidence,
        rng=generator_for(settings.seed, plan.name),
    )
    p_value = result.p_two_sided
    return NullComparison(
        plan.name,
        plan.question,
        max((len(captured) for captured in captures.values()), default=0),
        plan.patients.n_members,
        plan.patients.n_controls,
        p_value,
        p_value is not None and p_value <= settings.null_alpha / plans,
    )
