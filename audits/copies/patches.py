"""Copy channel over parts of pictures: composites, pasted lesions, occlusions.

A picture put together from two patients resembles neither as a whole. So a 7 x 7 grid of
overlapping patches is searched, each at its place and at small shifts, plain and mirrored, among
the patches that all real images have at that place. A patch votes for the patient of its nearest
patch, with the ratio of that distance over the distance to the next patient's patch. Chance votes
scatter over patients and have ratios near one; the patches of a partial copy agree on one patient
with small ratios. The score is the mean ratio of the few best patches that agree.

Patches are centred and of unit norm, so gain drops out place by place. Patches without texture
(background, shadow) and those on the black frame of a picture resemble each other and prove
nothing: they neither vote nor are found.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from audits.copies.channel import (
    CopyScores,
    Distances,
    Numbers,
    empty_scores,
    rank_patients,
    same_picture,
    score_in_shards,
)
from audits.features.base import FloatArray
from audits.features.pixels import reduce_area

__all__ = ["AGREEING", "PatchReference", "PatchesChannel", "build_patches"]

AGREEING = (4, 8, 16)
"""Numbers of best agreeing patches over which ratios are averaged: one column each."""

_SIDE = 64
_PATCH = 12
_FOLD = 2
_REACH = 3
_STARTS = (3, 11, 19, 26, 34, 42, 49)
_SHIFTS = ((0, 0), (-2, 0), (2, 0), (0, -2), (0, 2))
"""Displacements, in cells of the 64 x 64 canvas, under which every other patch is proposed, the
rest at its place alone; all those up to :data:`_REACH` decide."""
_POOR = 0.15
"""Share of the image's standard deviation below which a patch has no texture."""
_POOR_GREY = 1.5
"""The same in grey values."""
_BLACK = 6.0
"""Grey value up to which a whole row or column of a patch is the frame around a picture."""
_SAME = 1 / 3
_PROPOSED = 4
"""Patients compared at every place: more than two, as several may hold the same picture."""
_CHUNK = 512
"""Real images compared together: keeps the table in the cache."""
_FEW = 32
"""Images of one patient that are excluded for all queries at once."""

_PLACES: tuple[tuple[int, int], ...] = tuple((y, x) for y in _STARTS for x in _STARTS)


@dataclass(frozen=True, eq=False)
class PatchReference:
    """Patches of real images, sorted by patient.

    Attributes:
        rows: int64 (n,), the caller's row of each image.
        patients: int64 (n,), ascending patient numbers.
        patches: float32 (places, n, 36), unit rows, zeros without texture.
    """

    rows: npt.NDArray[np.int64]
    patients: npt.NDArray[np.int64]
    patches: FloatArray


def _pooled(images: npt.NDArray[np.uint8]) -> tuple[FloatArray, FloatArray]:
    """Means of every 2 x 2 cells of the canvas, (n, 63, 63), and standard deviations (n,)."""
    canvas = reduce_area(images, _SIDE)
    pairs = canvas[:, 1:] + canvas[:, :-1]
    means: FloatArray = (pairs[:, :, 1:] + pairs[:, :, :-1]) * np.float32(0.25)
    spread: FloatArray = canvas.std(axis=(1, 2))
    return means, spread


def _unit(patches: FloatArray, spread: FloatArray) -> FloatArray:
    """Centred descriptors (n, ..., d) of unit norm from patches (n, ..., side, side).

    Zeros without texture, or where a whole line of the patch is black.
    """
    black = patches <= np.float32(_BLACK)
    framed = np.asarray(black.all(axis=-1).any(axis=-1) | black.all(axis=-2).any(axis=-1))
    values = patches.reshape(*patches.shape[:-2], -1)
    values = values - values.mean(axis=-1, keepdims=True)
    norm = np.sqrt(np.square(values).sum(axis=-1, keepdims=True))
    least = np.maximum(_POOR * spread, _POOR_GREY) * np.sqrt(np.float32(values.shape[-1]))
    poor = (norm <= least.reshape(-1, *(1,) * (values.ndim - 1))) | framed[..., None]
    return np.where(poor, np.float32(0), values / np.where(poor, np.float32(1), norm))


def _cut(means: FloatArray, spread: FloatArray, y: int, x: int) -> FloatArray:
    """Descriptors (n, d) of one place."""
    return _unit(means[:, y : y + _PATCH : _FOLD, x : x + _PATCH : _FOLD], spread)


def _cut_around(means: FloatArray, spread: FloatArray, y: int, x: int) -> FloatArray:
    """Descriptors (n, shifts, d) of one place under every shift up to the reach."""
    reach = 2 * _REACH + 1
    part = means[:, y - _REACH : y + _REACH + _PATCH, x - _REACH : x + _REACH + _PATCH]
    windows = np.lib.stride_tricks.sliding_window_view(part, (_PATCH - 1, _PATCH - 1), axis=(1, 2))
    patches = windows[:, :reach, :reach, ::_FOLD, ::_FOLD]
    cells = _PATCH // _FOLD
    return _unit(patches.reshape(len(means), reach * reach, cells, cells), spread)


