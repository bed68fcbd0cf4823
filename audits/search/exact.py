"""Exact nearest neighbours over shards.

Single precision proposes, double precision decides. A matrix product computes distances as
|x|^2 + |y|^2 - 2xy, which cancels exactly where an audit looks, near zero (faiss issues 297, 5285,
5327). So every reference within the rounding error of the k-th best is kept, and decided by
subtraction in double precision. The answer is the exact one, to the byte, whatever the shards,
blocks, backends or threads.

References may be larger than memory: a path or a memory map is read block by block.
"""

from __future__ import annotations

from concurrent.futures import Executor

import numpy as np
import numpy.typing as npt

from audits.errors import AuditInputError
from audits.search.backends import BACKENDS
from audits.search.distances import exact_distances, pair_distances
from audits.search.probe import choose_backend
from audits.search.shards import (
    QUERY_SHARD,
    Neighbours,
    ShardTask,
    in_order,
    merge_nearest,
    nearest_in_shard,
    shard_edges,
)
from audits.search.sources import Source, Vectors, as_source

__all__ = [
    "Exclude",
    "Neighbours",
    "checked",
    "exact_distances",
    "merge_nearest",
    "mismatch_rate",
    "nearest",
    "nearest_in_shard",
    "tied_rows",
]

Rows = npt.NDArray[np.int64]
Exclude = tuple[Rows, Rows]
"""Groups of the queries (m,) and of the references (n,): no query finds its own group."""

_ROWS = 4096


def checked(
    queries: Vectors, references: Vectors, exclude: Exclude | None
) -> tuple[Source, Source, Rows | None, Rows | None]:
    """Open both sides and check that they fit.

    Args:
        queries: m vectors.
        references: n vectors.
        exclude: Groups of both, or None.

    Returns:
        Both sources and both groups.

    Raises:
        AuditInputError: The dimensions or the lengths of the groups differ.
    """
    ours, theirs = as_source(queries, "queries"), as_source(references, "references")
    if ours.shape[1] != theirs.shape[1]:
        raise AuditInputError(
            f"queries have {ours.shape[1]} dimensions, references {theirs.shape[1]}"
        )
    if exclude is None:
        return ours, theirs, None, None
    first, second = (np.asarray(groups, np.int64) for groups in exclude)
    if first.shape != (ours.shape[0],) or second.shape != (theirs.shape[0],):
        raise AuditInputError("exclude: expected one group for every query and every reference")
    return ours, theirs, first, second


