"""An ordered, bounded map over worker processes."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from bussynth.errors import BussynthError

__all__ = ["map_ordered"]

_A = TypeVar("_A")
_B = TypeVar("_B")


def map_ordered(
    function: Callable[[_A], _B], items: Iterable[_A], *, workers: int = 1
) -> Iterator[_B]:
    """Yield ``function(item)`` in the order of the items, whatever the number of workers.

    No more than ``2 * workers`` results wait at any time.

    Args:
        function: A picklable, pure function.
        items: The work, taken as it is needed.
        workers: Processes; 1 runs in this one.

    Yields:
        The results.

    Raises:
        BussynthError: If a worker process died.
    """
    if workers <= 1:
        yield from map(function, items)
        return
    # Spawned, not forked: a fork copies the locks of whatever threads the caller runs.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context)
    try:
        queue = iter(items)
        waiting: deque[Future[_B]] = deque(
            pool.submit(function, item) for item in islice(queue, 2 * workers)
        )
        while waiting:
            result = waiting.popleft().result()
            for item in islice(queue, 1):
                waiting.append(pool.submit(function, item))
            yield result
    except BrokenProcessPool as error:
        raise BussynthError(
            "A worker process died, perhaps for lack of memory; run again with fewer workers."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
