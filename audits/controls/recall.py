"""Positive controls: planted copies must be found.

Every class is made once and searched once by every channel. Which channels count is decided
afterwards, by :func:`class_recalls`: a channel that fails its own controls is not admitted, and its
finds then count for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from audits.controls.planting import PLANTED_CLASSES, Donors, PlantedClass, Planting
from audits.copies.channel import CopyScores, confirmed
from audits.settings import AuditSettings
from audits.statistics.intervals import Interval, clopper_pearson, clopper_pearson_lower
from audits.statistics.streams import generator_for

__all__ = ["ClassHits", "ClassRecall", "Planted", "class_recalls", "demonstrate_recall", "plant"]

Images = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

_REASONS = {
    "generator": "The generator was not given.",
    "box": "No training image has a known lesion box.",
    "partner": "There is no second patient.",
    "": "There is no training image to copy.",
}


@dataclass(frozen=True, eq=False)
class Planted:
    """Planted copies of one class.

    Attributes:
        images: uint8 (k, H, W), the copies.
        rows: int64 (k,), the train row of each.
        patients: int64 (k, 2), the patients that a search may rightly name; the second is -1
            unless the class shows two patients.
        reason: Why there are none, or None.
    """

    images: Images
    rows: npt.NDArray[np.int64]
    patients: npt.NDArray[np.int64]
    reason: str | None


@dataclass(frozen=True, eq=False)
class ClassHits:
    """Which planted copies of one class each channel found.

    Attributes:
        kind: The class.
        planted: Copies planted, k.
        reason: Why none, or None.
        found: bool (k,) for each channel: confirmed, and traced to the right patient.
    """

    kind: PlantedClass
    planted: int
    reason: str | None
    found: Mapping[str, Bools]

    def by_any(self, admitted: Collection[str]) -> Bools:
        """Copies that at least one admitted channel found, bool (k,)."""
        result = np.zeros(self.planted, np.bool_)
        for name in admitted:
            result |= self.found[name]
        return result


@dataclass(frozen=True)
class ClassRecall:
    """How many planted copies of one class the copy search found.

    Attributes:
        name: Kind and severity.
        family: The kind alone.
        severity: Place on the curve of its family; larger is harder.
        decisive: Whether the verdict requires it.
        planted: Copies planted.
        found: Copies confirmed by an admitted channel and traced to the right patient.
        recall: Share found.
        interval: Exact two-sided interval on the recall.
        lower: Exact one-sided lower bound: the recall demonstrated.
        passed: Whether the demonstrated recall reaches the required one; None if not decisive.
        by_channel: Copies that each channel found, admitted or not.
        reason: Why nothing was planted, or None.
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
    by_channel: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None


def plant(donors: Donors, kind: PlantedClass, count: int, seed: int) -> Planted:
    """Make planted copies of one class from as many different patients as possible.

    Args:
        donors: The train images and what is known of them.
        kind: The class.
        count: Copies wanted; fewer are made where fewer images serve.
        seed: Seed of the audit.

    Returns:
        The copies; none, with the reason, where the class needs what is not known.
    """
    rng = generator_for(seed, f"plant {kind.name}")
    # A flat image has nothing to find.
    usable = donors.images.max(axis=(1, 2), initial=0) > donors.images.min(axis=(1, 2), initial=255)
    lacking = "" if not usable.any() else None
    if "generator" in kind.needs and donors.renoise is None:
        usable, lacking = np.zeros_like(usable), "generator"
    if "box" in kind.needs and lacking is None:
        usable = usable & _boxed(donors)
        lacking = None if usable.any() else "box"
    if "partner" in kind.needs and lacking is None and len(np.unique(donors.patients)) < 2:
        usable, lacking = np.zeros_like(usable), "partner"
    order = rng.permutation(np.flatnonzero(usable))
    # First one image of every patient, then the rest.
    _, first = np.unique(donors.patients[order], return_index=True)
    ahead = np.zeros(len(order), np.bool_)
    ahead[first] = True
    rows = np.r_[order[ahead], order[~ahead]][:count]
    partners = np.full(len(rows), -1, np.int64)
    if "partner" in kind.needs:
        partners = _partners(donors.patients, rows, rng)
    copies = kind.alter(Planting(donors.images[rows], rows, partners, donors, rng))
    right = np.full((len(rows), 2), -1, np.int64)
    right[:, 0] = donors.patients[rows]
    if kind.partner_counts:
        right[:, 1] = donors.patients[partners]
    return Planted(copies, rows, right, None if lacking is None else _REASONS[lacking])


def _boxed(donors: Donors) -> Bools:
    """Images with a lesion box of some extent."""
    if donors.boxes is None:
        return np.zeros(len(donors.images), np.bool_)
    x0, y0, x1, y1 = np.asarray(donors.boxes, np.float64).T
    # Comparisons with NaN are false.
    boxed: Bools = (x1 > x0) & (y1 > y0)
    return boxed


def _partners(
    patients: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """A random row of another patient for each row; all such rows are equally likely."""
    order = np.argsort(patients, kind="stable")
    ordered = patients[order]
    start = np.searchsorted(ordered, patients[rows], "left")
    count = np.searchsorted(ordered, patients[rows], "right") - start
    draw = rng.integers(0, len(patients) - count)
    # Skip the own patient's block.
    partners: npt.NDArray[np.int64] = order[np.where(draw < start, draw, draw + count)]
    return partners


def demonstrate_recall(
    donors: Donors,
    channels: Mapping[str, Callable[[Images], CopyScores]],
    thresholds: Mapping[str, tuple[float, ...]],
    settings: AuditSettings,
    *,
    classes: Sequence[PlantedClass] = PLANTED_CLASSES,
    advance: Callable[[str], None] | None = None,
) -> tuple[ClassHits, ...]:
    """Plant copies of every class and see which of them each channel confirms.

    Args:
        donors: The train images and what is known of them.
        channels: The copy searches of the audit, by name.
        thresholds: Their ratio thresholds, by the same names.
        settings: The audit's settings.
        classes: What to plant.
        advance: Called with the name of each class when done.

    Returns:
        One entry a class, for :func:`class_recalls`.
    """
    hits = []
    for kind in classes:
        planted = plant(donors, kind, settings.planted, settings.seed)
        found = {}
        for name, score in channels.items():
            scores = score(planted.images)
            known = scores.patient >= 0
            right = (scores.patient[:, :, None] == planted.patients[:, None, :]).any(axis=2)
            flagged = confirmed(scores, thresholds[name], settings.copy_distance)
            found[name] = (flagged & right & known).any(axis=1)
        hits.append(ClassHits(kind, len(planted.rows), planted.reason, found))
        if advance is not None:
            advance(kind.name)
    return tuple(hits)


def class_recalls(
    hits: Sequence[ClassHits], admitted: Collection[str], settings: AuditSettings
) -> tuple[ClassRecall, ...]:
    """Recall of each class by the channels that count.

    Args:
        hits: Result of :func:`demonstrate_recall`.
        admitted: Names of the channels whose finds count; a copy is found if any of them finds it.
        settings: The audit's settings.

    Returns:
        One entry a class, in order.
    """
    recalls = []
    for entry in hits:
        kind, n, k = entry.kind, entry.planted, int(entry.by_any(admitted).sum())
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
                {name: int(found.sum()) for name, found in entry.found.items()},
                entry.reason,
            )
        )
    return tuple(recalls)
