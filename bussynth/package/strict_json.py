"""A JSON parser for files that strangers wrote.

JSON leaves open what two equal keys mean, how large a number may be and how deep the
nesting may go; two readers that answer differently can be played against each other.
Here every such case is an error.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from bussynth.errors import IntegrityError

__all__ = ["strict_json"]

_MAX_DIGITS = 18
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]|[\]}]', re.DOTALL)


class _RefusedError(ValueError):
    """A construct of JSON that is not accepted; the text is the reason."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _RefusedError("an object has the same key twice")
    return result


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > _MAX_DIGITS:
        raise _RefusedError(f"an integer has more than {_MAX_DIGITS} digits")
    return int(text)


def _number(text: str) -> float:
    value = float(text) if len(text) <= 64 else math.inf
    if not math.isfinite(value):
        raise _RefusedError("a number is out of range")
    return value


def _constant(text: str) -> NoReturn:
    raise _RefusedError("NaN and Infinity are not JSON")


def _depth(text: str, limit: int) -> None:
    depth = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in "[{":
            depth += 1
            if depth > limit:
                raise _RefusedError(f"nested deeper than {limit} levels")
        elif token in "]}":
            depth -= 1


def strict_json(data: bytes, *, what: str, max_bytes: int, max_depth: int = 16) -> Any:
    """Parse UTF-8 JSON, refusing what parsers disagree about.

    Args:
        data: The bytes of the document.
        what: How to call the document in an error.
        max_bytes: Largest accepted size.
        max_depth: Deepest accepted nesting of arrays and objects.

    Returns:
        The parsed value.

    Raises:
        IntegrityError: The document is too large, is not UTF-8 or not JSON, holds the same
            key twice, NaN, an infinite or huge number, or is nested too deeply.
    """
    if len(data) > max_bytes:
        raise IntegrityError(f"{what} is larger than the {max_bytes:,} bytes allowed.")
    try:
        text = data.decode("utf-8")
        _depth(text, max_depth)
        return json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
        )
    except UnicodeDecodeError as error:
        raise IntegrityError(f"{what} is not UTF-8 text.") from error
    except _RefusedError as error:
        raise IntegrityError(f"{what} is refused: {error}.") from error
    except json.JSONDecodeError as error:
        raise IntegrityError(f"{what} is not valid JSON (line {error.lineno}).") from error
