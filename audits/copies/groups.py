"""Groups of images in one real set that show the same picture.

A picture filed twice is harmless within one patient's examination and harmful elsewhere: under two
patients it is memorised more readily and hides its own copies, in two splits it makes control
patients part of the training, with two diagnoses it teaches the generator one of them wrongly.

Two images are linked if their pixels are equal in some orientation, or if the copy search finds
their distance to be a small share of the distance to the next patient who shows another picture
(ratio of first to second neighbour: Yoon et al., ICML workshop 2023), as wholes or in parts. Linked
images form groups. The rule is strict: another frame of the same lesion seldom meets it, so the
nearest pairs of different patients that do not are listed too, for the eye to judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.copies.channel import CopyScores
from audits.copies.framings import build_reference, score_copies
from audits.copies.identity import canonical_hash, orientations
from audits.copies.patches import PatchesChannel, build_patches

__all__ = ["DuplicateGroup", "DuplicateGroups", "NearPair", "find_groups"]

Links = dict[tuple[int, int], tuple[float, float]]
"""Ratio and distance of each pair of linked rows, the lower row first."""


@dataclass(frozen=True)
class DuplicateGroup:
    """Images that show the same picture.

    Attributes:
        rows: Their rows, ascending; at least two.
        identical: Whether all are equal up to mirroring and quarter turns.
        patients: Patients they are filed under; None where patients are unknown.
        splits: Splits they are in, sorted.
        contradicting: Labels of which they carry several values, sorted.
        ratio: Ratio of the weakest link; 0 for equal pixels.
        distance: Distance sqrt(2 - 2 NCC) of the weakest link, at its scale.
    """

    rows: tuple[int, ...]
    identical: bool
    patients: int | None
    splits: tuple[str, ...]
    contradicting: tuple[str, ...]
    ratio: float
    distance: float

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong: ``"patients"``, ``"unknown patients"``, ``"splits"``, ``"labels"``.

        Nothing is wrong with one picture twice within one patient, one split and one label.
        """
        found = {
            "unknown patients": self.patients is None,
            "patients": self.patients is not None and self.patients > 1,
            "splits": len(self.splits) > 1,
            "labels": bool(self.contradicting),
        }
        return tuple(name for name, holds in found.items() if holds)


@dataclass(frozen=True)
class NearPair:
    """Two images of different patients that resemble each other without meeting the rule.

    Attributes:
        rows: Their rows, the lower first.
        ratio: Ratio of the pair by the channel that found it most alike.
    """

    rows: tuple[int, int]
    ratio: float


@dataclass(frozen=True)
class DuplicateGroups:
    """All groups of one set; the rows are for the site only.

    Attributes:
        images: Images searched.
        patients: Patients among them, None where unknown.
        flat: Images of one grey value, which show nothing and were left out.
        groups: The groups, those with a problem first, then the most certain.
        suspects: The nearest pairs of different patients in no group together, the nearest first.
    """

    images: int
    patients: int | None
    flat: int
    groups: tuple[DuplicateGroup, ...]
    suspects: tuple[NearPair, ...]

    @property
    def clean(self) -> bool:
        """Whether no group has a problem."""
        return not any(group.problems for group in self.groups)

    def counts(self) -> dict[str, int]:
        """Numbers of groups and of the images in them, without any row."""

        def of(name: str) -> int:
            return sum(name in group.problems for group in self.groups)

        return {
            "groups": len(self.groups),
            "images_in_groups": sum(len(group.rows) for group in self.groups),
            "identical": sum(group.identical for group in self.groups),
            "across_patients": of("patients"),
            "of_unknown_patients": of("unknown patients"),
            "across_splits": of("splits"),
            "contradicting_labels": of("labels"),
            "without_problem": sum(not group.problems for group in self.groups),
        }


def find_groups(
    images: npt.NDArray[np.uint8],
    patients: npt.NDArray[np.int64] | None,
    *,
    splits: Sequence[str] | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
    ratio: float = 1 / 3,
    max_distance: float = 1.0,
    candidates: int = 4,
    suspects: int = 30,
    shards: int = 1,
    executor: Executor | None = None,
) -> DuplicateGroups:
    """Find the groups of images that show the same picture.

    Args:
        images: uint8 (n, H, W).
        patients: int64 (n,), patient number of each image; None where unknown, and then every
            image counts as a patient of its own in the search.
        splits: One split an image, empty where there is none.
        labels: What the images are labelled with, by name: one value an image, empty where
            unknown. Unknown values contradict nothing.
        ratio: Largest ratio of a link.
        max_distance: Largest distance of a link.
        candidates: Patients aligned at fine scale for each image, at least 2.
        suspects: Pairs, at most, to list besides, half of them by each channel.
        shards: Parts the search is cut into; never changes a number.
        executor: Where shards run; here by default.

    Returns:
        The groups.
    """
    n = len(images)
    alone = np.arange(n, dtype=np.int64)
    flat = images.max(axis=(1, 2), initial=0) <= images.min(axis=(1, 2), initial=255)
    links = _equal(images, flat)

    def wholes(numbers: npt.NDArray[np.int64]) -> CopyScores:
        reference = build_reference(images, numbers)
        return score_copies(
            images,
            reference,
            own=numbers,
            candidates=candidates,
            shards=shards,
            executor=executor,
        )

    def parts(numbers: npt.NDArray[np.int64]) -> CopyScores:
        return PatchesChannel(build_patches(images, numbers), shards, executor).score(
            images, numbers
        )

    single, single_parts = wholes(alone), parts(alone)
    across, across_parts = single, single_parts
    # With one image a patient, the search is done.
    if patients is not None and len(np.unique(patients)) < n:
        across, across_parts = wholes(patients), parts(patients)
        # Several images of one patient's loop hide each other. Measured against the nearest image
        # of anybody else they do not.
        named = np.where(single.row >= 0, patients[single.row], -1)
        within = (named == patients[:, None]) & np.isfinite(across.distance)
        usable = within & (across.distance > 0)
        share = np.divide(
            single.distance, across.distance, out=np.ones_like(single.distance), where=usable
        )
        _link(links, single.row, single.distance, share, ratio, max_distance)
    for scores in (single, single_parts, across, across_parts):
        _link(links, scores.row, scores.distance, scores.ratio, ratio, max_distance)
    groups = [
        _group(rows, pairs, patients, splits, labels or {}) for rows, pairs in _components(links)
    ]
    groups.sort(key=lambda group: (not group.problems, group.ratio, group.rows))
    return DuplicateGroups(
        n,
        None if patients is None else len(np.unique(patients)),
        int(flat.sum()),
        tuple(groups),
        _nearest(groups, (across, across_parts), suspects),
    )


