"""One digest over the files of a source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from bussynth.atomic import canonical_json

__all__ = ["source_digest"]


def source_digest(kind: str, files: Iterable[tuple[str, str]]) -> str:
    """Return ``"sha256:…"`` over the files that decide the images.

    Args:
        kind: Kind of the source.
        files: For each file its role (a name that tells nothing of a patient) and its SHA-256 in
            hexadecimal.
    """
    content = canonical_json([kind, [list(file) for file in files]])
    return "sha256:" + hashlib.sha256(content.encode()).hexdigest()
