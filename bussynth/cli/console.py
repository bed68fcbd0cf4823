"""What the command line shows: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bussynth.progress import Progress, Task

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

__all__ = ["console_progress", "print_json", "show", "warn"]

_LINE_EVERY_SECONDS = 20.0


def show(text: str) -> None:
    """Print a result on stdout, without control characters a file could have smuggled in."""
    sys.stdout.write(_printable(text) + "\n")
    sys.stdout.flush()


def warn(text: str) -> None:
    """Print a note or an error on stderr."""
    sys.stderr.write(_printable(text) + "\n")
    sys.stderr.flush()


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() or char in "\n\t" else "�" for char in text)


class _BarTask(Task):
    def __init__(self, bar: RichProgress, task: TaskID, unit: str) -> None:
        self._bar, self._task, self._unit = bar, task, unit
        self._start = time.monotonic()
        self._done = 0

    def advance(self, n: int = 1, **info: str | float) -> None:
        self._done += n
        seconds = max(time.monotonic() - self._start, 1e-6)
        self._bar.update(
            self._task,
            advance=n,
            rate=f"{self._done / seconds:.3g} {self._unit}/s",
            info=_text(info),
        )

    def expect(self, total: int) -> None:
        self._bar.update(self._task, total=total)


class _BarProgress(Progress):
    """Bars with throughput and time left, for a terminal."""

    @contextmanager
    def task(
        self, description: str, total: int | None = None, unit: str = "images", done: int = 0
    ) -> Iterator[Task]:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        with RichProgress(
            TextColumn("{task.description:<12}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[info]}"),
            console=Console(stderr=True),
        ) as bar:
            yield _BarTask(
                bar, bar.add_task(description, total=total, completed=done, rate="", info=""), unit
            )


class _LineTask(Task):
    def __init__(self, description: str, total: int | None, unit: str, done: int) -> None:
        self._description, self._total, self._unit = description, total, unit
        self._start = self._said = time.monotonic()
        self._before = done
        self._done = 0
        self._info: dict[str, str | float] = {}

    def advance(self, n: int = 1, **info: str | float) -> None:
        self._done += n
        self._info = info or self._info
        if time.monotonic() - self._said > _LINE_EVERY_SECONDS:
            self._said = time.monotonic()
            self.say()

    def expect(self, total: int) -> None:
        self._total = total

    def say(self) -> None:
        seconds = max(time.monotonic() - self._start, 1e-6)
        total = "" if self._total is None else f"/{self._total}"
        rate = f"{self._done / seconds:.3g} {self._unit}/s"
        warn(
            f"{self._description}: {self._before + self._done}{total} {self._unit}, "
            f"{seconds:.0f} s, {rate}"
            f"{', ' + _text(self._info) if self._info else ''}"
        )


class _LineProgress(Progress):
    """A line now and then, for a log file."""

    @contextmanager
    def task(
        self, description: str, total: int | None = None, unit: str = "images", done: int = 0
    ) -> Iterator[Task]:
        task = _LineTask(description, total, unit, done)
        yield task
        task.say()


def _text(info: dict[str, str | float]) -> str:
    return " ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in info.items()
    )


def console_progress(*, quiet: bool) -> Progress:
    """Return the progress that fits: bars on a terminal, lines in a log, or nothing."""
    if quiet:
        return Progress()
    return _BarProgress() if sys.stderr.isatty() else _LineProgress()
