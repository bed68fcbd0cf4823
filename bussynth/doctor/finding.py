"""One line of a check-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

__all__ = ["Finding", "State", "exit_code", "table"]

State = Literal["ok", "warning", "problem"]

_USAGE: Final = 2


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was looked at, and what was found.

    Attributes:
        name: What was looked at, in a word or two.
        state: How bad it is.
        text: What was found, in a line.
        remedy: What to do about it; empty if nothing.
        details: Single problems or warnings behind it, a line each, with a remedy each.
        data: Plain values for JSON.
        seconds: How long it took, where that matters.
        code: Exit code of a problem, see :mod:`bussynth.errors`.
    """

    name: str
    state: State
    text: str
    remedy: str = ""
    details: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    code: int = _USAGE

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "name": self.name,
            "state": self.state,
            "text": self.text,
            "remedy": self.remedy or None,
            "details": list(self.details),
            "data": dict(self.data),
            "seconds": None if self.seconds is None else round(self.seconds, 3),
        }


def exit_code(findings: Sequence[Finding]) -> int:
    """0 without a problem, else the code of the first."""
    return next((one.code for one in findings if one.state == "problem"), 0)


def table(findings: Sequence[Finding]) -> str:
    """Findings in columns: state, name, time if it was taken, text and remedy."""
    width = max((len(one.name) for one in findings), default=0)
    timed = any(one.seconds is not None for one in findings)
    lines = []
    for one in findings:
        time = "" if one.seconds is None else f"{one.seconds:.1f} s"
        columns = [f"{one.state:<7}", f"{one.name:<{width}}", *([f"{time:>7}"] if timed else [])]
        remedy = f" -> {one.remedy}" if one.remedy else ""
        lines.append(f"{'  '.join(columns)}  {one.text}{remedy}")
        lines += [f"         - {detail}" for detail in one.details]
    return "\n".join(lines)
