"""Screening: which references could be near, by single precision, then by double.

A table of scores is compared with what is known of the k-th best. Where more survive than can
be decided one by one, as among near-duplicates or around a flat image, the table is computed
again in double precision, at twice the cost, and the margin shrinks a billion times.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audits.search.backends import Multiply, faiss_scores, margin
from audits.search.blocks import Block, Chunk
from audits.search.pool import Pool, kth_largest

__all__ = ["TILE", "double_scores", "screen_by_faiss", "screen_by_product", "single_scores"]

TILE = 2048
"""References a table of scores, so that it stays in the cache."""
_RUN = 256
_SPARE = 8

Rows = npt.NDArray[np.int64]
Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


def single_scores(
    block: Block, chunk: Chunk, columns: slice, multiply: Multiply, room: Singles
) -> Singles:
    """Scores in single precision.

    Args:
        block: Queries.
        chunk: References.
        columns: Which of them.
        multiply: The matrix product of the backend.
        room: float32, at least (m * columns,), overwritten.

    Returns:
        float32 (m, columns), a view of ``room``.
    """
    references = chunk.extended[columns]
    scores = room[: len(block.vectors) * len(references)].reshape(-1, len(references))
    multiply(block.extended, references, scores)
    return scores


def double_scores(block: Block, chunk: Chunk, columns: slice) -> Doubles:
    """Scores in double precision.

    Args:
        block: Queries.
        chunk: References.
        columns: Which of them.

    Returns:
        float64 (m, columns).
    """
    wide = chunk.vectors[columns].astype(np.float64)
    scores: Doubles = block.vectors.astype(np.float64) @ wide.T
    scores -= chunk.squares[columns] / 2
    return scores


def _leave_out(scores: Singles | Doubles, block: Block, groups: Rows | None) -> None:
    """Set the scores within a query's own group to minus infinity."""
    if block.groups is not None and groups is not None:
        scores[block.groups[:, None] == groups] = -np.inf


def _add(
    pool: Pool,
    block: Block,
    chunk: Chunk,
    numbers: Rows,
    found: tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]],
    scores: npt.NDArray[np.floating],
    error: Doubles,
) -> None:
    """Add candidates, without those of a query's own group."""
    queries, columns = found
    if block.groups is not None and chunk.groups is not None:
        other = block.groups[queries] != chunk.groups[columns]
        queries, columns, scores = queries[other], columns[other], scores[other]
    rows = chunk.rows[columns]
    pool.add(numbers[queries], rows, scores.astype(np.float64), error[queries])


def _screen_in_double(
    block: Block, chunk: Chunk, columns: slice, pool: Pool, numbers: Rows
) -> None:
    """Screen some queries in a tile again."""
    error = margin(block.squares, chunk.largest, block.vectors.shape[1], single=False)
    scores = double_scores(block, chunk, columns)
    _leave_out(scores, block, None if chunk.groups is None else chunk.groups[columns])
    pool.learn(numbers, kth_largest(scores, pool.k) - error)
    hits = scores >= (pool.known[numbers] - error)[:, None]
    rows, places = np.nonzero(hits)
    _add(pool, block, chunk, numbers, (rows, places + columns.start), scores[hits], error)


def screen_by_product(
    block: Block, chunk: Chunk, pool: Pool, numbers: Rows, multiply: Multiply
) -> None:
    """Add every reference that could be among the k nearest, by tables of scores.

    Args:
        block: Queries.
        chunk: References.
        pool: Takes the candidates.
        numbers: int64 (m,), the queries' keys in the pool.
        multiply: The matrix product of the backend.
    """
    error = margin(block.squares, chunk.largest, block.vectors.shape[1], single=True)
    room = np.empty(len(numbers) * min(TILE, len(chunk)), np.float32)
    for begin in range(0, len(chunk), TILE):
        columns = slice(begin, begin + TILE)
        scores = single_scores(block, chunk, columns, multiply, room)
        fresh = np.flatnonzero(np.isneginf(pool.known[numbers]))
        if len(fresh):
            table, some = scores[fresh], block.only(fresh)
            _leave_out(table, some, None if chunk.groups is None else chunk.groups[columns])
            pool.learn(numbers[fresh], kth_largest(table, pool.k) - error[fresh])
        bound = np.nextafter((pool.known[numbers] - error).astype(np.float32), np.float32(-np.inf))
        # Few short runs of scores reach the bound; only those are looked into.
        width = _RUN if scores.shape[1] % _RUN == 0 else scores.shape[1]
        runs = scores.reshape(-1, width)
        peaks = runs.max(axis=1).reshape(len(scores), -1)
        reached = np.flatnonzero(peaks >= bound[:, None])
        if not len(reached):
            continue
        owner, start = np.divmod(reached, peaks.shape[1])
        table = runs[reached]
        hits = table >= bound[owner, None]
        run, place = np.nonzero(hits)
        queries, places, found = owner[run], begin + start[run] * width + place, table[hits]
        crowded = np.bincount(queries, minlength=len(scores)) > pool.crowd
        if crowded.any():
            dense = np.flatnonzero(crowded)
            _screen_in_double(block.only(dense), chunk, columns, pool, numbers[dense])
            light = ~crowded[queries]
            queries, places, found = queries[light], places[light], found[light]
        _add(pool, block, chunk, numbers, (queries, places), found, error)


def screen_by_faiss(
    block: Block, chunk: Chunk, pool: Pool, numbers: Rows, multiply: Multiply
) -> None:
    """Add every reference that could be among the k nearest, by the flat index of FAISS.

    FAISS returns a fixed number a query. Where what it left out could count, the query is
    screened by tables instead.

    Args:
        block: Queries.
        chunk: References.
        pool: Takes the candidates.
        numbers: int64 (m,), the queries' keys in the pool.
        multiply: The matrix product for the queries left.
    """
    error = margin(block.squares, chunk.largest, block.vectors.shape[1], single=True)
    wanted = min(len(chunk), pool.k + _SPARE)
    scores, found = faiss_scores(block.vectors, block.squares, chunk.vectors, wanted)
    last = scores[:, -1].copy()
    if block.groups is not None and chunk.groups is not None:
        scores[block.groups[:, None] == chunk.groups[found]] = -np.inf
    pool.learn(numbers, kth_largest(scores, pool.k) - error)
    bound = pool.known[numbers] - error
    left = (last >= bound) & (wanted < len(chunk))
    hits = (scores >= bound[:, None]) & ~left[:, None]
    queries = np.nonzero(hits)[0]
    _add(pool, block, chunk, numbers, (queries, found[hits]), scores[hits], error)
    if left.any():
        some = np.flatnonzero(left)
        screen_by_product(block.only(some), chunk, pool, numbers[some], multiply)
