"""Copy channel over whole pictures: the real image each query resembles most, in any framing.

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
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from audits.copies.channel import (
    CopyScores,
    confirmed,
    empty_scores,
    rank_patients,
    same_picture,
    score_in_shards,
)
from audits.copies.proposals import Reference, build_reference, propose, working_images
from audits.features.base import FloatArray
from audits.features.pixels import normalised
from audits.features.windows import Window, extract, orbit

__all__ = [
    "SCALES",
    "CopyScores",
    "FramingsChannel",
    "Reference",
    "build_reference",
    "confirmed",
    "score_copies",
    "working_images",
]

SCALES = (48, 24, 12)
"""Cells a side at which an aligned pair is compared: speckle, texture, layout."""

_MARGIN = 3
_TILES = 4


def _align(
    queries: FloatArray, images: FloatArray, window: Window
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Distances (n, scales) and largest tile distance (n,) of pairs at their best small shift."""
    cells, slots = SCALES[0], range(2 * _MARGIN + 1)
    original = extract(images, Window(zoom=window.inner), cells)
    target = normalised(original.reshape(len(images), -1))
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
    original = original.astype(np.float64)
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
    given: npt.NDArray[np.int64],
    *,
    reference: Reference,
    candidates: int,
) -> CopyScores:
    """Score at most one block: a pure function, so any executor may run it.

    ``given`` holds the own patient of each query, then positions, then windows to include.
    """
    m, scales = len(queries), len(SCALES)
    working = working_images(queries)
    included = (given.shape[1] - 1) // 2
    positions, windows = propose(working, reference, given[:, 0], candidates)
    positions = np.concatenate([positions, given[:, 1 : 1 + included]], axis=1)
    windows = np.concatenate([windows, given[:, 1 + included :]], axis=1)
    distances = np.full((*positions.shape, scales), np.inf)
    tiles = np.full(positions.shape, np.inf)
    family = orbit()
    for number in np.unique(windows):
        rows, columns = np.nonzero((windows == number) & (positions >= 0))
        if len(rows):
            pair = _align(
                working[rows], reference.working(positions[rows, columns]), family[number]
            )
            distances[rows, columns], tiles[rows, columns] = pair
    _keep_best(distances, np.where(positions >= 0, reference.patients[positions], -1), included)
    flat = queries.max(axis=(1, 2)) == queries.min(axis=(1, 2))
    same = same_picture(distances[:, :, 0])
    scores = empty_scores(m, scales)
    every = np.arange(m)
    for scale in range(scales):
        ratio, scores.distance[:, scale], chosen = rank_patients(distances[:, :, scale], same)
        scores.ratio[:, scale] = np.where(flat, 1.0, ratio)
        position = positions[every, chosen]
        scores.row[:, scale] = np.where(chosen >= 0, reference.rows[position], -1)
        scores.patient[:, scale] = np.where(chosen >= 0, reference.patients[position], -1)
    finest = distances[:, :, 0].argmin(axis=1)
    mirrored = np.array([family[n].mirrored for n in windows[every, finest]], np.bool_)
    return CopyScores(
        scores.ratio,
        scores.distance,
        scores.row,
        scores.patient,
        tiles[every, finest],
        mirrored & (positions[every, finest] >= 0),
    )


def _keep_best(
    distances: npt.NDArray[np.float64], patients: npt.NDArray[np.int64], included: int
) -> None:
    """At each scale, leave one candidate a patient: included ones may repeat a patient."""
    count = patients.shape[1]
    for extra in range(count - included, count):
        for other in range(extra):
            twice = ((patients[:, extra] == patients[:, other]) & (patients[:, extra] >= 0))[
                :, None
            ]
            farther = distances[:, extra] >= distances[:, other]
            distances[:, extra][twice & farther] = np.inf
            distances[:, other][twice & ~farther] = np.inf


def _given(
    own: npt.NDArray[np.int64] | None, include: npt.NDArray[np.int64] | None, m: int
) -> npt.NDArray[np.int64]:
    """Own patient, positions and windows to include of each query, (m, 1 + 2 x included)."""
    own = np.full(m, -1, np.int64) if own is None else own
    if include is None or not len(include):
        return own[:, None]
    order = include[np.argsort(include[:, 0], kind="stable")]
    place = np.arange(len(order)) - np.searchsorted(order[:, 0], order[:, 0])
    given = np.full((m, 2, int(place.max()) + 1), -1, np.int64)
    given[:, 1] = 0
    given[order[:, 0], 0, place] = order[:, 1]
    given[order[:, 0], 1, place] = order[:, 2]
    return np.concatenate([own[:, None], given.reshape(m, -1)], axis=1)


def score_copies(
    queries: npt.NDArray[np.uint8],
    reference: Reference,
    *,
    own: npt.NDArray[np.int64] | None = None,
    include: npt.NDArray[np.int64] | None = None,
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
        include: int64 (pairs, 3), query, position in the reference and number of the framing of
            pairs to be aligned whatever the proposals
            (:meth:`audits.copies.guarantee.NearPairs.candidates`).
        candidates: Patients aligned again at fine scale, at least 2.
        shards: Parts the queries are cut into; never changes a number.
        executor: Where shards run; here, one after the other, by default.

    Returns:
        One entry a query, one column a scale. With an empty reference: no nearest image, ratio 1.
    """
    if len(queries) == 0 or len(reference.rows) == 0:
        return empty_scores(len(queries), len(SCALES), detailed=True)
    block = partial(_score_block, reference=reference, candidates=candidates)
    return score_in_shards(block, queries, _given(own, include, len(queries)), shards, executor)


@dataclass(frozen=True, eq=False)
class FramingsChannel:
    """Whole pictures under changes of framing, at three scales.

    Attributes:
        reference: Prepared real images.
        candidates: Patients aligned again at fine scale.
        shards: Parts the queries are cut into; never changes a number.
        executor: Where shards run; here, one after the other, by default.
    """

    reference: Reference
    candidates: int = 4
    shards: int = 1
    executor: Executor | None = None

    @property
    def name(self) -> str:
        """The channel's name."""
        return "framings"

    @property
    def columns(self) -> tuple[str, ...]:
        """One column a scale."""
        return tuple(f"{cells} cells" for cells in SCALES)

    def score(
        self,
        images: npt.NDArray[np.uint8],
        own: npt.NDArray[np.int64] | None = None,
        *,
        include: npt.NDArray[np.int64] | None = None,
    ) -> CopyScores:
        """Search images among the real ones (see :func:`score_copies`)."""
        return score_copies(
            images,
            self.reference,
            own=own,
            include=include,
            candidates=self.candidates,
            shards=self.shards,
            executor=self.executor,
        )
