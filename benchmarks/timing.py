"""Interleaved timing of a stage and of what bounds it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Comparison", "compare"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Times of a stage and of its limit, measured in turn in one run."""

    name: str
    items: int
    unit: str
    limit: str
    seconds: tuple[float, ...]
    limit_seconds: tuple[float, ...]

    def line(self) -> str:
        """Return one line: throughput, limit, and the ratio of the two with its spread."""
        rates = sorted(self.items / seconds for seconds in self.seconds)
        limits = sorted(self.items / seconds for seconds in self.limit_seconds)
        ratios = sorted(
            limit / own for own, limit in zip(self.seconds, self.limit_seconds, strict=True)
        )
        return (
            f"{self.name:<10} {statistics.median(rates):>9.1f} {self.unit:<9} "
            f"({rates[0]:.1f} to {rates[-1]:.1f})   "
            f"{statistics.median(ratios):>6.3f} of the limit "
            f"({ratios[0]:.3f} to {ratios[-1]:.3f}): "
            f"{self.limit}, {statistics.median(limits):.1f} {self.unit}"
        )


def compare(
    name: str,
    items: int,
    unit: str,
    run: Callable[[], object],
    limit: str,
    run_limit: Callable[[], object],
    repeats: int,
) -> Comparison:
    """Time ``run`` and ``run_limit`` in turn, after one turn to warm up."""
    own, bound = [], []
    for turn in range(repeats + 1):
        times = []
        for job in (run, run_limit):
            start = time.perf_counter()
            job()
            times.append(time.perf_counter() - start)
        if turn:
            own.append(times[0])
            bound.append(times[1])
    return Comparison(
        name=name,
        items=items,
        unit=unit,
        limit=limit,
        seconds=tuple(own),
        limit_seconds=tuple(bound),
    )
