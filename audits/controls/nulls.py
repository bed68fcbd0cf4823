"""Negative controls: comparisons in which nothing can have leaked must be null."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.comparisons.contrast import contrast
from audits.images import Patients
from audits.settings import AuditSettings
from audits.spaces import Searcher, Space, subset
from audits.statistics.permutation import halve
from audits.statistics.streams import generator_for

__all__ = ["NullComparison", "null_comparisons"]

Images = npt.NDArray[np.uint8]


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


def null_comparisons(
    synthetic: Images,
    real: Images,
    spaces: Sequence[Space],
    patients: Patients,
    searcher: Searcher,
    settings: AuditSettings,
) -> tuple[NullComparison, ...]:
    """Run the contrast where nothing can have leaked.

    Half of the control patients, then half of the train patients, pose as synthetic against the
    others: if train and control differ for any reason but leakage, these fire. Then train is
    split at random: synthetic images must not prefer one half.

    Args:
        synthetic: uint8 (m, H, W).
        real: uint8 (n, H, W), train first.
        spaces: Feature spaces of the real images.
        patients: The numbering.
        searcher: How to search.
        settings: The audit's settings.

    Returns:
        Three comparisons, each two-sided.
    """
    member, everyone = patients.member, np.ones(len(patients.member), np.bool_)
    rng = generator_for(settings.seed, "null halves")
    control_half = halve(~member, patients.stratum, rng)
    member_half = halve(member, patients.stratum, rng)
    plans = (
        (
            "control posing as synthetic",
            "Half of the control patients, posing as synthetic, against train and the other half.",
            real[control_half[patients.of_image]],
            everyone & ~control_half,
            member,
        ),
        (
            "train posing as synthetic",
            "Half of the train patients, posing as synthetic, against the other half and control.",
            real[member_half[patients.of_image]],
            everyone & ~member_half,
            member,
        ),
        (
            "member-only split",
            "The synthetic images against two random halves of the train patients.",
            synthetic,
            member,
            member_half,
        ),
    )
    level = settings.null_alpha / len(plans)
    results = []
    for name, question, posing, keep, labels in plans:
        part = subset(patients, keep, labels)
        p_value = None
        if len(posing) and len(part.rows):
            result = contrast(
                searcher.captures(posing, spaces, part.rows, part.patients.of_image),
                part.patients,
                tails=settings.tails,
                min_tail=settings.min_tail,
                alpha=settings.alpha,
                permutations=settings.permutations,
                bootstrap=0,
                confidence=settings.confidence,
                rng=generator_for(settings.seed, name),
            )
            p_value = result.p_two_sided
        results.append(
            NullComparison(
                name,
                question,
                len(posing),
                part.patients.n_members,
                part.patients.n_controls,
                p_value,
                p_value is not None and p_value <= level,
            )
        )
    return tuple(results)
