"""Which file names and which texts a package may hold.

File names are held to an alphabet that means the same on every file system: a name that
Windows, macOS and Linux read alike cannot climb out of the folder, hide, or collide.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

__all__ = ["is_plain_word", "name_problem", "names_problems", "shown", "text_problem"]

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MAX_PART, _MAX_NAME, _MAX_DEPTH = 128, 512, 8
_DEVICES = {"con", "prn", "aux", "nul"} | {
    f"{port}{digit}" for port in ("com", "lpt") for digit in range(10)
}
# Control, format (direction overrides, zero width), surrogate, private and unassigned
# characters, line and paragraph separators: what can deceive a terminal or a reader.
_DECEIVING = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def shown(text: object, limit: int = 80) -> str:
    """Return ``text`` quoted for a message: ASCII, escaped, at most ``limit`` characters."""
    if not isinstance(text, str):
        return f"a {type(text).__name__}"
    return ascii(text[:limit]) + ("…" if len(text) > limit else "")


def is_plain_word(text: str) -> bool:
    """Tell whether ``text`` may serve as one part of a file name on any system."""
    return (
        len(text) <= _MAX_PART
        and _PART.fullmatch(text) is not None
        and not text.endswith(".")
        and text.split(".", 1)[0].casefold() not in _DEVICES
    )


def name_problem(name: object) -> str | None:
    """Say what is wrong with the name of a file in a package.

    Args:
        name: Relative POSIX path such as ``data/part-00000.parquet``.

    Returns:
        One line, or None if the name is good: parts of ASCII letters, digits, ``.``, ``_``
        and ``-`` that begin with a letter or a digit, no ``..``, no device name of Windows,
        at most 8 parts, 128 characters a part and 512 in all.
    """
    if not isinstance(name, str):
        return f"the name of a file is {shown(name)}, not a text"
    if len(name) > _MAX_NAME:
        return f"file name {shown(name, 40)}: longer than {_MAX_NAME} characters"
    parts = name.split("/")
    if len(parts) > _MAX_DEPTH:
        return f"file name {shown(name, 40)}: deeper than {_MAX_DEPTH} folders"
    if not all(is_plain_word(part) for part in parts):
        return (
            f"file name {shown(name)}: must be relative, of plain letters, digits, '.', '_' "
            "and '-', without '..' or a device name"
        )
    return None


def names_problems(names: Iterable[object]) -> list[str]:
    """Check the names of all files of a package, alone and against each other.

    Args:
        names: The names.

    Returns:
        One line a problem: a bad name, a name given twice, two names that differ only in
        case, a name that is both a file and a folder.
    """
    problems: list[str] = []
    seen: dict[str, str] = {}
    for name in names:
        problem = name_problem(name)
        if problem is not None or not isinstance(name, str):
            problems.append(problem or "")
            continue
        folded = name.casefold()
        if folded in seen:
            twin = "twice" if seen[folded] == name else f"beside {shown(seen[folded])}"
            problems.append(f"file name {shown(name)}: listed {twin}")
        seen[folded] = name
    for folded, name in seen.items():
        parts = folded.split("/")
        if any("/".join(parts[:end]) in seen for end in range(1, len(parts))):
            problems.append(f"file name {shown(name)}: lies inside another file of the list")
    return problems


def text_problem(value: object, *, what: str, max_length: int = 200) -> str | None:
    """Say what is wrong with a line of text that people will read.

    Args:
        value: The text.
        what: How to call it in a message.
        max_length: Most characters.

    Returns:
        One line, or None if the text is one line of NFC text of printable characters.
    """
    if not isinstance(value, str):
        return f"{what}: expected a text, got {shown(value)}"
    if not value.strip():
        return f"{what}: is empty"
    if len(value) > max_length:
        return f"{what}: longer than {max_length} characters"
    if any(unicodedata.category(character) in _DECEIVING for character in value):
        return f"{what}: holds a line break, a control or an invisible character"
    if not unicodedata.is_normalized("NFC", value):
        return f"{what}: is not in Unicode normal form NFC"
    return None
