"""Progress reporting that library code can call and that stays silent by default.

The command line replaces :data:`SILENT` with bars that show throughput and time left.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["SILENT", "Progress", "Task"]


class Task:
    """One piece of work under way. The base class does nothing."""

    def advance(self, n: int = 1, **info: str | float) -> None:
        """Report ``n`` more units done, with optional figures such as ``loss=0.1``."""

    def expect(self, total: int) -> None:
        """Correct the total, for work whose amount shows only on the way."""


class Progress:
    """A place to report to. The base class is silent."""

    @contextmanager
    def task(
        self, description: str, total: int | None = None, unit: str = "images", done: int = 0
    ) -> Iterator[Task]:
        """Open a task for the length of a block.

        Args:
            description: What is done, in a word or two.
            total: Units to do; None if unknown.
            unit: Name of the units.
            done: Units that an earlier run has done; they count for the bar, not the rate.
        """
        yield Task()


SILENT = Progress()
