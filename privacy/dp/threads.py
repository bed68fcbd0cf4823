"""Several patients at a time, each on one thread, their results in order.

A network small enough for a processor keeps several threads busier with a patient each than with
one patient together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import torch

__all__ = ["Threads"]

Item = TypeVar("Item")
Result = TypeVar("Result")


class Threads:
    """Some threads, as a context; items that were not begun at its end are left.

    Args:
        count: How many items are computed at a time. With one there are no further threads, and an
            item has all of torch's own.
    """

    def __init__(self, count: int) -> None:
        self._usual, self._count = torch.get_num_threads(), count
        self._pool = None
        if count > 1:
            self._pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))

    def __enter__(self) -> Threads:
        """Nothing more to do."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for what was begun."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            # What a thread sets for itself, threads made later would start with.
            torch.set_num_threads(self._usual)

    def map(
        self, function: Callable[[Item], Result], items: Iterable[Item]
    ) -> Iterator[Result | Exception]:
        """Results of a function in the order of the items, a few ahead of what was asked for.

        An error of one item comes in the place of its result and does not stop the others.
        """
        begun: deque[Future[Result | Exception]] = deque()
        for item in items:
            if self._pool is None:
                yield _attempt(function, item)
                continue
            begun.append(self._pool.submit(_attempt, function, item))
            if len(begun) > self._count:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()


def _attempt(function: Callable[[Item], Result], item: Item) -> Result | Exception:
    try:
        return function(item)
    except Exception as error:
        return error
