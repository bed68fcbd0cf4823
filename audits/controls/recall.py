"""Positive controls: planted copies must be found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.controls.planting import PLANTED_CLASSES, PlantedClass
from audits.copies.framings import CopyScores, confirmed
from audits.settings import AuditSettings
from audits.statistics.intervals import Interval, clopper_pearson, clopper_pearson_lower
from audits.statistics.streams import generator_for

__all__ = ["ClassRecall", "demonstrate_recall", "plant"]

Images = npt.NDArray[np.uint8]


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
