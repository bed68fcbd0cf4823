"""Numbers and UIDs that are the same on every run and look like nothing in particular."""

from __future__ import annotations

import hashlib

__all__ = ["number", "uid"]


def _hash(what: str, numbers: tuple[int, ...]) -> int:
    text = ":".join(["bussynth-phantom-hospital", what, *map(str, numbers)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")


def uid(what: str, *numbers: int) -> str:
    """Make a UID below 2.25, the branch of UUIDs that needs no registration (PS3.5 B.2).

    Example:
        >>> uid("study", 0, 1)[:5], len(uid("study", 0, 1)) <= 64
        ('2.25.', True)
    """
    return f"2.25.{_hash(what, numbers)}"


def number(what: str, *numbers: int, digits: int) -> str:
    """Make a decimal number with leading zeros.

    Example:
        >>> len(number("accession", 0, 1, digits=8))
        8
    """
    return f"{_hash(what, numbers) % 10**digits:0{digits}d}"
