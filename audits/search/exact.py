"""Exact nearest neighbours over shards.

FAISS proposes in single precision, double precision decides. FAISS computes distances as
|x|^2 + |y|^2 - 2xy, which cancels exactly where an audit looks, near zero (faiss issues 297, 5285,
5327). So more neighbours than asked are retrieved, distances are recomputed in double precision,
and a query is searched again exhaustively whenever the rounding error could hide a neighbour or
a tie. The answer is therefore the exact one, whatever the shards, blocks or threads.

The FAISS wheel may pick slow kernels on recent processors; setting ``OPENBLAS_CORETYPE`` (for
example ``SkylakeX``) before Python starts can double its speed. This module never edits the
environment, and results do not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from audits.features.pixels import FloatArray

__all__ = [
    "Neighbours",
    "exact_distances",
    "merge_nearest",
    "mismatch_rate",
    "nearest",
    "nearest_in_shard",
    "tied_rows",
]

_BLOCK = 1024
_SPARE = 8


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The k nearest rows of each of m queries, nearest first, ties by row.

    Attributes:
        squared: float64 (m, k), squared distances; infinity where fewer than k rows exist.
        rows: int64 (m, k), row numbers; -1 where fewer than k rows exist.
    """

    squared: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]


def exact_distances(query: FloatArray, references: FloatArray) -> npt.NDArray[np.float64]:
    """Squared distances in double precision by subtraction, never by expansion.

    Args:
        query: (d,) or (n, d).
        references: (n, d).

    Returns:
        float64 (n,).
    """
    difference = references.astype(np.float64) - query.astype(np.float64)
    result: npt.NDArray[np.float64] = np.square(difference).sum(axis=-1)
    return result


@contextmanager
def _faiss_threads(threads: int) -> Iterator[None]:
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(threads)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _order(
    squared: npt.NDArray[np.float64], rows: npt.NDArray[np.int64], k: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Sort by distance, then by row, and keep k columns."""
    by_row = np.argsort(rows, axis=1, kind="stable")
    squared = np.take_along_axis(squared, by_row, 1)
    rows = np.take_along_axis(rows, by_row, 1)
    by_distance = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(squared, by_distance, 1), np.take_along_axis(rows, by_distance, 1)


def nearest_in_shard(
    task: tuple[FloatArray, FloatArray, int, int, int],
) -> Neighbours:
    """Search one query shard in one reference shard: a pure function for any executor.

    Args:
        task: Queries (m, d), references (n, d), row number of the first reference, k, threads.

    Returns:
        The exact k nearest of this shard.
    """
    import faiss

    queries, references, first_row, k, threads = task
    m, n, d = len(queries), len(references), queries.shape[1]
    squared = np.full((m, k), np.inf)
    rows = np.full((m, k), -1, np.int64)
    if m == 0 or n == 0:
        return Neighbours(squared, rows)
    wanted = min(n, k + _SPARE)
    kept = min(n, k)
    with _faiss_threads(threads):
        index = faiss.IndexFlatL2(d)
        index.add(np.ascontiguousarray(references))
        for begin in range(0, m, _BLOCK):
            block = np.ascontiguousarray(queries[begin : begin + _BLOCK])
            proposed, found = index.search(block, wanted)
            exact = np.empty(found.shape)
            for column in range(wanted):
                exact[:, column] = exact_distances(block, references[found[:, column]])
            best, chosen = _order(exact, found.astype(np.int64), kept)
            if wanted < n:
                # Any row not retrieved lies beyond the last proposed distance, less rounding.
                scale = np.square(block.astype(np.float64)).sum(axis=1)
                scale += float(np.square(references.astype(np.float64)).sum(axis=1).max())
                slack = 4 * (d + 8) * np.finfo(np.float32).eps * scale
                for row in np.flatnonzero(best[:, -1] >= proposed[:, -1] - slack):
                    every = exact_distances(block[row], references)
                    order = np.argsort(every, kind="stable")[:kept]
                    best[row], chosen[row] = every[order], order
            squared[begin : begin + _BLOCK, :kept] = best
            rows[begin : begin + _BLOCK, :kept] = chosen + first_row
    return Neighbours(squared, rows)


def merge_nearest(parts: list[Neighbours], k: int) -> Neighbours:
    """Merge the answers of several reference shards to the same queries.

    Args:
        parts: One answer a shard, each with at least the shard's own k nearest.
        k: Neighbours to keep.

    Returns:
        The k nearest over all shards; the order of the parts does not matter.
    """
    squared = np.concatenate([part.squared for part in parts], axis=1)
    rows = np.concatenate([part.rows for part in parts], axis=1)
    # Missing rows (-1) are infinitely far, so they sort last by distance.
    best, chosen = _order(squared, rows, k)
    return Neighbours(best, chosen)


def nearest(
    queries: FloatArray,
    references: FloatArray,
    k: int,
    *,
    shards: int = 1,
    threads: int = 1,
    executor: Executor | None = None,
) -> Neighbours:
    """The exact k nearest references of every query.

    Args:
        queries: float32 (m, d).
        references: float32 (n, d), row numbers 0 to n - 1.
        k: Neighbours a query.
        shards: Parts the references are cut into; never changes a number.
        threads: FAISS threads of each task.
        executor: Where tasks run; here, one after the other, by default.

    Returns:
        Distances and rows, (m, k).
    """
    edges = np.linspace(0, len(references), max(1, shards) + 1).astype(int).tolist()
    tasks = [
        (queries, references[start:stop], int(start), k, threads) for start, stop in pairwise(edges)
    ]
    run = map if executor is None else executor.map
    return merge_nearest(list(run(nearest_in_shard, tasks)), k)


def tied_rows(
    queries: FloatArray, references: FloatArray, found: Neighbours
) -> list[npt.NDArray[np.int64]]:
    """All references at exactly the nearest distance, for each query.

    Args:
        queries: float32 (m, d).
        references: float32 (n, d).
        found: Their exact neighbours.

    Returns:
        One ascending array of rows a query; empty where there is no reference.
    """
    result = []
    for number in range(len(queries)):
        squared, rows = found.squared[number], found.rows[number]
        tied = rows[(squared == squared[0]) & (rows >= 0)]
        if len(tied) == len(rows) < len(references):
            # Every retrieved neighbour ties, so more may.
            every = exact_distances(queries[number], references)
            tied = np.flatnonzero(every == squared[0]).astype(np.int64)
        result.append(np.sort(tied))
    return result


def mismatch_rate(
    queries: FloatArray,
    references: FloatArray,
    found: Neighbours,
    rng: np.random.Generator,
    sample: int = 1000,
) -> tuple[float, int]:
    """Repeat random queries by double-precision brute force and count disagreements.

    Args:
        queries: float32 (m, d).
        references: float32 (n, d).
        found: The answer to check.
        rng: Draws the queries.
        sample: Queries repeated, at most.

    Returns:
        Share of queries whose nearest row is farther than the true minimum, and queries checked.
    """
    if len(queries) == 0 or len(references) == 0:
        return 0.0, 0
    chosen = rng.permutation(len(queries))[:sample]
    wide = references.astype(np.float64)
    squares = np.square(wide).sum(axis=1)
    wrong = 0
    for begin in range(0, len(chosen), 256):
        part = chosen[begin : begin + 256]
        block = queries[part].astype(np.float64)
        table = squares - 2 * block @ wide.T + np.square(block).sum(axis=1)[:, None]
        claimed = table[np.arange(len(part)), found.rows[part, 0]]
        wrong += int((claimed > table.min(axis=1) + 1e-9).sum())
    return wrong / len(chosen), len(chosen)
