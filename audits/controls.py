"""Controls of the audit itself: planted copies must be found, null comparisons must be null."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.contrast import Captures, contrast
from audits.copies import CopyScores, confirmed
from audits.images import Patients
from audits.intervals import Interval, clopper_pearson, clopper_pearson_lower
from audits.permutation import halve
from audits.planting import PLANTED_CLASSES, PlantedClass
from audits.settings import AuditSettings
from audits.spaces import Searcher, Space, subset

__all__ = [
    "ClassRecall",
    "Dose",
    "NullComparison",
    "demonstrate_recall",
    "dose_response",
    "generator_for",
    "null_comparisons",
    "plant",
]

Images = npt.NDArray[np.uint8]
_DOSE_PERMUTATIONS = 400
_DOSE_TESTS = 2
"""Tests among which Holm's correction shares the level in the verdict."""


@dataclass(frozen=True)
class ClassRecall:
    """How many planted copies of one class the copy search found.

    Attributes:
        name: Kind and severity.
        family: The kind alone.
        severity: Place on the curve of its family; larger is harder.
        decisive: Whether the verdict requires it.
        planted: Copies planted.
        found: Copies confirmed and traced to the right patient.
        recall: Share found.
        interval: Exact two-sided interval on the recall.
        lower: Exact one-sided lower bound: the recall demonstrated.
        passed: Whether the demonstrated recall reaches the required one; None if not decisive.
    """

    name: str
    family: str
    severity: float
    decisive: bool
    planted: int
    found: int
    recall: float
    interval: Interval
    lower: float
    passed: bool | None


@dataclass(frozen=True)
class Dose:
    """Power against a number of planted light copies among the synthetic images.

    Attributes:
        copies: Copies planted; 0 shows what fires without any.
        repeats: Random plantings.
        by_copies: Share of plantings in which the copy search fired on a planted copy.
        by_contrast: Share in which the contrast fired.
        by_either: Share in which either fired.
    """

    copies: int
    repeats: int
    by_copies: float
    by_contrast: float
    by_either: float


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


def generator_for(seed: int, purpose: str) -> np.random.Generator:
    """An independent random stream for each purpose, whatever runs before it.

    Args:
        seed: Seed of the audit.
        purpose: Fixed name.

    Returns:
        The stream.
    """
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def plant(
    train: Images,
    patients: npt.NDArray[np.int64],
    kind: PlantedClass,
    count: int,
    seed: int,
) -> tuple[Images, npt.NDArray[np.int64]]:
    """Make planted copies of one class from as many different patients as possible.

    Args:
        train: uint8 (n, H, W).
        patients: int64 (n,), patient number of each train image.
        kind: The class.
        count: Copies wanted; at most n are made.
        seed: Seed of the audit.

    Returns:
        The copies and the train row of each.
    """
    rng = generator_for(seed, f"plant {kind.name}")
    # A flat image has nothing to find.
    order = rng.permutation(np.flatnonzero(train.max(axis=(1, 2)) > train.min(axis=(1, 2))))
    # First one image of every patient, then the rest.
    _, first = np.unique(patients[order], return_index=True)
    ahead = np.zeros(len(order), np.bool_)
    ahead[first] = True
    rows = np.r_[order[ahead], order[~ahead]][:count]
    return kind.alter(train[rows], rng), rows


def demonstrate_recall(
    train: Images,
    patients: npt.NDArray[np.int64],
    score: Callable[[Images], CopyScores],
    thresholds: tuple[float, ...],
    settings: AuditSettings,
    *,
    classes: Sequence[PlantedClass] = PLANTED_CLASSES,
    advance: Callable[[str], None] | None = None,
) -> tuple[tuple[ClassRecall, ...], Mapping[str, npt.NDArray[np.bool_]]]:
    """Plant copies of every class and count those the copy search confirms.

    Args:
        train: uint8 (n, H, W).
        patients: int64 (n,), patient number of each train image.
        score: The copy search of the audit.
        thresholds: Its ratio thresholds.
        settings: The audit's settings.
        classes: What to plant.
        advance: Called with the name of each class when done.

    Returns:
        Recall of each class, and which copies of each class were found.
    """
    recalls, found_by_class = [], {}
    for kind in classes:
        copies, rows = plant(train, patients, kind, settings.planted, settings.seed)
        scores = score(copies)
        right = scores.patient == patients[rows][:, None]
        flagged = confirmed(scores, thresholds, settings.copy_distance)
        found = (flagged & right).any(axis=1)
        found_by_class[kind.name] = found
        n, k = len(rows), int(found.sum())
        lower = clopper_pearson_lower(k, n, settings.confidence)
        recalls.append(
            ClassRecall(
                kind.name,
                kind.family,
                kind.severity,
                kind.decisive,
                n,
                k,
                k / n if n else 0.0,
                clopper_pearson(k, n, settings.confidence),
                lower,
                lower >= settings.min_recall if kind.decisive else None,
            )
        )
        if advance is not None:
            advance(kind.name)
    return tuple(recalls), found_by_class


def dose_response(
    synthetic: Mapping[str, Captures],
    planted: Mapping[str, Captures],
    found: npt.NDArray[np.bool_],
    patients: Patients,
    settings: AuditSettings,
) -> tuple[Dose, ...]:
    """Replace k synthetic images by planted copies and see how often the audit fires.

    Stored captures are reused: no further search is needed.

    Args:
        synthetic: Captures of the synthetic images, by space.
        planted: Captures of a pool of light copies, by space.
        found: bool (pool,), which copies of the pool the copy search confirms.
        patients: The numbering.
        settings: The audit's settings.

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
            # As in the verdict, where the other test is silent.
            level = settings.alpha / _DOSE_TESTS
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
