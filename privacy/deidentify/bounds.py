"""What one item of a long run may cost, and what stands in the place of one that cost more."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Bounds", "Failed", "Failure"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What one item may cost.

    Attributes:
        seconds: Wall-clock time of one item, from the unpickling of the item to the pickling of
            the result. The start of a worker does not count.
        memory_bytes: Address space beyond what a worker has mapped when it is ready. None sets no
            limit; nor is there one on systems without ``/proc`` and RLIMIT_AS.

    Raises:
        ValueError: If a limit is not positive and finite.
    """

    seconds: float = 60.0
    memory_bytes: int | None = 4 << 30

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise ValueError(f"Expected seconds={self.seconds!r} > 0 and finite.")
        if self.memory_bytes is not None and self.memory_bytes <= 0:
            raise ValueError(f"Expected memory_bytes={self.memory_bytes!r} > 0.")


class Failure(StrEnum):
    """Why an item has no result."""

    TIMED_OUT = "took longer than allowed"
    CRASHED = "ended its process"  # by itself, or the kernel did for lack of memory
    OUT_OF_MEMORY = "needed more memory than allowed"
    ERROR = "raised an error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """Stands where an item's result would be.

    Attributes:
        failure: What happened.
        error: Name of the error's class, never its text, which may hold values of the item.
    """

    failure: Failure
    error: str = ""
