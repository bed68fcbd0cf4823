"""Findings that do not stop an ingest but that the user must learn of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Note"]

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Note:
    """One kind of finding.

    Attributes:
        code: Stable name, for instance ``"box-mask"``.
        text: What was found, said of one image.
        count: How many images it concerns; 0 if it is said of all.
        rows: Their numbers in the table, where they have one.
    """

    code: str
    text: str
    count: int = 0
    rows: tuple[int, ...] = ()

    def __str__(self) -> str:
        if not self.count:
            return self.text
        images = "1 image" if self.count == 1 else f"{self.count} images"
        return f"{images}: {self.text}{_listed(self.rows)}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "code": self.code,
            "text": self.text,
            "count": self.count,
            "rows": list(self.rows),
        }


def _listed(rows: Sequence[int]) -> str:
    """Return ``" (rows 3, 17, … and 5 more)"``, or nothing for no rows."""
    if not rows:
        return ""
    shown = ", ".join(str(row) for row in rows[:_SHOWN])
    more = f", … and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    return f" ({'row' if len(rows) == 1 else 'rows'} {shown}{more})"
