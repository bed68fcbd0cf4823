"""What a test reports: a number, its uncertainty and a sentence anyone can read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from audits.statistics.intervals import Interval

__all__ = ["Outcome", "percent", "plain", "rounded"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One test of the audit.

    Attributes:
        name: Short fixed identifier.
        question: What is asked, in plain words.
        n: Counts the answer rests on.
        estimate: The answer, or None when not estimable.
        interval: Its interval, or None.
        p_value: One-sided p-value of the null "no leakage", or None.
        fired: Whether it points to leakage by its own rule, before Holm's correction.
        sentence: The answer in plain words.
        details: Further numbers, aggregate only.
    """

    name: str
    question: str
    n: Mapping[str, int]
    estimate: float | None
    interval: Interval | None
    p_value: float | None
    fired: bool
    sentence: str
    details: Mapping[str, Any] = field(default_factory=dict)


def plain(value: Any) -> Any:
    """Turn results into JSON types: dataclasses to objects, tuples to lists, NaN to null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def percent(share: float | None, digits: int = 1) -> str:
    """A share in words, such as ``"8.1 %"``."""
    return "unknown" if share is None else f"{100 * share:.{digits}f} %"


def rounded(value: Any, digits: int = 2) -> Any:
    """Round every float of plain data to significant digits.

    Args:
        value: JSON types.
        digits: Significant digits kept.

    Returns:
        The same structure.
    """
    if isinstance(value, dict):
        return {key: rounded(entry, digits) for key, entry in value.items()}
    if isinstance(value, list):
        return [rounded(entry, digits) for entry in value]
    if isinstance(value, float) and value:
        return round(value, digits - 1 - math.floor(math.log10(abs(value))))
    return value
