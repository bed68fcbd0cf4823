"""File name patterns of a map: ``Masks/mask_{ID[4:]}.png`` filled from the cells of a row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from bussynth.errors import DataError, UsageError

__all__ = ["Pattern"]

_FIELD = re.compile(r"\{([^{}\[\]]+)(?:\[(-?\d+)?:(-?\d+)?\])?\}")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A relative path with holes: ``{column}``, or ``{column[start:stop]}`` for a part of a cell.

    The slice counts characters as Python does: ``{ID[4:]}`` leaves out the first four.

    Attributes:
        text: The pattern as written.
        columns: The columns it names, in order.
    """

    text: str
    columns: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Check a pattern.

        Raises:
            UsageError: If braces do not match, no column is named, or the path is not a plain
                relative one.
        """
        literal = _FIELD.sub("x", text)
        if "{" in literal or "}" in literal:
            raise UsageError(f"pattern {text!r}: write {{column}} or {{column[start:stop]}}.")
        columns = tuple(dict.fromkeys(match[1] for match in _FIELD.finditer(text)))
        if not columns:
            raise UsageError(f"pattern {text!r}: name the column that tells files apart.")
        problem = _path_problem(literal)
        if problem:
            raise UsageError(f"pattern {text!r} {problem}.")
        return cls(text, columns)

    @property
    def folder(self) -> str:
        """The part of the path that is the same for all rows, ``""`` for the source folder."""
        return self.text.partition("{")[0].rpartition("/")[0]

    def fill(self, cells: Mapping[str, str], *, what: str) -> str:
        """Return the relative path for one row.

        Args:
            cells: Cells by column.
            what: How error messages refer to the row.

        Returns:
            A path relative to the source folder, with forward slashes.

        Raises:
            DataError: If a cell is empty or would lead out of the source folder. The cell is
                not quoted: file names often hold patient numbers.
        """
        for column in self.columns:
            if not cells[column]:
                raise DataError(f"{what}: column {column!r} is empty, so the file has no name.")

        def part(match: re.Match[str]) -> str:
            cell = cells[match[1]]
            start = int(match[2]) if match[2] else None
            stop = int(match[3]) if match[3] else None
            return cell[start:stop]

        path = _FIELD.sub(part, self.text)
        problem = _path_problem(path)
        if problem:
            raise DataError(f"{what}: the file name made by pattern {self.text!r} {problem}.")
        return path


def _path_problem(path: str) -> str | None:
    if not path.isprintable():
        return "holds control characters"
    if "\\" in path:
        return "holds a backslash; use forward slashes"
    if path.startswith("/") or re.match(r"[A-Za-z]:", path):
        return "is absolute; it must be relative to the source folder"
    if any(part in ("", ".", "..") for part in path.split("/")):
        return "has an empty, '.' or '..' part; it must stay inside the source folder"
    return None
