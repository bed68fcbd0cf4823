"""Labels of finished images: a CSV table, or the metadata file of an image folder.

The column ``file`` (or ``file_name``, as Hugging Face writes it) holds the path of an image
relative to the folder; ``x0, y0, x1, y1`` hold a lesion box in pixels of that file, half-open;
other columns are conditions. An empty cell means "not known".
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unicodedata import normalize

from bussynth.cohort.schema import PATHOLOGIES, check_vocabulary
from bussynth.errors import DataError, UsageError
from bussynth.ingest.boxes import parse_box
from bussynth.ingest.geometry import Box
from bussynth.ingest.pattern import Pattern
from bussynth.ingest.table import Table, read_table
from bussynth.wrapping.conditions import cohort_vocabulary

__all__ = ["BOX_COLUMNS", "METADATA_FILES", "Labels", "find_labels", "read_labels"]

METADATA_FILES: Final = ("metadata.csv", "metadata.jsonl")
BOX_COLUMNS: Final = ("x0", "y0", "x1", "y1")

_FILE_COLUMNS: Final = ("file", "file_name")
_MAX_VALUES: Final = 64
"""More values than this are no condition: a free text, or a name."""
_MAX_BYTES: Final = 512 * 2**20


@dataclass(frozen=True, slots=True)
class Labels:
    """A checked table of labels.

    Attributes:
        table: Its cells.
        file: Pattern that makes the path of an image from a row.
        vocabulary: Values of each condition column.
        boxes: Whether there are box columns.
    """

    table: Table
    file: Pattern
    vocabulary: dict[str, list[str]]
    boxes: bool

    def conditions(self, row: int) -> dict[str, str | None]:
        """Conditions of a row, counted from 0; None where the cell is empty."""
        cells = self.table.rows[row]
        return {column: _label(cells[column]) or None for column in self.vocabulary}

    def box(self, row: int, *, what: str) -> Box | None:
        """Lesion box of a row, unchecked against the image; None where the cells are empty.

        Raises:
            DataError: The cells hold anything but four finite numbers.
        """
        if not self.boxes:
            return None
        cells = [self.table.rows[row][column] for column in BOX_COLUMNS]
        return parse_box(cells, what=what) if any(cells) else None


def find_labels(folder: Path) -> Path | None:
    """Return the metadata file in a folder of images, None if there is none.

    Raises:
        DataError: There are two.
    """
    found = [folder / name for name in METADATA_FILES if (folder / name).is_file()]
    if len(found) > 1:
        raise DataError(
            f"The folder holds {' and '.join(METADATA_FILES)}; give one of them as --labels."
        )
    return found[0] if found else None


def read_labels(path: Path, columns: Sequence[str] = ()) -> Labels:
    """Read labels and derive the vocabulary from their values.

    ``pathology`` always has its three values; the values of another column are those that occur,
    in alphabetical order.

    Args:
        path: A CSV file, or a ``.jsonl`` file with one object a line.
        columns: The columns that become conditions; all others if empty.

    Raises:
        UsageError: A column in ``columns`` does not exist.
        DataError: The file cannot be read, lacks a column, or a column can be no condition. No
            cell is quoted.
    """
    table = _read_lines(path) if path.suffix.lower() == ".jsonl" else _read_csv(path)
    missing = table.missing(columns)
    if missing:
        raise UsageError("The labels lack columns that --column names.", missing)
    named = [column for column in _FILE_COLUMNS if column in table.columns]
    boxes = [column for column in BOX_COLUMNS if column in table.columns]
    problems = []
    if len(named) != 1:
        found = "both" if named else "neither"
        problems.append(f"expected one of the columns file and file_name, found {found}")
    if boxes and len(boxes) < len(BOX_COLUMNS):
        problems.append(f"a box needs {', '.join(BOX_COLUMNS)}, but there is only {boxes}")
    chosen = [column for column in table.columns if column not in (*_FILE_COLUMNS, *BOX_COLUMNS)]
    vocabulary = {}
    for column in columns or chosen:
        if column not in chosen:
            problems.append(f"column {column!r} has another meaning and can be no condition")
            continue
        words = sorted({_label(row[column]) for row in table.rows} - {""})
        if len(words) > _MAX_VALUES:
            problems.append(
                f"column {column!r} has {len(words)} different values; a condition has at most "
                f"{_MAX_VALUES}"
            )
            continue
        vocabulary[column] = words
    if "pathology" in vocabulary:
        problems += _pathology_problems(table)
        vocabulary["pathology"] = list(PATHOLOGIES)
    try:
        check_vocabulary(cohort_vocabulary(vocabulary))
    except DataError as error:
        problems += error.problems
    if problems:
        raise DataError(
            "The labels cannot be used; correct them, or choose the columns that are conditions "
            "with --column.",
            problems,
        )
    return Labels(table, Pattern.parse(f"{{{named[0]}}}"), vocabulary, bool(boxes))


def _label(cell: str) -> str:
    return normalize("NFC", cell)


def _pathology_problems(table: Table) -> list[str]:
    return [
        f"row {number} of the table: pathology is none of {', '.join(PATHOLOGIES)}"
        for number, cells in enumerate(table.rows, 1)
        if _label(cells["pathology"]) not in ("", *PATHOLOGIES)
    ]


def _read_csv(path: Path) -> Table:
    _text(path)
    return read_table(path)


def _read_lines(path: Path) -> Table:
    rows: list[dict[str, str]] = []
    problems = []
    for number, line in enumerate(filter(str.strip, _text(path).split("\n")), 1):
        what = f"row {number} of the table"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            problems.append(f"{what}: not valid JSON")
            continue
        if not isinstance(value, dict):
            problems.append(f"{what}: not a JSON object")
            continue
        wrong = sorted(key for key, item in value.items() if not _plain(item))
        problems += [f"{what}: {key!r} is neither text nor a number" for key in wrong]
        rows.append({key: _cell(item) for key, item in value.items() if _plain(item)})
    if problems:
        raise DataError("The labels are not one JSON object of plain values a line.", problems)
    if not rows:
        raise DataError("The labels are empty.")
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    return Table(columns, tuple({key: row.get(key, "") for key in columns} for row in rows))


def _plain(value: Any) -> bool:
    return value is None or (isinstance(value, (str, int, float)) and not isinstance(value, bool))


def _cell(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError("The labels are larger than 512 MiB.")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"The labels {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError:
        raise DataError("The labels are not UTF-8; save them so.") from None
