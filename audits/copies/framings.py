"""Copy search: which real image each query resembles most, and by how much more than any other.

For every query the best-matching image of each real patient is sought over a family of framings
(:func:`audits.features.windows.orbit`). The few best patients are aligned again at fine scale,
in double precision. A copy stands out: its distance to one patient is a small fraction of its
distance to the next patient. That ratio is the score. Smoothing or noise changes both distances
alike, so images that are merely smoother than real ones do not look like copies.

The ratio of first to second neighbour follows Yoon et al. (ICML workshop 2023, rule of one third);
the largest tile distance, listed beside each pair but deciding nothing, follows Carlini et al.
(USENIX Security 2023). Neighbours of the same patient are excluded from the second distance, or
frames of one loop would hide every copy. So are patients as near as the first where the others are
far: the same picture filed under several patients, which generators memorise most readily.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from audits.features.pixels import FloatArray, normalised, reduce_area
from audits.features.windows import CENTRAL, Window, extract, orbit

__all__ = ["SCALES", "CopyScores", "Reference", "build_reference", "confirmed", "score_copies"]

SCALES = (48, 24, 12)
"""Cells a side at which an aligned pair is compared: speckle, texture, layout."""

_COARSE = 16
_MARGIN = 2
_BLOCK = 128
"""Queries computed together. Shards are cut at multiples, so results do not depend on shards."""
_WORKING = 64
_TILES = 4
_SAME = 1 / 3
"""Patients within this share of the farthest candidate's distance show one picture.

Rule of one third, at the finest scale: two images that are both that close to a query are close to
each other (triangle inequality).
"""


@dataclass(frozen=True, eq=False)
class Reference:
    """Real images prepared for search, sorted by patient.

    Attributes:
        images: float32 (n, h, w), reduced to at most 64 x 64.
        rows: int64 (n,), the caller's row of each image.
        patients: int64 (n,), ascending patient numbers.
        starts: int64 (groups,), first position of each patient.
        coarse: float32 (n, 256), features of the central window.
    """

    images: FloatArray
    rows: npt.NDArray[np.int64]
    patients: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    coarse: FloatArray


@dataclass(frozen=True, eq=False)
class CopyScores:
    """What the search found for each of m queries, at each scale of :data:`SCALES`.

    Attributes:
        ratio: float64 (m, scales), first distance / second distance, where the second patient
            does not show the first one's picture; 1 where there is none or the query is flat.
        distance: float64 (m, scales), sqrt(2 - 2 NCC) to the nearest image after alignment.
        row: int64 (m, scales), the caller's row of the nearest image, -1 where none.
        patient: int64 (m, scales), its patient, -1 where none.
        tile: float64 (m,), largest tile distance (RMS in standard deviations) to the nearest
            image of the finest scale; infinity where none.
        mirrored: bool (m,), whether that image matched mirrored.
    """

    ratio: npt.NDArray[np.float64]
    distance: npt.NDArray[np.float64]
    row: npt.NDArray[np.int64]
    patient: npt.NDArray[np.int64]
    tile: npt.NDArray[np.float64]
    mirrored: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        """Number of queries."""
        return len(self.tile)

    def take(self, index: npt.NDArray[np.generic] | slice) -> CopyScores:
        """The scores of some queries."""
        return CopyScores(*(getattr(self, field.name)[index] for field in fields(self)))


def _working(images: npt.NDArray[np.uint8]) -> FloatArray:
    if len(images) and max(images.shape[1:]) > _WORKING:
        return reduce_area(images, _WORKING)
    return images.astype(np.float32)


def build_reference(images: npt.NDArray[np.uint8], patients: npt.NDArray[np.int64]) -> Reference:
    """Prepare real images for :func:`score_copies`.

    Args:
        images: uint8 (n, H, W).
        patients: int64 (n,), patient number of each image.

    Returns:
        The reference, sorted by patient and, within a patient, by row.
    """
    order = np.argsort(patients, kind="stable")
    ordered = patients[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else order
    working = _working(images[order])
    coarse = normalised(extract(working, CENTRAL, _COARSE).reshape(len(working), _COARSE**2))
    return Reference(working, order.astype(np.int64), ordered, starts.astype(np.int64), coarse)


def _candidates(
    queries: FloatArray, reference: Reference, own: npt.NDArray[np.int64], count: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Positions (m, count) of the best image of the best patients, and the window of each."""
    best = np.full((len(queries), len(reference.coarse)), -np.inf, np.float32)
    which = np.zeros(best.shape, np.int8)
    for number, window in enumerate(orbit()):
        cut = extract(queries, window, _COARSE)
        similarity = normalised(cut.reshape(len(queries), -1)) @ reference.coarse.T
        better = similarity > best
        np.copyto(best, similarity, where=better)
        which[better] = number
    best[own[:, None] == reference.patients[None, :]] = -np.inf
    # Keep one image a patient: the first that reaches the patient's maximum.
    maxima = np.maximum.reduceat(best, reference.starts, axis=1)
    top = np.argsort(-maxima, axis=1, kind="stable")[:, :count]
    stops = np.r_[reference.starts[1:], len(reference.coarse)]
    positions = np.full((len(queries), top.shape[1]), -1, np.int64)
    for row, groups in enumerate(top):
        for column, group in enumerate(groups):
            if maxima[row, group] > -np.inf:
                start = reference.starts[group]
                positions[row, column] = start + best[row, start : stops[group]].argmax()
    windows = which[np.arange(len(queries))[:, None], np.maximum(positions, 0)].astype(np.int64)
    return positions, windows


