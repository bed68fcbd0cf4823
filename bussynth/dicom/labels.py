"""The rows of a site's table, found by keyed digests of what names them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bussynth.dicom.mapping import DicomMap
from bussynth.errors import DataError, UsageError
from bussynth.ingest.boxes import parse_box
from bussynth.ingest.geometry import Box
from bussynth.ingest.table import Table, read_table
from privacy.pseudonym import SiteKey, SiteKeyError, pseudonym

__all__ = ["RowLabels", "check_table", "label_digest", "read_labels"]

_DOMAIN = "label"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowLabels:
    """What a row says of a file.

    Attributes:
        number: The row, from 1.
        patient: Pseudonym of the patient, if the table knows it.
        conditions: Value of each condition that the table has, None if not known.
        box: The lesion box as told, half-open, or None.
    """

    number: int
    patient: str | None
    conditions: Mapping[str, str | None] = field(repr=False)
    box: Box | None = field(repr=False)


def label_digest(key: SiteKey, text: str) -> str:
    """Return the keyed digest under which a row is found."""
    plain = unicodedata.normalize("NFC", text.strip())
    return key.digest(_DOMAIN, plain).hex()[:32]


def check_table(table: Path | None, rules: DicomMap) -> Table | None:
    """Read the table and see that it has the columns of the map; cells are not looked at.

    Args:
        table: The CSV file, or None.
        rules: The map.

    Returns:
        The table, if there is one.

    Raises:
        UsageError: If the map needs a table and there is none, or the other way round.
        DataError: If the table cannot be read or lacks columns.
    """
    if (table is None) != (rules.key is None):
        raise UsageError(
            "The map names no columns, so it needs no table (--table)."
            if table is not None
            else "The map names columns, so give the table that has them (--table)."
        )
    if table is None:
        return None
    read = read_table(table, delimiter=rules.delimiter, encoding=rules.encoding)
    if problems := read.missing(rules.columns):
        raise DataError("The table lacks columns that the map names.", problems)
    return read


def read_labels(table: Path | None, rules: DicomMap, key: SiteKey) -> dict[str, RowLabels]:
    """Read and check the table.

    Args:
        table: The CSV file, or None.
        rules: The map.
        key: The site key.

    Returns:
        The rows by the keyed digest of what names them.

    Raises:
        UsageError: If the map needs a table and there is none, or the other way round.
        DataError: If the table cannot be used; all problems are listed by row number.
    """
    read = check_table(table, rules)
    if read is None:
        return {}
    problems: list[str] = []
    found: dict[str, RowLabels] = {}
    seen: Counter[str] = Counter()
    for number, cells in enumerate(read.rows, 1):
        where = f"row {number} of the table"
        try:
            row = _row(number, cells, rules, key, where)
        except DataError as error:
            problems.append(error.message)
            continue
        if not cells[rules.column]:
            problems.append(f"{where}: column {rules.column!r} is empty.")
            continue
        name = label_digest(key, cells[rules.column])
        seen[name] += 1
        if seen[name] == 2:
            problems.append(f"{where}: names the same as row {found[name].number}.")
        found[name] = row
    if problems:
        raise DataError("The table does not fit the map; nothing was written.", problems)
    return found


def _row(
    number: int, cells: Mapping[str, str], rules: DicomMap, key: SiteKey, where: str
) -> RowLabels:
    patient = None
    if rules.patient is not None:
        try:
            patient = pseudonym(key, cells[rules.patient])
        except SiteKeyError:
            raise DataError(f"{where}: column {rules.patient!r} names no patient.") from None
    conditions = {
        rule.name: rule.read(cells, what=where) for rule in rules.conditions if not rule.equipment
    }
    box = None
    if rules.box is not None:
        words = [cells[column] for column in rules.box.columns]
        if not all(word in rules.box.missing for word in words):
            box = rules.box.convention.box(parse_box(words, what=where))
            if not (box[0] < box[2] and box[1] < box[3]):
                raise DataError(f"{where}: the box is empty or inverted.")
    return RowLabels(number=number, patient=patient, conditions=conditions, box=box)