def _nearest(
    groups: Sequence[DuplicateGroup], channels: Sequence[CopyScores], count: int
) -> tuple[NearPair, ...]:
    """The pairs of smallest ratio that no group holds, as many from every channel."""
    group_of = {row: number for number, group in enumerate(groups) for row in group.rows}
    nearest: dict[tuple[int, int], float] = {}
    for scores in channels:
        pairs: dict[tuple[int, int], float] = {}
        column = scores.ratio.argmin(axis=1)
        for row, scale in enumerate(column.tolist()):
            other, found = int(scores.row[row, scale]), float(scores.ratio[row, scale])
            together = row in group_of and group_of[row] == group_of.get(other)
            if other >= 0 and found < 1 and not together:
                pair = min(row, other), max(row, other)
                pairs[pair] = min(pairs.get(pair, found), found)
        for pair in sorted(pairs, key=lambda pair: (pairs[pair], pair))[: count // 2]:
            nearest[pair] = min(nearest.get(pair, 1.0), pairs[pair])
    return tuple(
        NearPair(pair, nearest[pair]) for pair in sorted(nearest, key=lambda p: (nearest[p], p))
    )


def _equal(images: npt.NDArray[np.uint8], flat: npt.NDArray[np.bool_]) -> Links:
    """Link each image to the first that equals it in one of eight orientations."""
    first: dict[bytes, int] = {}
    links: Links = {}
    for row in np.flatnonzero(~flat).tolist():
        # Equal sets of orientations have equal minima.
        key = min(canonical_hash(version) for version in orientations(images[row]))
        if key in first:
            links[first[key], row] = (0.0, 0.0)
        else:
            first[key] = row
    return links


def _link(
    links: Links,
    other: npt.NDArray[np.int64],
    distance: npt.NDArray[np.float64],
    ratio: npt.NDArray[np.float64],
    max_ratio: float,
    max_distance: float,
) -> None:
    """Add the pairs that are near enough at some scale, each at its smallest ratio."""
    near = (ratio <= max_ratio) & (distance <= max_distance) & (other >= 0)
    for row, scale in zip(*(axis.tolist() for axis in np.nonzero(near)), strict=True):
        pair = min(row, int(other[row, scale])), max(row, int(other[row, scale]))
        found = float(ratio[row, scale]), float(distance[row, scale])
        links[pair] = min(links.get(pair, found), found)


def _components(links: Links) -> list[tuple[tuple[int, ...], Links]]:
    """Connected rows, with the links among them."""
    parent: dict[int, int] = {}

    def root(row: int) -> int:
        while parent.setdefault(row, row) != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for first, second in links:
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    rows: dict[int, list[int]] = {}
    for row in sorted(parent):
        rows.setdefault(root(row), []).append(row)
    within: dict[int, Links] = {}
    for pair, found in links.items():
        within.setdefault(root(pair[0]), {})[pair] = found
    return [(tuple(members), within[key]) for key, members in rows.items()]


def _group(
    rows: tuple[int, ...],
    links: Links,
    patients: npt.NDArray[np.int64] | None,
    splits: Sequence[str] | None,
    labels: Mapping[str, Sequence[str]],
) -> DuplicateGroup:
    def values(column: Sequence[str]) -> list[str]:
        return sorted({column[row] for row in rows} - {""})

    equal = {pair: found for pair, found in links.items() if found[0] == 0}
    parts = _components(equal)
    ratio, distance = _weakest(links)
    return DuplicateGroup(
        rows,
        len(parts) == 1 and parts[0][0] == rows,
        None if patients is None else len(np.unique(patients[list(rows)])),
        tuple(values(splits)) if splits is not None else (),
        tuple(sorted(name for name, column in labels.items() if len(values(column)) > 1)),
        ratio,
        distance,
    )


def _weakest(links: Links) -> tuple[float, float]:
    """The link without which the group would fall apart first: bottleneck of a spanning tree."""
    joined: Links = {}
    wanted = len({row for pair in links for row in pair})
    for pair, found in sorted(links.items(), key=lambda item: (item[1], item[0])):
        joined[pair] = found
        parts = _components(joined)
        if len(parts) == 1 and len(parts[0][0]) == wanted:
            return found
    return 0.0, 0.0