def _align(
    queries: FloatArray, images: FloatArray, window: Window
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Distances (n, scales) and largest tile distance (n,) of pairs at their best small shift."""
    cells, slots = SCALES[0], range(2 * _MARGIN + 1)
    target = normalised(extract(images, CENTRAL, cells).reshape(len(images), -1))
    target = target.reshape(len(images), cells, cells)
    wide = extract(queries, window, cells, _MARGIN)
    centred = wide - wide.mean(axis=(1, 2), keepdims=True)
    totals, squares = _window_sums(centred, cells), _window_sums(np.square(centred), cells)
    norms = np.sqrt(np.maximum(squares - np.square(totals) / cells**2, 1e-6))
    correlation = np.empty((len(slots) ** 2, len(queries)))
    for number in range(len(correlation)):
        y, x = divmod(number, len(slots))
        patch = centred[:, y : y + cells, x : x + cells]
        # The target has mean zero, so the patch need not be centred on its own.
        correlation[number] = np.einsum("nij,nij->n", patch, target) / norms[:, y, x]
    shift = correlation.argmax(axis=0)
    aligned = np.empty((len(queries), cells, cells))
    for number in np.unique(shift):
        y, x = divmod(int(number), len(slots))
        chosen = shift == number
        aligned[chosen] = wide[chosen, y : y + cells, x : x + cells]
    original = extract(images, CENTRAL, cells).astype(np.float64)
    distances = np.empty((len(queries), len(SCALES)))
    tile = np.empty(len(queries))
    for column, size in enumerate(SCALES):
        fold = cells // size
        pooled = [
            a.reshape(len(a), size, fold, size, fold).mean(axis=(2, 4)).reshape(len(a), -1)
            for a in (aligned, original)
        ]
        unit = [_unit(a) for a in pooled]
        difference = unit[0] - unit[1]
        distances[:, column] = np.sqrt(np.square(difference).sum(axis=1))
        if column == 0:
            # Unit norm over d cells means one standard deviation is 1 / sqrt(d).
            squares = np.square(difference).reshape(len(tile), size, size) * size**2
            side = size // _TILES
            means = squares.reshape(len(tile), _TILES, side, _TILES, side).mean(axis=(2, 4))
            tile = np.sqrt(means.max(axis=(1, 2)))
    return distances, tile


def _window_sums(values: FloatArray, cells: int) -> npt.NDArray[np.float64]:
    """Sums over every cells x cells window, by an integral image in double precision."""
    integral = np.zeros((len(values), values.shape[1] + 1, values.shape[2] + 1))
    np.cumsum(np.cumsum(values, axis=1, dtype=np.float64), axis=2, out=integral[:, 1:, 1:])
    upper, lower = integral[:, :-cells], integral[:, cells:]
    sums: npt.NDArray[np.float64] = (
        lower[:, :, cells:] - lower[:, :, :-cells] - upper[:, :, cells:] + upper[:, :, :-cells]
    )
    return sums


def _unit(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    centred = values - values.mean(axis=1, keepdims=True)
    norm = np.sqrt(np.square(centred).sum(axis=1, keepdims=True))
    return np.where(norm > 1e-3, centred / np.maximum(norm, 1e-3), 0.0)


def _score_block(
    queries: npt.NDArray[np.uint8],
    own: npt.NDArray[np.int64],
    reference: Reference,
    candidates: int,
) -> CopyScores:
    m, scales = len(queries), len(SCALES)
    working = _working(queries)
    positions, windows = _candidates(working, reference, own, candidates)
    distances = np.full((*positions.shape, scales), np.inf)
    tiles = np.full(positions.shape, np.inf)
    family = orbit()
    for number in np.unique(windows):
        rows, columns = np.nonzero((windows == number) & (positions >= 0))
        if len(rows):
            pair = _align(working[rows], reference.images[positions[rows, columns]], family[number])
            distances[rows, columns], tiles[rows, columns] = pair
    flat = queries.max(axis=(1, 2)) == queries.min(axis=(1, 2))
    ratio = np.ones((m, scales))
    nearest = np.full((m, scales), np.inf)
    chosen = np.full((m, scales), -1, np.int64)
    every = np.arange(m)
    same = _same_picture(distances)
    for scale in range(scales):
        ordered = np.argsort(distances[:, :, scale], axis=1, kind="stable")
        first = ordered[:, 0]
        nearest[:, scale] = distances[every, first, scale]
        found = np.isfinite(nearest[:, scale])
        chosen[found, scale] = positions[every, first][found]
        if ordered.shape[1] > 1:
            # The nearest patient but the first who shows another picture.
            other = ~np.take_along_axis(same, ordered, 1)
            other[:, 0] = False
            column = np.where(other.any(axis=1), other.argmax(axis=1), 1)
            second = distances[every, ordered[every, column], scale]
            usable = found & np.isfinite(second) & (second > 0) & ~flat
            ratio[usable, scale] = nearest[usable, scale] / second[usable]
    finest = distances[:, :, 0].argmin(axis=1)
    known = chosen >= 0
    return CopyScores(
        ratio,
        nearest,
        np.where(known, reference.rows[chosen], -1),
        np.where(known, reference.patients[chosen], -1),
        tiles[every, finest],
        np.array([family[n].mirrored for n in windows[every, finest]], np.bool_),
    )


def _same_picture(distances: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which candidates are so near at the finest scale that they show one picture, (m, count)."""
    finest = distances[:, :, 0]
    known = np.where(np.isfinite(finest), finest, -np.inf)
    result: npt.NDArray[np.bool_] = finest <= _SAME * known.max(axis=1, keepdims=True)
    return result


def _score_shard(
    task: tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], Reference, int],
) -> CopyScores:
    """Score one shard: a pure function, so any executor may run it."""
    queries, own, reference, candidates = task
    blocks = [
        _score_block(queries[i : i + _BLOCK], own[i : i + _BLOCK], reference, candidates)
        for i in range(0, len(queries), _BLOCK)
    ]
    return _join(blocks)


