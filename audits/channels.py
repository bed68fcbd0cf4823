"""Every copy channel calibrated, put to its controls, and counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.controls.planting import PLANTED_CLASSES, PlantedClass
from audits.controls.recall import ClassHits, ClassRecall, class_recalls
from audits.copies.channel import CopyChannel, CopyScores, confirmed
from audits.copies.duplicates import Duplicates, find_duplicates
from audits.copies.findings import (
    ChannelCopies,
    CopyFindings,
    admitted,
    calibrate,
    combine,
    examine,
)
from audits.copies.framings import FramingsChannel, build_reference
from audits.copies.guarantee import NearPairs, find_within, propose_radius
from audits.material import Material
from audits.settings import AuditSettings
from audits.statistics.intervals import clopper_pearson_lower

__all__ = [
    "LIGHT",
    "ChannelScores",
    "CopyExamination",
    "FramingSearch",
    "examine_copies",
    "score_channel",
    "search_framings",
    "split_planted",
]

Images = npt.NDArray[np.uint8]

LIGHT = ("exact", "mirrored", "noise 20 dB", "blur 1 % of the side", "gain 0.8 to 1.25",
          "JPEG quality 75")  # fmt: skip
"""Planted classes that every channel and every space must find to count on these data.

Harder classes need only be found by one of them.
"""


@dataclass(frozen=True, eq=False)
class ChannelScores:
    """What one channel says of everything it was shown.

    Attributes:
        name: The channel.
        columns: What its columns stand for.
        posing: Scores of the control images, own patient left out.
        synthetic: Scores of the synthetic images.
        planted: Scores of each planted class.
        fresh: bool (controls,), control images that the channel did not learn from, so that they
            are to it what synthetic images are; None where it learned from none.
    """

    name: str
    columns: tuple[str, ...]
    posing: CopyScores
    synthetic: CopyScores
    planted: Mapping[str, CopyScores]
    fresh: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, eq=False)
class FramingSearch:
    """What the search of whole pictures found.

    Attributes:
        near: Synthetic and real images within the radius, none missed.
        duplicates: Near-duplicates among the real images.
        scores: Scores of the channel.
    """

    near: NearPairs
    duplicates: Duplicates
    scores: ChannelScores


@dataclass(frozen=True, eq=False)
class CopyExamination:
    """The copy test over all channels.

    Attributes:
        channels: What each channel found.
        findings: All together.
        hits: Which planted copies each channel found.
        recalls: Recall of each planted class by the admitted channels.
        traced: For each channel and light class, the demonstrated share of copies that are nearest
            to the right patient, whatever the ratio: what admits a space to the comparisons.
    """

    channels: tuple[ChannelCopies, ...]
    findings: CopyFindings
    hits: tuple[ClassHits, ...]
    recalls: tuple[ClassRecall, ...]
    traced: Mapping[str, Mapping[str, float]]

    @property
    def counting(self) -> tuple[str, ...]:
        """Names of the channels whose finds count as demonstrated recall."""
        return _counting(self.channels)


def score_channel(channel: CopyChannel, material: Material) -> ChannelScores:
    """Search control, synthetic and planted images in one channel.

    Args:
        channel: The channel.
        material: What to search.

    Returns:
        The scores.
    """
    own = material.patients.of_image[material.n_train :]
    return ChannelScores(
        channel.name,
        channel.columns,
        channel.score(material.real[material.n_train :], own),
        channel.score(material.synthetic),
        split_planted(channel.score(material.copies), material),
    )


def split_planted(scores: CopyScores, material: Material) -> dict[str, CopyScores]:
    """Scores of all planted copies, searched together, by class.

    Args:
        scores: Scores of ``material.copies``.
        material: What was planted.

    Returns:
        One entry a class.
    """
    return {kind: scores.take(rows) for kind, rows in material.copies_of.items()}


def search_framings(
    material: Material,
    settings: AuditSettings,
    *,
    raw_train: Images,
    raw_control: Images,
    shards: int = 1,
    executor: Executor | None = None,
) -> FramingSearch:
    """Search whole pictures: first every pair within a radius, with proof, then by ratio.

    The radius is the largest within which no control image has another patient's image. All
    pairs within it are handed to the search by ratio, which can then not lose them.

    Args:
        material: What to search.
        settings: The audit's settings.
        raw_train: uint8 (n, H, W), train images without any masking, for exact duplicates.
        raw_control: uint8 (m, H, W), control images likewise.
        shards: Parts the queries are cut into; never changes a number.
        executor: Where shards run.

    Returns:
        Pairs within the radius, duplicates among the real images, and the channel's scores.
    """
    n_train, of_row = material.n_train, material.patients.of_image
    reference = build_reference(material.real, of_row)
    channel = FramingsChannel(reference, settings.candidates, shards, executor)
    own = of_row[n_train:]
    posing = channel.score(material.real[n_train:], own)
    duplicates = find_duplicates(
        raw_train, raw_control, posing, settings.duplicate_ratio, settings.copy_distance
    )
    radius = propose_radius(
        material.real[n_train:],
        own,
        reference,
        margin=settings.control_margin,
        leave_out=_duplicated(duplicates, len(raw_control)),
        shards=shards,
        executor=executor,
    )
    near = find_within(material.synthetic, reference, radius, shards=shards, executor=executor)
    scores = ChannelScores(
        channel.name,
        channel.columns,
        posing,
        channel.score(material.synthetic, include=near.candidates()),
        split_planted(channel.score(material.copies), material),
    )
    return FramingSearch(near, duplicates, scores)


def _duplicated(duplicates: Duplicates, controls: int) -> npt.NDArray[np.bool_]:
    """Control images that (nearly) repeat an image of another patient."""
    result = np.zeros(controls, np.bool_)
    pairs = (*duplicates.near, *duplicates.within_control)
    result[[row for row, _ in pairs] + [hit.query for hit in duplicates.identical]] = True
    return result


def examine_copies(
    scores: Sequence[ChannelScores],
    duplicates: Duplicates,
    material: Material,
    settings: AuditSettings,
    *,
    classes: Sequence[PlantedClass] = PLANTED_CLASSES,
) -> CopyExamination:
    """Calibrate every channel on control images, admit it by its controls, and count.

    Args:
        scores: The channels.
        duplicates: Near-duplicates among the real images, which say nothing about chance.
        material: What was searched.
        settings: The audit's settings.
        classes: What was planted.

    Returns:
        The examination.
    """
    patients = material.patients
    duplicated = _duplicated(duplicates, len(material.real) - material.n_train)
    comparisons = len(material.synthetic) * sum(len(channel.columns) for channel in scores)
    thresholds = {
        s.name: calibrate(
            s.posing,
            duplicated if s.fresh is None else duplicated | ~s.fresh,
            settings,
            comparisons=comparisons,
        )
        for s in scores
    }

    traced: dict[str, dict[str, float]] = {s.name: {} for s in scores}
    hits = []
    for kind in classes:
        planted = material.planted[kind.name]
        found = {}
        for channel in scores:
            given = channel.planted[kind.name]
            right = (given.patient[:, :, None] == planted.patients[:, None, :]).any(axis=2)
            right &= given.patient >= 0
            flagged = confirmed(given, thresholds[channel.name].ratios, settings.copy_distance)
            found[channel.name] = (flagged & right).any(axis=1)
            if kind.name in LIGHT and len(right):
                traced[channel.name][kind.name] = clopper_pearson_lower(
                    int(right.any(axis=1).sum()), len(right), settings.confidence
                )
        hits.append(ClassHits(kind, len(planted.rows), planted.reason, found))

    found_by = []
    for channel in scores:
        bounds = {
            entry.kind.name: clopper_pearson_lower(
                int(entry.found[channel.name].sum()), entry.planted, settings.confidence
            )
            for entry in hits
            if entry.kind.name in LIGHT and entry.planted
        }
        found_by.append(
            examine(
                channel.name,
                channel.columns,
                channel.synthetic,
                patients,
                thresholds[channel.name],
                settings,
                channels=len(scores),
                verdict=admitted(bounds, settings.min_recall),
            )
        )
    return CopyExamination(
        tuple(found_by),
        combine(found_by, patients, len(material.synthetic)),
        tuple(hits),
        class_recalls(hits, _counting(found_by), settings),
        traced,
    )


def _counting(channels: Sequence[ChannelCopies]) -> tuple[str, ...]:
    """Those admitted; all where none is, as where too few copies were planted to admit any.

    No more than what all of them find is then demonstrated, which is little if copies are few.
    """
    names = tuple(channel.name for channel in channels if channel.admitted)
    return names or tuple(channel.name for channel in channels)
