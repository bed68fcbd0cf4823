"""Values in a Markdown page: escaped, unless they are Markdown already."""

from __future__ import annotations

import re

__all__ = ["Verbatim", "escape"]

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~&$])")
# At the start of a line these open a list.
_LIST = re.compile(r"^(\d*)([-+.)])(?=\s)")


class Verbatim(str):
    """Text that is Markdown already, or stands in a code span."""

    __slots__ = ()


def escape(value: object) -> str:
    """Escape what Markdown or HTML would interpret, and keep it on one line."""
    if isinstance(value, Verbatim):
        return value
    return _LIST.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", " ".join(str(value).split("\n"))))