def _join(parts: list[CopyScores]) -> CopyScores:
    return CopyScores(
        *(np.concatenate([getattr(p, field.name) for p in parts]) for field in fields(CopyScores))
    )


def score_copies(
    queries: npt.NDArray[np.uint8],
    reference: Reference,
    *,
    own: npt.NDArray[np.int64] | None = None,
    candidates: int = 4,
    shards: int = 1,
    executor: Executor | None = None,
) -> CopyScores:
    """Search every query among the real images.

    Args:
        queries: uint8 (m, H, W), of the reference's size.
        reference: Prepared real images.
        own: int64 (m,), patient number of each query, left out of its own search; None for
            synthetic queries.
        candidates: Patients aligned again at fine scale, at least 2.
        shards: Parts the queries are cut into; never changes a number.
        executor: Where shards run; here, one after the other, by default.

    Returns:
        One entry a query. With an empty reference: no nearest image, ratio 1.
    """
    m = len(queries)
    if m == 0 or len(reference.rows) == 0:
        shape = (m, len(SCALES))
        none = np.full(shape, -1, np.int64)
        return CopyScores(
            np.ones(shape),
            np.full(shape, np.inf),
            none,
            none.copy(),
            np.full(m, np.inf),
            np.zeros(m, np.bool_),
        )
    own = np.full(m, -1, np.int64) if own is None else own
    blocks = -(-m // _BLOCK)
    size = _BLOCK * -(-blocks // max(1, shards))
    tasks = [
        (queries[i : i + size], own[i : i + size], reference, candidates) for i in range(0, m, size)
    ]
    run = map if executor is None else executor.map
    return _join(list(run(_score_shard, tasks)))


def confirmed(
    scores: CopyScores, thresholds: tuple[float, ...], max_distance: float
) -> npt.NDArray[np.bool_]:
    """Which queries are copies, at each scale.

    Args:
        scores: Result of :func:`score_copies`.
        thresholds: Largest ratio accepted at each scale.
        max_distance: Largest distance accepted: a ratio alone would flag an odd pair far apart.

    Returns:
        bool (m, scales).
    """
    near = scores.distance <= max_distance
    result: npt.NDArray[np.bool_] = (scores.ratio <= np.array(thresholds)) & near
    return result
