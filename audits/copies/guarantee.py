"""Range search that provably misses nothing: every near pair, under every declared framing.

A synthetic image u under a framing and a real image v are vectors of 64 x 64 cells, centred, of
unit norm. Averaging blocks of b x b cells and multiplying by b is an orthonormal projection A, so

    |A u - A v| <= |u - v|

(lower-bounding lemma of GEMINI: Faloutsos, Ranganathan & Manolopoulos, SIGMOD 1994). A pair
farther apart than the radius on a coarse grid is farther apart on every finer one and can be left
out. The grids of 16 and 32 cells are tried in turn; what remains is measured on the full grid in
double precision. Nothing is dismissed wrongly: the radius is widened by the rounding error of
single precision until the last step. The proof holds for the framings of
:func:`audits.features.windows.orbit`, not for those between them.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.copies.channel import BLOCK
from audits.copies.framings import Reference, working_images
from audits.features.base import FloatArray
from audits.features.windows import Window, extract, orbit
from audits.images import Patients

__all__ = [
    "MAX_RADIUS",
    "NearPairs",
    "count_within",
    "find_within",
    "framed",
    "propose_radius",
]

MAX_RADIUS = 0.5
"""Largest radius: a correlation of 0.875. Beyond it, a copy is a matter of comparison."""

_FULL = 64
_COARSE = 16
_MIDDLE = 32
_CHUNK = 2048

Coarse = dict[float, FloatArray]


@dataclass(frozen=True, eq=False)
class NearPairs:
    """All pairs of a query and a real image within a radius, by query, then row.

    Attributes:
        queries: Number of queries searched.
        radius: The radius.
        query: int64 (pairs,), number of the query.
        position: int64 (pairs,), position of the real image in the reference.
        row: int64 (pairs,), the caller's row of the real image.
        patient: int64 (pairs,), its patient.
        framing: int64 (pairs,), number of the framing of least distance.
        distance: float64 (pairs,), that distance.
    """

    queries: int
    radius: float
    query: npt.NDArray[np.int64]
    position: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    patient: npt.NDArray[np.int64]
    framing: npt.NDArray[np.int64]
    distance: npt.NDArray[np.float64]

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.query)

    def candidates(self) -> npt.NDArray[np.int64]:
        """The nearest pair of each query and patient, for ``include`` of the copy search.

        Returns:
            int64 (pairs, 3): query, position, framing.
        """
        order = np.lexsort((self.distance, self.patient, self.query))
        both = np.stack([self.query, self.patient], axis=1)[order]
        _, first = np.unique(both, axis=0, return_index=True)
        chosen = order[first]
        return np.stack([self.query, self.position, self.framing], axis=1)[chosen]


def framed(images: FloatArray, window: Window) -> npt.NDArray[np.float64]:
    """The full grid of one window, centred, of unit norm.

    Args:
        images: float32 (n, h, w) grey values, at most 64 x 64 (``working_images``).
        window: The framing; for a real image the central window of side ``inner``.

    Returns:
        float64 (n, 64, 64); zeros for a flat window.
    """
    values = extract(images, window, _FULL).astype(np.float64)
    values -= values.mean(axis=(1, 2), keepdims=True)
    norm = np.sqrt(np.square(values).sum(axis=(1, 2), keepdims=True))
    flat = norm <= 1e-3 * _FULL
    return np.where(flat, 0.0, values / np.where(flat, 1.0, norm))


def _blocks(values: npt.NDArray[np.float64], cells: int) -> FloatArray:
    """Orthonormal block sums, float32 (n, cells * cells): a contraction."""
    fold = values.shape[1] // cells
    sums = values.reshape(len(values), cells, fold, cells, fold).sum(axis=(2, 4)) / fold
    result: FloatArray = sums.reshape(len(values), cells * cells).astype(np.float32)
    return result


def _slack(cells: int) -> float:
    """Bound on the rounding error of a squared distance between vectors of norm at most one."""
    return float(8 * (cells * cells + 10) * np.finfo(np.float32).eps)


def _with_norms(blocks: FloatArray, *, query: bool) -> FloatArray:
    """Two more columns, so that a product is minus half the squared distance."""
    halves = np.square(blocks).sum(axis=1, keepdims=True) * np.float32(-0.5)
    ones = np.ones_like(halves)
    return np.concatenate([blocks, *((halves, ones) if query else (ones, halves))], axis=1)


_Pairs = dict[tuple[int, int], tuple[float, int]]
"""Near pairs: (query, position) -> (distance, framing)."""


def _within_shard(
    task: tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], Reference, Coarse, float],
) -> list[_Pairs]:
    """Near pairs of each block of one shard: a pure function, so any executor may run it."""
    images, own, reference, coarse, radius = task
    return [
        _within_block(
            working_images(images[i : i + BLOCK]), own[i : i + BLOCK], reference, coarse, radius
        )
        for i in range(0, len(images), BLOCK)
    ]


def _within_block(
    queries: FloatArray,
    own: npt.NDArray[np.int64],
    reference: Reference,
    coarse: Coarse,
    radius: float,
) -> _Pairs:
    nearest: _Pairs = {}
    limit = np.float32(-0.5 * (radius * radius + _slack(_COARSE)))
    for number, window in enumerate(orbit()):
        full = framed(queries, window)
        small = _with_norms(_blocks(full, _COARSE), query=True)
        rows, positions = np.nonzero(small @ coarse[window.inner].T >= limit)
        others = own[rows] != reference.patients[positions]
        rows, positions = rows[others], positions[others]
        for begin in range(0, len(rows), _CHUNK):
            row, position = rows[begin : begin + _CHUNK], positions[begin : begin + _CHUNK]
            real = framed(reference.images[position], Window(zoom=window.inner))
            middle = _blocks(full[row], _MIDDLE) - _blocks(real, _MIDDLE)
            kept = np.square(middle).sum(axis=1) <= radius * radius + _slack(_MIDDLE)
            difference = full[row[kept]] - real[kept]
            distance = np.sqrt(np.square(difference).sum(axis=(1, 2)))
            for q, p, d in zip(row[kept], position[kept], distance, strict=True):
                if d <= radius and d < nearest.get((int(q), int(p)), (np.inf, 0))[0]:
                    nearest[int(q), int(p)] = (float(d), number)
    return nearest


def find_within(
    images: npt.NDArray[np.uint8],
    reference: Reference,
    radius: float,
    *,
    own: npt.NDArray[np.int64] | None = None,
    shards: int = 1,
    executor: Executor | None = None,
) -> NearPairs:
    """Every pair within a radius under some framing of the orbit.

    Flat images, and flat windows, are compared as they are: two flat ones are at distance 0, a
    flat one is at distance 1 from any other.

    Args:
        images: uint8 (m, H, W), of the real images' size.
        reference: Prepared real images.
        radius: Radius, sqrt(2 - 2 NCC) of the window on a grid of 64 x 64 cells.
        own: int64 (m,), patient number left out for each query, or None.
        shards: Parts the queries are cut into; never changes a number.
        executor: Where shards run; here, one after the other, by default.

    Returns:
        The pairs, each once, under its nearest framing.
    """
    m = len(images)
    own = np.full(m, -1, np.int64) if own is None else own
    coarse: Coarse = {}
    for inner in sorted({window.inner for window in orbit()}):
        blocks = [np.empty((0, _COARSE**2), np.float32)]
        for i in range(0, len(reference.images), _CHUNK):
            real = framed(reference.images[i : i + _CHUNK], Window(zoom=inner))
            blocks.append(_blocks(real, _COARSE))
        coarse[inner] = _with_norms(np.concatenate(blocks), query=False)
    size = BLOCK * max(1, -(-m // (BLOCK * max(1, shards))))
    tasks = [
        (images[i : i + size], own[i : i + size], reference, coarse, radius)
        for i in range(0, m, size)
    ]
    run = map if executor is None else executor.map
    blocks_found = [block for shard in run(_within_shard, tasks) for block in shard]
    found = [
        (number * BLOCK + query, position, framing, distance)
        for number, block in enumerate(blocks_found)
        for (query, position), (distance, framing) in block.items()
    ]
    # Rows, not positions, order the pairs, so that they read like the caller's images.
    found.sort(key=lambda pair: (pair[0], int(reference.rows[pair[1]])))
    query, position, framing = (np.array([pair[i] for pair in found], np.int64) for i in range(3))
    return NearPairs(
        m,
        radius,
        query,
        position,
        reference.rows[position],
        reference.patients[position],
        framing,
        np.array([pair[3] for pair in found], np.float64),
    )


def propose_radius(
    control: npt.NDArray[np.uint8],
    own: npt.NDArray[np.int64],
    reference: Reference,
    *,
    margin: float = 0.9,
    largest: float = MAX_RADIUS,
    leave_out: npt.NDArray[np.bool_] | None = None,
    shards: int = 1,
    executor: Executor | None = None,
) -> float:
    """The largest radius within which no control image has another patient's image.

    So a pair within it is nearer than real images of different patients ever are. It depends on
    real images only.

    Args:
        control: uint8 (m, H, W), control images posing as synthetic.
        own: int64 (m,), their patients.
        reference: Prepared real images, train and control.
        margin: Share of the smallest distance between patients that is taken.
        largest: Radius never exceeded.
        leave_out: bool (m,), control images that are near-duplicates of another patient's.
        shards: Parts the queries are cut into; never changes a number.
        executor: Where shards run.

    Returns:
        The radius, in (0, largest]; 0 if a control image equals another patient's.
    """
    kept = np.ones(len(control), np.bool_) if leave_out is None else ~leave_out
    pairs = find_within(
        control[kept],
        reference,
        largest / margin,
        own=own[kept],
        shards=shards,
        executor=executor,
    )
    flat = control[kept].max(axis=(1, 2)) == control[kept].min(axis=(1, 2)) if len(control) else []
    distances = [d for q, d in zip(pairs.query, pairs.distance, strict=True) if not flat[q]]
    return float(min(largest, margin * min(distances, default=largest / margin)))


def count_within(
    pairs: NearPairs, patients: Patients
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Distinct train and control patients within the radius of each query.

    Args:
        pairs: Near pairs.
        patients: The numbering.

    Returns:
        Two int64 arrays (queries,): train patients, control patients.
    """
    distinct = np.unique(np.stack([pairs.query, pairs.patient], axis=1), axis=0)
    member = patients.member[distinct[:, 1]]
    train, control = (
        np.bincount(distinct[side, 0], minlength=pairs.queries).astype(np.int64)
        for side in (member, ~member)
    )
    return train, control
