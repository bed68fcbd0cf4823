"""The table that describes the images: strict CSV, every cell a string.

Row numbers count records below the header from 1. They are the only way messages refer to a
row: cells and file names hold patient numbers.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bussynth.config import suggest
from bussynth.errors import DataError

__all__ = ["DELIMITERS", "Table", "read_table"]

DELIMITERS = (",", ";", "\t", "|")
_MAX_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Table:
    """A checked table.

    Attributes:
        columns: Names in the order of the file.
        rows: One dict a record: column -> cell, stripped of surrounding white space.
    """

    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...] = field(repr=False)

    def missing(self, columns: Sequence[str]) -> list[str]:
        """Return one line for each column that the table lacks, with a suggestion."""
        return [
            f"the table has no column {column!r}{suggest(column, self.columns)}"
            for column in dict.fromkeys(columns)
            if column not in self.columns
        ]


def read_table(path: Path, *, delimiter: str | None = None, encoding: str = "utf-8") -> Table:
    """Read a CSV file and refuse what would have to be guessed.

    Args:
        path: The file; its first line names the columns.
        delimiter: The separator; by default the one of comma, semicolon, tab and bar that
            splits the header into most columns.
        encoding: Text encoding. A byte order mark is accepted with ``"utf-8"``.

    Returns:
        The table.

    Raises:
        DataError: If the file cannot be read or decoded, has NUL bytes, unnamed or repeated
            columns, no rows, or rows of another length than the header.
    """
    text = _text(path, "utf-8-sig" if encoding == "utf-8" else encoding)
    if delimiter is None:
        header = text.partition("\n")[0]
        # max() keeps the first of equals, so a single column means comma.
        delimiter = max(DELIMITERS, key=lambda mark: len(_records(header, mark)[0]))
    records = _records(text, delimiter)
    columns = tuple(name.strip() for name in records[0])
    problems = [
        f"column {number} has no name" for number, name in enumerate(columns, 1) if not name
    ]
    problems += [
        # By number: a table without a header has a patient's values in its first line.
        f"columns {_listed(columns, name)} have the same name"
        for name in dict.fromkeys(columns)
        if name and columns.count(name) > 1
    ]
    if problems:
        raise DataError("The header of the table is not usable.", problems)
    # An empty list is a blank line, not a record.
    body = [record for record in records[1:] if record]
    problems = [
        f"row {number} of the table: {len(record)} cells, but the header has {len(columns)}"
        for number, record in enumerate(body, 1)
        if len(record) != len(columns)
    ]
    if problems:
        raise DataError(
            "Rows of the table do not fit its header; is the delimiter right, are cells that "
            "hold it quoted?",
            problems,
        )
    if not body:
        raise DataError("The table has a header but no rows.")
    rows = (dict(zip(columns, (cell.strip() for cell in record), strict=True)) for record in body)
    return Table(columns, tuple(rows))


def _listed(columns: Sequence[str], name: str) -> str:
    numbers = [str(number) for number, one in enumerate(columns, 1) if one == name]
    return f"{', '.join(numbers[:-1])} and {numbers[-1]}"


def _text(path: Path, encoding: str) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError("The table is larger than 512 MiB; split it.")
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"The table {path} cannot be read: {error.strerror}.") from error
    if b"\0" in data and not encoding.startswith("utf-16"):
        raise DataError("The table holds NUL bytes; save it as UTF-8 CSV.")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"The table is not valid {encoding.removesuffix('-sig')}: line {line}. Save it as "
            'UTF-8, or name its encoding in the map, for instance [table] encoding = "cp1252".'
        ) from None
    if not text.strip():
        raise DataError("The table is empty.")
    return text


def _records(text: str, delimiter: str) -> list[list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return list(reader) or [[]]
    except csv.Error:
        raise DataError(
            f"The table is not valid CSV near line {reader.line_num}: a quote is not closed or "
            "a cell is too long."
        ) from None
