"""What a check before a private training has found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

__all__ = ["Check", "timed"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """Outcome of a check.

    Attributes:
        name: What was checked, in a word or two.
        text: What was found, in a line.
        problems: What forbids a private training, each with what to do about it.
        warnings: What is worth knowing before one.
        measured: The numbers behind it, by name.
        seconds: How long it took.
    """

    name: str
    text: str
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    measured: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def state(self) -> Literal["ok", "warning", "problem"]:
        """The worst of what was found."""
        return "problem" if self.problems else "warning" if self.warnings else "ok"


def timed(name: str, check: Callable[[], Check]) -> Check:
    """Run a check and keep the time; an error in it is a problem, not an end.

    Args:
        name: Of the check, for one that ends in an error.
        check: Looks at made-up patients only, since the text of an error may quote what it saw.
    """
    start = time.perf_counter()
    try:
        found = check()
    except Exception as error:
        found = Check(
            name=name,
            text="could not be computed",
            problems=(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",),
        )
    return replace(found, seconds=time.perf_counter() - start)
