"""Dose-response: how many planted copies keep an audit from ending clean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.comparisons.contrast import Captures, contrast
from audits.images import Patients
from audits.settings import CLEAR_SHARE, AuditSettings
from audits.statistics.streams import generator_for

__all__ = ["Dose", "dose_response", "limits_of_detection"]

_DOSE_PERMUTATIONS = 400


@dataclass(frozen=True)
class Dose:
    """Power against a number of planted light copies among the synthetic images.

    Attributes:
        copies: Copies planted; 0 shows what fires without any.
        repeats: Random plantings.
        by_copies: Share of plantings in which the copy search flagged a planted copy: no clean
            verdict is given then, and FAIL if it is beyond doubt or there are many.
        by_contrast: Share in which the contrast fired.
        by_either: Share in which either fired.
    """

    copies: int
    repeats: int
    by_copies: float
    by_contrast: float
    by_either: float


def dose_response(
    synthetic: Mapping[str, Captures],
    planted: Mapping[str, Captures],
    found: npt.NDArray[np.bool_],
    patients: Patients,
    settings: AuditSettings,
    *,
    tests: int,
) -> tuple[Dose, ...]:
    """Replace k synthetic images by planted copies and see how often the audit fires.

    Stored captures are reused: no further search is needed.

    Args:
        synthetic: Captures of the synthetic images, by space.
        planted: Captures of a pool of light copies, by space.
        found: bool (pool,), which copies of the pool the copy search confirms.
        patients: The numbering.
        settings: The audit's settings.
        tests: Tests among which Holm's correction shares the level in the verdict; the others
            are taken to be silent.

    Returns:
        Power at 0 and at each dose that both the pool and the synthetic set allow.
    """
    rng = generator_for(settings.seed, "dose")
    total = len(next(iter(synthetic.values()))) if synthetic else 0
    doses = []
    for copies in (0, *sorted(settings.dose)):
        if copies > min(len(found), total) or total == 0:
            continue
        repeats = settings.dose_repeats if copies else 1
        hits = np.zeros((repeats, 2), np.bool_)
        for repeat in range(repeats):
            kept = np.sort(rng.permutation(total)[: total - copies])
            added = rng.permutation(len(found))[:copies]
            mixed = {
                name: captures.select(kept).joined(planted[name].select(added))
                for name, captures in synthetic.items()
            }
            result = contrast(
                mixed,
                patients,
                tails=settings.tails,
                min_tail=settings.min_tail,
                alpha=settings.alpha,
                permutations=min(settings.permutations, _DOSE_PERMUTATIONS),
                bootstrap=0,
                confidence=settings.confidence,
                rng=rng,
            )
            level = (1.0 - CLEAR_SHARE) * settings.alpha / (tests + 1)
            fires = result.p_value is not None and result.p_value <= level
            hits[repeat] = bool(found[added].any()), fires
        doses.append(
            Dose(
                copies,
                repeats,
                float(hits[:, 0].mean()),
                float(hits[:, 1].mean()),
                float(hits.any(axis=1).mean()),
            )
        )
    return tuple(doses)


def limits_of_detection(doses: tuple[Dose, ...], power: float) -> dict[str, int | None]:
    """The fewest planted copies from which on they are noticed with the declared power.

    Args:
        doses: Result of :func:`dose_response`.
        power: Power asked for.

    Returns:
        One number for the copy search, the contrast and either of them; None where the largest
        dose does not reach it.
    """
    limits: dict[str, int | None] = {}
    for name in ("copies", "contrast", "either"):
        limit = None
        for dose in sorted(doses, key=lambda dose: -dose.copies):
            if not dose.copies or getattr(dose, f"by_{name}") < power:
                break
            limit = dose.copies
        limits[name] = limit
    return limits
