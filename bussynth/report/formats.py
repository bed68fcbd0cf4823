"""How the report writes numbers: never rounding to certainty, never more digits than they carry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = [
    "amount",
    "band",
    "count",
    "frequency",
    "label_name",
    "number",
    "p_value",
    "percent",
    "points",
    "share",
]

_PERCENT = "\N{NO-BREAK SPACE}%"
_LABELS = {"birads": "BI-RADS"}


def share(value: float | None, digits: int = 1) -> str:
    """Write a share as a percentage, never rounding up to 100 % or down to 0 %."""
    if value is None:
        return "not estimable"
    step = 10.0**-digits
    percent = round(100 * value, digits)
    if value < 1 and percent >= 100:
        percent = 100 - step
    if value > 0 and percent <= 0:
        return f"below {step:.{digits}f}{_PERCENT}"
    return f"{percent:.{digits}f}{_PERCENT}".replace("-", "−")


def percent(value: float) -> str:
    """Write a declared share with no needless digits: 10 %, 0.1 %."""
    return f"{100 * value:.4g}{_PERCENT}"


def p_value(value: float | None) -> str:
    """Write a p-value with two significant digits."""
    if value is None:
        return "not estimable"
    if value < 0.001:
        return "below 0.001"
    return f"{value:.3f}" if value < 0.0995 else f"{value:.2f}"


def frequency(p: float) -> str:
    """Write a p-value as a number of audits: about 12 of 100 audits."""
    if p < 0.001:
        return "fewer than 1 of 1,000 audits"
    if p >= 0.995:
        return "nearly all audits"
    total = 100 if p >= 0.0095 else 1000
    return f"about {round(p * total)} of {total:,} audits"


def points(value: float) -> str:
    """Write a difference of two shares in percentage points."""
    # Adding zero turns the −0.0 of rounding into 0.0.
    return f"{round(100 * value, 1) + 0.0:.1f} points".replace("-", "−")


def band(interval: Mapping[str, Any] | None, *, with_confidence: bool = True) -> str:
    """Write an interval on a share."""
    if not interval:
        return "not estimable"
    text = f"{share(interval['low'])} to {share(interval['high'])}"
    if with_confidence:
        text += f" ({share(interval['confidence'], 0)} confidence)"
    return text


def count(value: int | None) -> str:
    """Write a count with commas."""
    return "unknown" if value is None else f"{value:,}"


def amount(value: int, thing: str) -> str:
    """Write a count with its noun: 1 image, 1,000 images."""
    return f"{count(value)} {thing}{'' if value == 1 else 's'}"


def label_name(name: str) -> str:
    """Write the name of a label as people do."""
    return _LABELS.get(name, name)


def number(value: Any) -> str:
    """Write a setting: lists with commas, numbers without needless digits."""
    if isinstance(value, list):
        return ", ".join(number(entry) for entry in value)
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.4g}"
    return str(value)
