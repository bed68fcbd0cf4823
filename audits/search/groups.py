"""Least distance of every query to every group of references.

Permutation tests relabel patients many times. With the distance of each query to each patient,
or to each of some blocks of patients, any relabelling is a minimum over columns, and the search
is done once.
"""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.errors import AuditInputError
from audits.search.backends import Multiply, margin, multiplier
from audits.search.blocks import Block, Chunk, blocks, chunks
from audits.search.exact import checked
from audits.search.pool import Pool
from audits.search.screen import TILE, double_scores, single_scores
from audits.search.shards import QUERY_SHARD, block_size, in_order, shard_edges, spread
from audits.search.sources import Source, Vectors
from audits.search.threads import one_thread_each

__all__ = ["GroupTask", "group_minima", "minima_in_shard"]

_KEYS = 1 << 21
"""Pairs of a query and a group held at a time."""

Rows = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class GroupTask:
    """One query shard to compare with the groups of one reference shard.

    Attributes:
        queries: m rows of d values.
        references: n rows of d values.
        group_of_row: int64 (n,), 0 to n_groups - 1.
        n_groups: Groups.
        threads: Threads of the task.
        backend: ``"numpy"`` or ``"torch"``.
    """

    queries: Source
    references: Source
    group_of_row: Rows
    n_groups: int
    threads: int = 1
    backend: str = "numpy"


def _keep(
    scores: npt.NDArray[np.floating], error: Doubles, chunk: Chunk, columns: slice, pool: Pool
) -> tuple[npt.NDArray[np.bool_], Rows, Rows]:
    """Scores that could be the best of their group; also keys and the column of each group."""
    groups = chunk.groups[columns] if chunk.groups is not None else np.zeros(0, np.int64)
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]])
    m, n_groups = len(scores), len(pool.known) // len(scores)
    keys = np.arange(m)[:, None] * n_groups + groups[starts]
    best = np.maximum.reduceat(scores, starts, axis=1).astype(np.float64)
    pool.learn(keys.ravel(), (best - error[:, None]).ravel())
    bound = (pool.known[keys] - error[:, None]).astype(scores.dtype)
    bound = np.nextafter(bound, scores.dtype.type(-np.inf))
    lengths = np.diff(np.r_[starts, len(groups)])
    return (
        scores >= np.repeat(bound, lengths, axis=1),
        keys,
        np.repeat(np.arange(len(starts)), lengths),
    )


def _screen(block: Block, chunk: Chunk, pool: Pool, multiply: Multiply) -> None:
    d = block.vectors.shape[1]
    room = np.empty(len(block.vectors) * min(TILE, len(chunk)), np.float32)
    for begin in range(0, len(chunk), TILE):
        columns = slice(begin, begin + TILE)
        error = margin(block.squares, chunk.largest, d, single=True)
        scores: npt.NDArray[np.floating] = single_scores(block, chunk, columns, multiply, room)
        hits, keys, group = _keep(scores, error, chunk, columns, pool)
        if np.count_nonzero(hits) > 4 * keys.size:
            # Many within rounding error of the best: look again in double precision.
            error = margin(block.squares, chunk.largest, d, single=False)
            scores = double_scores(block, chunk, columns)
            hits, keys, group = _keep(scores, error, chunk, columns, pool)
        queries, places = np.nonzero(hits)
        pool.add(
            keys[queries, group[places]],
            chunk.rows[places + begin],
            scores[hits].astype(np.float64),
            error[queries],
        )


def minima_in_shard(task: GroupTask) -> Doubles:
    """Least squared distances within one query shard and one reference shard.

    Args:
        task: What to compare.

    Returns:
        float64 (m, n_groups); infinity for groups without rows here.
    """
    (m, _), n = task.queries.shape, task.references.shape[0]
    if m == 0 or n == 0 or task.n_groups == 0:
        return np.full((m, task.n_groups), np.inf)
    multiply = multiplier(task.backend)
    size = min(block_size(m, task.threads), max(1, _KEYS // task.n_groups))
    parts = blocks(task.queries.read(0, m), None, size)
    pools = [Pool(part.vectors, part.squares, task.references, 1, task.n_groups) for part in parts]
    with one_thread_each(task.backend) as obeyed:
        for chunk in chunks(task.references, task.group_of_row, 1, by_group=True):

            def work(number: int, chunk: Chunk = chunk) -> None:
                _screen(parts[number], chunk, pools[number], multiply)

            spread(work, len(parts), task.threads if obeyed else 1)()
        best = [pool.best()[0].reshape(-1, task.n_groups) for pool in pools]
    return np.concatenate(best)


def group_minima(
    queries: Vectors,
    references: Vectors,
    group_of_row: Rows,
    n_groups: int,
    *,
    shards: int = 1,
    threads: int = 1,
    executor: Executor | None = None,
    backend: str = "numpy",
) -> Doubles:
    """Least squared distance of each query to each group of references.

    Exact: within each group every reference that single precision cannot tell from the best is
    compared by subtraction in double precision. The relative error of a distance is at most
    (d + 4) 2^-53, and an exact copy is at 0. Cost: one matrix product, and d subtractions for
    each number returned.

    Args:
        queries: float32 (m, d), a memory map, or the path of a .npy file.
        references: float32 (n, d), likewise.
        group_of_row: int64 (n,), the group of each reference, 0 to ``n_groups`` - 1.
        n_groups: Groups, such as patients or blocks of patients.
        shards: Parts the references are cut into; never changes a number.
        threads: Threads of each task.
        executor: Where tasks run; here by default.
        backend: ``"numpy"`` or ``"torch"``; never changes a number.

    Returns:
        float64 (m, n_groups); infinity for a group without references.

    Raises:
        AuditInputError: Shapes do not fit, a group is out of range, or a value is not finite.
    """
    ours, theirs, _, _ = checked(queries, references, None)
    groups = np.asarray(group_of_row, np.int64)
    if groups.shape != (theirs.shape[0],):
        raise AuditInputError("group_of_row: expected one group for every reference")
    if len(groups) and not 0 <= groups.min() <= groups.max() < n_groups:
        raise AuditInputError(f"group_of_row: expected groups from 0 to {n_groups - 1}")
    if backend not in ("numpy", "torch"):
        raise AuditInputError('backend: expected "numpy" or "torch"')
    parts = shard_edges(theirs.shape[0], shards)
    sides = shard_edges(ours.shape[0], -(-ours.shape[0] // QUERY_SHARD))
    tasks = [
        GroupTask(
            queries=ours.part(first, last),
            references=theirs.part(start, stop),
            group_of_row=groups[start:stop],
            n_groups=n_groups,
            threads=threads,
            backend=backend,
        )
        for first, last in sides
        for start, stop in parts
    ]
    answers = in_order(minima_in_shard, tasks, executor)
    merged = []
    for _ in sides:
        least = next(answers)
        for _ in parts[1:]:
            least = np.minimum(least, next(answers))
        merged.append(least)
    return np.concatenate(merged)
