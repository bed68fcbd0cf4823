"""Range search that provably misses nothing: every near pair, under every declared framing.

A pair farther apart than the radius by vectors whose distances never exceed the true ones can be
left out (:mod:`audits.copies.contractions`). Sketches of 64 numbers, grids of 16 and of 32 cells
are tried in turn; what remains is measured on the full grid in double precision. Nothing is
dismissed wrongly: the radius is widened by the rounding error of single precision until the last
step. The proof holds for the framings of :func:`audits.features.windows.orbit`, not for those
between them.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.copies.channel import BLOCK
from audits.copies.contractions import (
    Prepared,
    blocks,
    framed,
    prepare,
    reach,
    sketch,
    within_rounding,
)
from audits.copies.proposals import COARSE, Reference, working_images
from audits.features.base import FloatArray
from audits.features.windows import Window, orbit
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

_MIDDLE = 32
_CHUNK = 2048
_PAIRS = 256
"""Pairs measured together."""


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


_Pairs = dict[tuple[int, int], tuple[float, int]]
"""Near pairs: (query, position) -> (distance, framing)."""

_Task = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], Prepared, float]


def _within_shard(task: _Task) -> list[_Pairs]:
    """Near pairs of each block of one shard: a pure function, so any executor may run it."""
    images, own, prepared, radius = task
    return [
        _within_block(working_images(images[i : i + BLOCK]), own[i : i + BLOCK], prepared, radius)
        for i in range(0, len(images), BLOCK)
    ]


def _nearest_in_shard(task: _Task) -> float:
    """The least distance of any pair of one shard; the radius where none is nearer."""
    images, own, prepared, radius = task
    for i in range(0, len(images), BLOCK):
        queries = working_images(images[i : i + BLOCK])
        # What is found in one block need not be looked for beyond in the next.
        pairs = _within_block(queries, own[i : i + BLOCK], prepared, radius, shrink=True)
        radius = min([radius, *(distance for distance, _ in pairs.values())])
    return radius


def _within_block(
    queries: FloatArray,
    own: npt.NDArray[np.int64],
    prepared: Prepared,
    radius: float,
    *,
    shrink: bool = False,
) -> _Pairs:
    """Near pairs of one block; with ``shrink`` only of ever nearer ones, the nearest included."""
    reference, nearest = prepared.reference, _Pairs()
    for number, window in enumerate(orbit()):
        single = within_rounding(queries, window)
        sums = blocks(single, COARSE)
        short = sketch(single, sums, prepared.directions[window.inner], query=True)
        rows, positions = _near(short, prepared.sketches[window.inner], radius)
        others = own[rows] != reference.patients[positions]
        rows, positions = rows[others], positions[others]
        least = _squares(sums, rows, prepared.blocks[window.inner], positions)
        order = np.argsort(least, kind="stable")
        order = order[: np.searchsorted(least, reach(radius, COARSE), "right", sorter=order)]
        for begin in range(0, len(order), _PAIRS):
            part = order[begin : begin + _PAIRS]
            if least[part[0]] > reach(radius, COARSE):
                break
            row, position = rows[part], positions[part]
            found = _distances(queries, single, row, reference, position, window, radius)
            for q, p, d in zip(row.tolist(), position.tolist(), found.tolist(), strict=True):
                if d <= radius and d < nearest.get((q, p), (np.inf, 0))[0]:
                    nearest[q, p] = (d, number)
            if shrink:
                radius = min(radius, float(found.min()))
    return nearest


def _squares(
    first: FloatArray,
    rows: npt.NDArray[np.int64],
    second: FloatArray,
    positions: npt.NDArray[np.int64],
) -> FloatArray:
    """Squared distances of pairs of block sums, float32 (pairs,)."""
    squares = np.empty(len(rows), np.float32)
    for begin in range(0, len(rows), _CHUNK):
        part = slice(begin, begin + _CHUNK)
        difference = first[rows[part]] - second[positions[part]]
        squares[part] = np.einsum("ij,ij->i", difference, difference)
    return squares


def _near(
    short: FloatArray, known: FloatArray, radius: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows and positions of the pairs that the sketches do not tell apart."""
    limit = np.float32(-0.5 * reach(radius, COARSE))
    rows, positions = [], []
    for begin in range(0, known.shape[1], _CHUNK):
        table = short @ known[:, begin : begin + _CHUNK]
        row, column = np.divmod(np.flatnonzero(table >= limit), table.shape[1])
        rows.append(row)
        positions.append(column + begin)
    if not rows:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    return np.concatenate(rows), np.concatenate(positions)


def _distances(
    queries: FloatArray,
    single: FloatArray,
    row: npt.NDArray[np.int64],
    reference: Reference,
    position: npt.NDArray[np.int64],
    window: Window,
    radius: float,
) -> npt.NDArray[np.float64]:
    """Distances of pairs, in double precision; infinity where they exceed the radius for sure."""
    distances = np.full(len(row), np.inf)
    # Some real images are near to many queries.
    used, again = np.unique(position, return_inverse=True)
    alone = Window(zoom=window.inner)
    middle = blocks(within_rounding(reference.working(used), alone), _MIDDLE)
    middle = blocks(single, _MIDDLE)[row] - middle[again]
    kept = np.flatnonzero(np.square(middle).sum(axis=1) <= reach(radius, _MIDDLE))
    if len(kept):
        asked, query = np.unique(row[kept], return_inverse=True)
        shown, real = np.unique(position[kept], return_inverse=True)
        exact = framed(queries[asked], window)
        difference = exact[query] - framed(reference.working(shown), alone)[real]
        distances[kept] = np.sqrt(np.square(difference).sum(axis=(1, 2)))
    return distances


def _tasks(
    images: npt.NDArray[np.uint8],
    own: npt.NDArray[np.int64],
    reference: Reference,
    radius: float,
    shards: int,
) -> list[_Task]:
    prepared = prepare(reference)
    size = BLOCK * max(1, -(-len(images) // (BLOCK * max(1, shards))))
    return [
        (images[i : i + size], own[i : i + size], prepared, radius)
        for i in range(0, len(images), size)
    ]


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
    tasks = _tasks(images, own, reference, radius, shards)
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
    kept = control.max(axis=(1, 2), initial=0) > control.min(axis=(1, 2), initial=255)
    if leave_out is not None:
        kept &= ~leave_out
    if not kept.any():
        return largest
    run = map if executor is None else executor.map
    tasks = _tasks(control[kept], own[kept], reference, largest / margin, shards)
    return float(min(largest, margin * min(run(_nearest_in_shard, tasks))))


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
