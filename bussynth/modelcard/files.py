"""JSON files that come with a card: read whole, bounded, and no further trusted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from bussynth.errors import DataError

__all__ = ["read_json"]

_MAX_BYTES: Final = 64 * 2**20


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: The file.
        what: What it should be, for messages.

    Raises:
        DataError: The file is missing, too large, or holds no JSON object.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(f"{path} is larger than 64 MiB; it is no {what}.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path.parent} holds no {what}: {path.name} cannot be read.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid JSON.") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is no {what}.")
    return content
