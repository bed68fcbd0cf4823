"""JSON files of a source: small, and with an object at the top."""

from __future__ import annotations

import json
from typing import Any, Final

from bussynth.errors import DataError

__all__ = ["MAX_RECORD_BYTES", "parse_record"]

MAX_RECORD_BYTES: Final = 2**20


def parse_record(data: bytes, *, what: str) -> dict[str, Any]:
    """Parse a JSON object.

    Args:
        data: Content of the file.
        what: Its name in messages.

    Raises:
        DataError: It is larger than 1 MiB, no JSON, or no object.
    """
    if len(data) > MAX_RECORD_BYTES:
        raise DataError(f"{what} is larger than 1 MiB.")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):  # also what is not UTF-8
        raise DataError(f"{what} is not valid JSON.") from None
    if not isinstance(value, dict):
        raise DataError(f"{what} must hold a JSON object.")
    return value
