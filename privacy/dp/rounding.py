"""Rounding in the one direction that promises no more than was proved: up."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Decimal

__all__ = ["rounded_up"]


def rounded_up(value: float, digits: int = 3) -> float:
    """The least number of so many significant digits that is not below a value.

    Args:
        value: An epsilon, delta or chance, 0 or more; as it is written in full, so that the float
            next to 0.001 counts as 0.001. What is not finite stays as it is.
        digits: Significant digits, 1 or more.

    Example:
        >>> rounded_up(7.2801), rounded_up(0.0001)
        (7.29, 0.0001)
    """
    if value == 0 or not math.isfinite(value):
        return value
    exact = Decimal(repr(float(value)))
    unit = Decimal(1).scaleb(exact.adjusted() - digits + 1)
    return float(exact.quantize(unit, rounding=ROUND_CEILING))