def build_patches(images: npt.NDArray[np.uint8], patients: npt.NDArray[np.int64]) -> PatchReference:
    """Prepare real images for the channel.

    Args:
        images: uint8 (n, H, W).
        patients: int64 (n,), patient number of each image.

    Returns:
        The patches, sorted by patient and, within a patient, by row.
    """
    order = np.argsort(patients, kind="stable").astype(np.int64)
    patches = np.empty((len(_PLACES), len(images), (_PATCH // _FOLD) ** 2), np.float32)
    for begin in range(0, len(images), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        means, spread = _pooled(images[order[part]])
        for place, (y, x) in enumerate(_PLACES):
            patches[place, part] = _cut(means, spread, y, x)
    return PatchReference(order, patients[order], patches)


def _propose(
    cuts: FloatArray, known: FloatArray, reference: PatchReference, own: Numbers
) -> Numbers:
    """The nearest patch of each of the nearest patients, int64 (m, proposed); -1 where none.

    ``cuts`` are the descriptors of the queries under every shift, (shifts, m, d).
    """
    table, highest = _similarities(cuts, known)
    every = np.arange(len(own))
    found = np.full((len(own), _PROPOSED), -1, np.int64)
    _leave_out(
        table,
        highest,
        np.searchsorted(reference.patients, own),
        np.searchsorted(reference.patients, own, side="right"),
    )
    for rank in range(_PROPOSED):
        position = _first_highest(table, highest)
        chunk, column = np.divmod(position, _CHUNK)
        # Zero is the similarity of a patch without texture with everything.
        found[:, rank] = np.where(table[chunk, every, column] > 0, position, -1)
        if rank + 1 < _PROPOSED:
            patients = reference.patients[np.minimum(position, len(known) - 1)]
            _leave_out(
                table,
                highest,
                np.searchsorted(reference.patients, patients),
                np.searchsorted(reference.patients, patients, side="right"),
            )
    return found


def _similarities(cuts: FloatArray, known: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Similarity at the best shift, and the highest of every column.

    Real images lie chunk by chunk, (chunks, m, chunk), minus infinity beyond the last one. The
    maxima over the chunks, (m, chunk), spare searching all of them for the nearest.
    """
    shifts, m, _ = cuts.shape
    flat = cuts.reshape(shifts * m, -1)
    table = np.empty((-(-len(known) // _CHUNK), m, _CHUNK), np.float32)
    products = np.empty((shifts * m, _CHUNK), np.float32)
    highest = np.full((m, _CHUNK), -np.inf, np.float32)
    for number, part in enumerate(table):
        some = known[number * _CHUNK : (number + 1) * _CHUNK]
        width = len(some)
        np.matmul(flat, some.T, out=products[:, :width])
        np.maximum.reduce(products.reshape(shifts, m, _CHUNK), axis=0, out=part)
        part[:, width:] = -np.inf
        np.maximum(highest, part, out=highest)
    return table, highest


def _first_highest(table: FloatArray, highest: FloatArray) -> Numbers:
    """Position of the most similar real image of every query, the first of several."""
    every = np.arange(len(highest))
    column = highest.argmax(axis=1)
    most = highest[every, column]
    chunk = table[:, every, column].argmax(axis=0)
    position: Numbers = (chunk * _CHUNK + column).astype(np.int64)
    several = (highest == most[:, None]).sum(axis=1) > 1
    for row in np.flatnonzero(several & (most > 0)):
        columns = np.flatnonzero(highest[row] == most[row])
        chunks = (table[:, row, columns] == most[row]).argmax(axis=0)
        position[row] = (chunks * _CHUNK + columns).min()
    return position


def _leave_out(table: FloatArray, highest: FloatArray, first: Numbers, last: Numbers) -> None:
    """Exclude the real images in [first, last) of every query."""
    lengths = last - first
    for row in np.flatnonzero(lengths > _FEW):
        chunk, column = np.divmod(np.arange(first[row], last[row]), _CHUNK)
        table[chunk, row, column] = -np.inf
        highest[row] = table[:, row].max(axis=0)
    few = lengths <= _FEW
    for step in range(int(lengths[few].max(initial=0))):
        rows = np.flatnonzero(few & (lengths > step))
        chunk, column = np.divmod(first[rows] + step, _CHUNK)
        table[chunk, rows, column] = -np.inf
        highest[rows, column] = table[:, rows, column].max(axis=0)


def _votes(
    means: FloatArray, spread: FloatArray, own: Numbers, reference: PatchReference
) -> tuple[Distances, Distances, Numbers]:
    """Ratio, distance and position (-1: no vote) of each query and place, (m, places)."""
    m = len(means)
    ratio = np.ones((m, len(_PLACES)))
    distance = np.full(ratio.shape, np.inf)
    position = np.full(ratio.shape, -1, np.int64)
    for place, (y, x) in enumerate(_PLACES):
        known = reference.patches[place]
        # Neighbouring patches overlap: shifting every other one proposes the same patients.
        shifts = _SHIFTS[: 1 if place % 2 else None]
        cuts = np.stack([_cut(means, spread, y + dy, x + dx) for dy, dx in shifts])
        found = _propose(cuts, known, reference, own)
        around = _cut_around(means, spread, y, x)
        similarity = np.matmul(around, known[found].transpose(0, 2, 1)).max(axis=1)
        away = np.sqrt(np.maximum(2.0 - 2.0 * similarity.astype(np.float64), 0.0))
        away[(found < 0) | (similarity <= 0)] = np.inf
        ratio[:, place], distance[:, place], chosen = rank_patients(away, same_picture(away))
        column = np.maximum(chosen, 0)[:, None]
        best = np.take_along_axis(found, column, 1)[:, 0]
        position[:, place] = np.where(chosen >= 0, best, -1)
    return ratio, distance, position


def _agree(
    votes: tuple[Distances, Distances, Numbers],
    reference: PatchReference,
) -> CopyScores:
    """For each number of :data:`AGREEING`, the patient on whom patches agree best."""
    ratio, distance, position = votes
    m, every = len(ratio), np.arange(len(ratio))
    patient = np.where(position >= 0, reference.patients[position], -1)
    alike = (patient[:, :, None] == patient[:, None, :]) & (patient >= 0)[:, None, :]
    # A place that votes for another patient counts as a ratio of one.
    counted = np.where(alike, ratio[:, None, :], 1.0)
    order = np.argsort(counted, axis=2, kind="stable")
    counted = np.take_along_axis(counted, order, 2)
    scores = empty_scores(m, len(AGREEING))
    for column, number in enumerate(AGREEING):
        mean = counted[:, :, :number].mean(axis=2)
        anchor = mean.argmin(axis=1)
        used = order[every, anchor, :number]
        agreeing = alike[every[:, None], anchor[:, None], used]
        found = agreeing.any(axis=1)
        away = np.where(agreeing, distance[every[:, None], used], 0.0).sum(axis=1)
        scores.ratio[:, column] = mean[every, anchor]
        scores.distance[found, column] = away[found] / agreeing.sum(axis=1)[found]
        chosen = position[every, used[:, 0]]
        scores.row[found, column] = reference.rows[chosen[found]]
        scores.patient[found, column] = reference.patients[chosen[found]]
    return scores


def _score_block(
    images: npt.NDArray[np.uint8], own: npt.NDArray[np.int64], *, reference: PatchReference
) -> CopyScores:
    means, spread = _pooled(images)
    plain = _agree(_votes(means, spread, own, reference), reference)
    flipped = np.ascontiguousarray(means[:, :, ::-1])
    mirrored = _agree(_votes(flipped, spread, own, reference), reference)
    better = mirrored.ratio < plain.ratio
    return CopyScores(
        np.where(better, mirrored.ratio, plain.ratio),
        np.where(better, mirrored.distance, plain.distance),
        np.where(better, mirrored.row, plain.row),
        np.where(better, mirrored.patient, plain.patient),
        None,
        np.asarray(better.any(axis=1), np.bool_),
    )


@dataclass(frozen=True, eq=False)
class PatchesChannel:
    """Parts of pictures, each at its place.

    Attributes:
        reference: Prepared real images.
        shards: Parts the queries are cut into; never changes a number.
        executor: Where shards run; here, one after the other, by default.
    """

    reference: PatchReference
    shards: int = 1
    executor: Executor | None = None

    @property
    def name(self) -> str:
        """The channel's name."""
        return "patches"

    @property
    def columns(self) -> tuple[str, ...]:
        """One column a number of agreeing patches."""
        return tuple(f"best {number} patches" for number in AGREEING)

    def score(
        self, images: npt.NDArray[np.uint8], own: npt.NDArray[np.int64] | None = None
    ) -> CopyScores:
        """Search parts of images among those of the real ones.

        Args:
            images: uint8 (m, H, W), of the real images' size.
            own: int64 (m,), patient left out for each; -1 or None for synthetic images.

        Returns:
            Mean ratio and mean distance of the best agreeing patches; a place that votes for
            another patient counts as a ratio of one. The row is that of the best patch.
        """
        if len(images) == 0 or len(self.reference.rows) == 0:
            return empty_scores(len(images), len(AGREEING))
        block = partial(_score_block, reference=self.reference)
        return score_in_shards(block, images, own, self.shards, self.executor)