def nearest(
    queries: Vectors,
    references: Vectors,
    k: int,
    *,
    shards: int = 1,
    threads: int = 1,
    executor: Executor | None = None,
    exclude: Exclude | None = None,
    backend: str | None = None,
) -> Neighbours:
    """The exact k nearest references of every query.

    Args:
        queries: float32 (m, d), a memory map, or the path of a .npy file.
        references: float32 (n, d), likewise; row numbers 0 to n - 1.
        k: Neighbours a query, at least 1.
        shards: Parts the references are cut into; never changes a number.
        threads: Threads of each task; with an executor of processes, 1 is best.
        executor: Where tasks run; here, one after the other, by default.
        exclude: Groups of the queries (m,) and of the references (n,), int64: references of a
            query's own group are never returned.
        backend: ``"numpy"``, ``"torch"`` or ``"faiss"``; the fastest of a short probe by
            default. Never changes a number.

    Returns:
        Distances and rows, (m, k).

    Raises:
        AuditInputError: Shapes do not fit, or a value is not finite.
    """
    ours, theirs, own, other = checked(queries, references, exclude)
    if k < 1 or backend not in (None, *BACKENDS):
        raise AuditInputError(f"expected k of at least 1 and a backend of {BACKENDS}")
    chosen = choose_backend(ours, theirs, k) if backend is None else backend
    parts = shard_edges(theirs.shape[0], shards)
    sides = shard_edges(ours.shape[0], -(-ours.shape[0] // QUERY_SHARD))
    tasks = [
        ShardTask(
            queries=ours.part(first, last),
            references=theirs.part(start, stop),
            first_row=start,
            k=k,
            threads=threads,
            backend=chosen,
            query_groups=None if own is None else own[first:last],
            reference_groups=None if other is None else other[start:stop],
        )
        for first, last in sides
        for start, stop in parts
    ]
    answers = in_order(nearest_in_shard, tasks, executor)
    merged = [merge_nearest([next(answers) for _ in parts], k) for _ in sides]
    return Neighbours(
        np.concatenate([part.squared for part in merged]),
        np.concatenate([part.rows for part in merged]),
    )


def tied_rows(
    queries: Vectors, references: Vectors, found: Neighbours, *, exclude: Exclude | None = None
) -> list[Rows]:
    """All references at exactly the nearest distance, for each query.

    Args:
        queries: float32 (m, d), as for ``nearest``.
        references: float32 (n, d), as for ``nearest``.
        found: Their exact neighbours.
        exclude: Groups, as for ``nearest``.

    Returns:
        One ascending array of rows a query; empty where there is no reference. Equal queries may
        share one array.
    """
    ours, theirs, own, other = checked(queries, references, exclude)
    result, open_ended = [], []
    for number in range(ours.shape[0]):
        squared, rows = found.squared[number], found.rows[number]
        tied = rows[(squared == squared[0]) & (rows >= 0)]
        if len(tied) == len(rows) < theirs.shape[0]:
            # Every retrieved neighbour ties, so more may.
            open_ended.append(number)
        result.append(np.sort(tied))
    if not open_ended:
        return result
    # Equal queries, such as flat images, have the same ties.
    numbers = np.array(open_ended, np.int64)
    vectors = ours.take(numbers)
    keys = vectors if own is None else np.c_[vectors, own[numbers].view(np.float32).reshape(-1, 2)]
    keys = np.ascontiguousarray(keys).view(np.dtype((np.void, keys.shape[1] * 4)))[:, 0]
    _, firsts, same = np.unique(keys, return_index=True, return_inverse=True)
    whole = [
        _all_ties(vectors[[first]], theirs, found.squared[numbers[first], 0]) for first in firsts
    ]
    for place, number in enumerate(open_ended):
        rows = whole[same[place]]
        if own is not None and other is not None:
            rows = rows[other[rows] != own[number]]
        result[number] = rows
    return result


def _all_ties(query: npt.NDArray[np.float32], references: Source, squared: float) -> Rows:
    """Rows at exactly a squared distance from one query (1, d)."""
    wide = query.astype(np.float64)[0]
    ties = []
    for begin in range(0, references.shape[0], _ROWS):
        part = references.read(begin, min(begin + _ROWS, references.shape[0]))
        # A look in double precision leaves few to subtract.
        other = part.astype(np.float64)
        squares = np.einsum("ij,ij->i", other, other)
        off = squares - 2 * (other @ wide) + wide @ wide - squared
        near = np.flatnonzero(
            np.abs(off) <= 2.0**-50 * (len(wide) + 8) * (squares + wide @ wide + squared)
        )
        exact = exact_distances(query, part[near])
        ties.append(near[exact == squared] + begin)
    return np.concatenate(ties).astype(np.int64)


def mismatch_rate(
    queries: Vectors,
    references: Vectors,
    found: Neighbours,
    rng: np.random.Generator,
    sample: int = 1000,
    *,
    exclude: Exclude | None = None,
) -> tuple[float, int]:
    """Repeat random queries by double-precision brute force and count disagreements.

    Args:
        queries: float32 (m, d), as for ``nearest``.
        references: float32 (n, d), as for ``nearest``; read in blocks.
        found: The answer to check.
        rng: Draws the queries.
        sample: Queries repeated, at most.
        exclude: Groups, as for ``nearest``.

    Returns:
        Share of queries whose nearest row is farther than the true minimum, and queries checked.
    """
    ours, theirs, own, other = checked(queries, references, exclude)
    (m, _), n = ours.shape, theirs.shape[0]
    if m == 0 or n == 0:
        return 0.0, 0
    chosen = rng.permutation(m)[:sample].astype(np.int64)
    vectors = ours.take(chosen)
    wide = vectors.astype(np.float64)
    lengths = np.square(wide).sum(axis=1)
    least, largest = np.full(len(chosen), np.inf), 0.0
    for begin in range(0, n, _ROWS):
        stop = min(n, begin + _ROWS)
        part = theirs.read(begin, stop).astype(np.float64)
        squares = np.square(part).sum(axis=1)
        table = squares - 2 * wide @ part.T + lengths[:, None]
        if own is not None and other is not None:
            table[own[chosen][:, None] == other[begin:stop]] = np.inf
        least, largest = np.minimum(least, table.min(axis=1)), max(largest, squares.max())
    claimed = np.full(len(chosen), np.inf)
    some = np.flatnonzero(found.rows[chosen, 0] >= 0)
    claimed[some] = pair_distances(vectors, some, theirs, found.rows[chosen[some], 0])
    wrong = claimed > least + 1e-9 * np.maximum(1.0, lengths + largest)
    if own is not None and other is not None:
        wrong[some] |= own[chosen[some]] == other[found.rows[chosen[some], 0]]
    return int(wrong.sum()) / len(chosen), len(chosen)
