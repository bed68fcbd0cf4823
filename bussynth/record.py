"""Reading records that no digest covers: what is not there or of another kind is None."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["digest", "field", "mapping", "number", "text", "whole"]


_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping, an empty one in place of anything else."""
    return value if isinstance(value, Mapping) else {}


def field(record: Mapping[str, Any], *path: str) -> Any:
    """Return the value at a path of keys, or None."""
    value: Any = record
    for key in path:
        value = mapping(value).get(key)
    return value


def text(value: Any) -> str | None:
    """Return a text, or None."""
    return value if isinstance(value, str) else None


def digest(value: Any) -> str | None:
    """Return a digest, or None."""
    return value if isinstance(value, str) and _DIGEST.fullmatch(value) else None


def whole(value: Any) -> int | None:
    """Return a whole number, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def number(value: Any) -> float | None:
    """Return a finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)
