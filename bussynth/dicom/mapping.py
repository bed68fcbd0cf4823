"""The map of a DICOM ingest: a TOML file that says which column of a site's table means what.

::

    [dicom]                       # in place of [image] and [patient]
    key = "SOPInstanceUID"        # attribute that names the row of a file: PatientID,
                                  # StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID or
                                  # AccessionNumber
    column = "sop_instance_uid"   # column of the table that holds it
    unlisted = "quarantine"       # or "keep": files that no row names
    patient = "case"              # optional: column that knows patients better than Patient ID

    [conditions.device]
    from = "equipment"            # maker and model of the file, in the spelling of a table

    [box]
    column = "box"
    format = "xyxy"
    coordinates = "image"         # pixels of the frame as the scanner wrote it; or "region"

``[table]``, ``[conditions.*]`` and the rest of ``[box]`` are those of
:mod:`bussynth.ingest.mapping`. Without a table, ``key`` and ``column`` are left out and conditions
are constants or the equipment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bussynth.cohort.schema import check_vocabulary
from bussynth.errors import DataError, UsageError
from bussynth.ingest.mapping import (
    BoxRule,
    ConditionRule,
    load_map,
    read_box,
    read_conditions,
    read_encoding,
)
from bussynth.ingest.sections import Section
from bussynth.ingest.table import DELIMITERS

__all__ = ["KEYS", "DicomMap", "is_dicom_map"]

KEYS = (
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "AccessionNumber",
)


def is_dicom_map(path: Path) -> bool:
    """Say whether a map is for DICOM files.

    Raises:
        UsageError: If the file cannot be read or is not TOML.
    """
    return "dicom" in load_map(path)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomMap:
    """A checked map.

    Attributes:
        key: Keyword of the attribute that names a file's row; None if there is no table.
        column: Column of the table that holds it.
        keep_unlisted: Whether files that no row names are kept, without labels.
        patient: Column with the site's patient key; None to use Patient ID.
        conditions: How conditions are read.
        box: How lesion boxes are read, or None.
        delimiter: Of the table; guessed if None.
        encoding: Of the table.
        sha256: Digest of the file.
    """

    key: str | None
    column: str
    keep_unlisted: bool
    patient: str | None
    conditions: tuple[ConditionRule, ...]
    box: BoxRule | None
    delimiter: str | None
    encoding: str
    sha256: str = ""

    @classmethod
    def load(cls, path: Path) -> DicomMap:
        """Read a map from its TOML file.

        Raises:
            UsageError: If the file cannot be read or the map is not valid; all problems are
                listed.
        """
        content, sha256 = load_map(path)
        return cls.from_dict(content, sha256=sha256)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], *, sha256: str = "") -> DicomMap:
        """Check the content of a map.

        Raises:
            UsageError: If the map is not valid; all problems are listed.
        """
        problems: list[str] = []
        top = Section(content, "the map", problems)
        table = top.section("table")
        delimiter = table.get("delimiter", str, None, choices=DELIMITERS)
        encoding = read_encoding(table)
        table.finish()
        section = top.section("dicom", required=True)
        key = section.get("key", str, None, choices=KEYS)
        column = section.get("column", str, "")
        unlisted = section.get("unlisted", str, "quarantine", choices=("quarantine", "keep"))
        patient = section.get("patient", str, None)
        section.finish()
        if ("key" in section) != ("column" in section):
            section.problem("give key and column together")
        conditions = read_conditions(top.section("conditions", required=True), equipment=True)
        box = None
        if "box" in content:
            box = read_box(top.section("box"), masks=False, coordinates=True)
            if key != "SOPInstanceUID":
                problems.append("[box]: a box belongs to one file, so key must be SOPInstanceUID")
        if key is None and (patient or any(rule.column is not None for rule in conditions)):
            problems.append("[dicom]: columns are named, so give key and column")
        top.finish()
        if not problems:
            # What the equipment will be shows only in the files; its name can be checked.
            words = {one.name: ("?",) if one.equipment else one.vocabulary for one in conditions}
            try:
                check_vocabulary(words)
            except DataError as error:
                problems += error.problems
        if problems:
            raise UsageError("The map is not valid.", problems)
        return cls(
            key=key,
            column=column,
            keep_unlisted=unlisted == "keep" or key is None,
            patient=patient,
            conditions=conditions,
            box=box,
            delimiter=delimiter,
            encoding=encoding,
            sha256=sha256,
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that the table must have."""
        names = [self.column] if self.key is not None else []
        names += [self.patient] if self.patient is not None else []
        names += [rule.column for rule in self.conditions if rule.column is not None]
        names += self.box.columns if self.box else ()
        return tuple(dict.fromkeys(names))
