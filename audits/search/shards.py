"""Tasks of a search: pure functions of a query shard and a reference shard.

They run on any executor, in any order, here or elsewhere, and their answers are merged in a
fixed order. A shard in a file travels as its path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from audits.features.pixels import FloatArray
from audits.search.backends import Multiply, multiplier
from audits.search.blocks import Block, Chunk, blocks, chunks
from audits.search.pool import Pool
from audits.search.screen import screen_by_faiss, screen_by_product
from audits.search.sources import Source, as_source
from audits.search.threads import one_thread_each

__all__ = [
    "QUERY_SHARD",
    "Neighbours",
    "ShardTask",
    "block_size",
    "in_order",
    "merge_nearest",
    "nearest_in_shard",
    "shard_edges",
    "spread",
]

QUERY_SHARD = 16_384
"""Queries a task, so that its candidates fit in memory however many queries there are."""
_BLOCK = 1024

Rows = npt.NDArray[np.int64]
_Task = TypeVar("_Task")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The k nearest rows of each of m queries, nearest first, ties by row.

    Attributes:
        squared: float64 (m, k), squared distances; infinity where fewer than k rows exist.
        rows: int64 (m, k), row numbers; -1 where fewer than k rows exist.
    """

    squared: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False, kw_only=True)
class ShardTask:
    """One query shard to search in one reference shard.

    Attributes:
        queries: m rows of d values.
        references: n rows of d values.
        first_row: Row number of the first reference.
        k: Neighbours a query.
        threads: Threads of the task.
        backend: One of ``BACKENDS``.
        query_groups: int64 (m,), or None where no reference is left out.
        reference_groups: int64 (n,), or None.
    """

    queries: Source
    references: Source
    first_row: int
    k: int
    threads: int = 1
    backend: str = "numpy"
    query_groups: Rows | None = None
    reference_groups: Rows | None = None


def shard_edges(length: int, shards: int) -> list[tuple[int, int]]:
    """Starts and stops of equal parts of a length; one empty part for nothing."""
    edges = np.linspace(0, length, max(1, min(shards, length)) + 1).astype(int).tolist()
    return list(pairwise(edges))


def block_size(queries: int, threads: int) -> int:
    """Queries a block, so that every thread has one."""
    return max(1, min(_BLOCK, -(-queries // max(1, threads))))


def in_order(
    function: Callable[[_Task], _Answer], tasks: Iterable[_Task], executor: Executor | None
) -> Iterator[_Answer]:
    """Run tasks, here by default, and yield their answers in order."""
    tasks = list(tasks)
    return map(function, tasks) if executor is None else iter(executor.map(function, tasks))


def spread(work: Callable[[int], None], count: int, threads: int) -> Callable[[], None]:
    """A function that does ``work(0)`` to ``work(count - 1)`` in threads at every call."""
    if threads <= 1 or count <= 1:

        def here() -> None:
            for number in range(count):
                work(number)

        return here

    def apart() -> None:
        with ThreadPoolExecutor(min(threads, count)) as pool:
            list(pool.map(work, range(count)))

    return apart


def _screens(backend: str) -> Callable[[Block, Chunk, Pool, Rows, Multiply], None]:
    return screen_by_faiss if backend == "faiss" else screen_by_product


def nearest_in_shard(
    task: ShardTask | tuple[FloatArray, FloatArray, int, int, int],
) -> Neighbours:
    """Search one query shard in one reference shard: a pure function for any executor.

    Args:
        task: A task, or queries (m, d), references (n, d), row number of the first reference, k
            and threads.

    Returns:
        The exact k nearest of this shard.

    Raises:
        AuditInputError: A value is not finite, or a file cannot be read.
    """
    if isinstance(task, tuple):
        queries, references, first_row, k, threads = task
        task = ShardTask(
            queries=as_source(queries, "queries"),
            references=as_source(references, "references"),
            first_row=first_row,
            k=k,
            threads=threads,
        )
    (m, _), n = task.queries.shape, task.references.shape[0]
    if m == 0 or n == 0:
        return Neighbours(np.full((m, task.k), np.inf), np.full((m, task.k), -1, np.int64))
    screen, multiply = _screens(task.backend), multiplier(task.backend)
    parts = blocks(task.queries.read(0, m), task.query_groups, block_size(m, task.threads))
    pools = [Pool(part.vectors, part.squares, task.references, task.k) for part in parts]
    numbers = [np.arange(len(part.vectors), dtype=np.int64) for part in parts]
    with one_thread_each(task.backend) as obeyed:
        threads = task.threads if obeyed else 1
        for chunk in chunks(task.references, task.reference_groups, task.k):

            def work(number: int, chunk: Chunk = chunk) -> None:
                screen(parts[number], chunk, pools[number], numbers[number], multiply)

            spread(work, len(parts), threads)()
        best = [pool.best() for pool in pools]
    squared = np.concatenate([part for part, _ in best])
    rows = np.concatenate([part for _, part in best])
    return Neighbours(squared, np.where(rows >= 0, rows + task.first_row, rows))


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
    order = np.lexsort((rows, squared), axis=1)[:, :k]
    return Neighbours(np.take_along_axis(squared, order, 1), np.take_along_axis(rows, order, 1))
