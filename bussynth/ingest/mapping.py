"""The map: a TOML file that says which column of a site's table means what.

::

    [table]                          # optional
    delimiter = ";"                  # guessed from the header if absent
    encoding = "cp1252"              # "utf-8" if absent

    [image]
    path = "Images/{ID}.png"         # relative to the source folder
    full_scale = 4095                # 16-bit images only: the value that is white (65535)

    [mask]                           # optional
    path = "Masks/{ID[4:]}.png"      # a slice takes part of a cell
    threshold = 1                    # grey value from which a pixel is lesion
    optional = false                 # true: a row may have no mask file

    [patient]
    column = "Case"

    [conditions.pathology]           # pathology and device are required
    column = "Pathology"
    values = { B = "benign", M = "malignant" }
    missing = ["", "NA"]             # cells that mean "not known"

    [conditions.device]
    constant = "ge-logiq-7"          # the same for all rows

    [conditions.birads]
    column = "BIRADS"
    vocabulary = ["2", "3", "4", "5"]  # order; without `values`, cells are taken as they are

    [box]                            # optional; or: from = "mask"
    column = "BBOX"                  # "[x, y, w, h]" in one cell; or: columns = [four names]
    format = "xywh"                  # or "xyxy"
    origin = 0                       # 1 if the first pixel is 1
    inclusive = false                # true if the last corner is the last pixel
    tolerance = 0.0                  # pixels by which a box may leave the image
    missing = [""]                   # cells that mean "no box"

Unknown keys are errors. Nothing is inferred from names.
"""

from __future__ import annotations

import codecs
import hashlib
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bussynth.cohort.schema import PATHOLOGIES, check_vocabulary
from bussynth.config import suggest
from bussynth.errors import DataError, UsageError
from bussynth.ingest.boxes import FORMATS, BoxConvention
from bussynth.ingest.pattern import Pattern
from bussynth.ingest.sections import Section
from bussynth.ingest.table import DELIMITERS

__all__ = [
    "BoxRule",
    "ConditionRule",
    "IngestMap",
    "MaskRule",
    "load_map",
    "read_box",
    "read_conditions",
    "read_encoding",
]

_REQUIRED = ("pathology", "device")
_MAX_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class ConditionRule:
    """How one condition is read: from a column, the same for all rows, or from the equipment."""

    name: str
    vocabulary: tuple[str, ...]
    column: str | None = None
    constant: str | None = None
    values: Mapping[str, str] | None = None
    missing: frozenset[str] = frozenset()
    equipment: bool = False

    def read(self, cells: Mapping[str, str], *, what: str) -> str | None:
        """Return the condition of a row, None if its cell means "not known".

        Raises:
            DataError: If the map does not translate the cell; the cell is not quoted.
        """
        if self.column is None:
            return self.constant
        cell = unicodedata.normalize("NFC", cells[self.column])
        if cell in self.missing:
            return None
        if self.values is not None:
            found = self.values.get(cell)
        else:
            found = cell if cell in self.vocabulary else None
        if found is not None:
            return found
        known = ", ".join(repr(word) for word in (self.values or self.vocabulary))
        if not cell:
            raise DataError(
                f"{what}: column {self.column!r} is empty; if that means not known, add "
                f'missing = [""] to [conditions.{self.name}].'
            )
        raise DataError(
            f"{what}: column {self.column!r} holds a value that the map does not translate "
            f"(known: {known})."
        )


@dataclass(frozen=True, slots=True)
class MaskRule:
    """Where the masks are. ``threshold`` None means 1, and that no lossy file is accepted."""

    path: Pattern
    threshold: int | None = None
    optional: bool = False


@dataclass(frozen=True, slots=True)
class BoxRule:
    """Where the boxes are. No columns: around the mask. ``within_region``: see DICOM."""

    columns: tuple[str, ...] = ()
    convention: BoxConvention = field(default_factory=BoxConvention)
    tolerance: float = 0.0
    missing: frozenset[str] = frozenset()
    within_region: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestMap:
    """A checked map."""

    image: Pattern
    full_scale: int
    mask: MaskRule | None
    patient: str
    conditions: tuple[ConditionRule, ...]
    box: BoxRule | None
    delimiter: str | None
    encoding: str
    sha256: str = ""

    @classmethod
    def load(cls, path: Path) -> IngestMap:
        """Read a map from its TOML file.

        Raises:
            UsageError: If the file cannot be read or the map is not valid; all problems are
                listed.
        """
        content, sha256 = load_map(path)
        return cls.from_dict(content, sha256=sha256)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], *, sha256: str = "") -> IngestMap:
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

        image = top.section("image", required=True)
        image_path = image.pattern("path")
        full_scale = image.get("full_scale", int, 65_535, low=1, high=65_535)
        image.finish()

        mask = _mask(top.section("mask")) if "mask" in content else None
        patient_section = top.section("patient", required=True)
        patient = patient_section.get("column", str, None, required=True)
        patient_section.finish()

        conditions = read_conditions(top.section("conditions", required=True))
        box = read_box(top.section("box"), masks="mask" in content) if "box" in content else None
        top.finish()
        if not problems:
            try:
                check_vocabulary({rule.name: rule.vocabulary for rule in conditions})
            except DataError as error:
                problems += error.problems
        if problems or image_path is None:
            raise UsageError("The map is not valid.", problems)
        return cls(
            image=image_path,
            full_scale=full_scale,
            mask=mask,
            patient=patient,
            conditions=conditions,
            box=box,
            delimiter=delimiter,
            encoding=encoding,
            sha256=sha256,
        )

    @property
    def vocabulary(self) -> dict[str, list[str]]:
        """The values of each condition, in order."""
        return {rule.name: list(rule.vocabulary) for rule in self.conditions}

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that the table must have."""
        names = [*self.image.columns, *(self.mask.path.columns if self.mask else ())]
        names.append(self.patient)
        names += [rule.column for rule in self.conditions if rule.column is not None]
        names += self.box.columns if self.box else ()
        return tuple(dict.fromkeys(names))


def load_map(path: Path) -> tuple[dict[str, Any], str]:
    """Read the TOML file of a map, unchecked, and its SHA-256.

    Raises:
        UsageError: If the file cannot be read or is not TOML.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise UsageError(f"The map {path} is larger than 1 MiB; is it a map?")
        content = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise UsageError(f"The map {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"The map {path} is not valid TOML: {error}.") from error
    return content, hashlib.sha256(data).hexdigest()


def read_encoding(table: Section) -> str:
    """Read the encoding of the table."""
    name = table.get("encoding", str, "utf-8")
    try:
        with suppress(UnicodeError):
            b"00".decode(name)  # also refuses codecs that make no text, such as "hex"
        return codecs.lookup(name).name
    except LookupError:
        table.problem(f"encoding = {name!r} is not known")
        return "utf-8"


def _mask(section: Section) -> MaskRule | None:
    path = section.pattern("path")
    threshold = section.get("threshold", int, None, low=1, high=255)
    optional = section.get("optional", bool, False)
    section.finish()
    return None if path is None else MaskRule(path, threshold, optional)


def read_conditions(parent: Section, *, equipment: bool = False) -> tuple[ConditionRule, ...]:
    """Read the tables of the conditions.

    Args:
        parent: The table ``[conditions]``.
        equipment: Whether a condition may be taken ``from = "equipment"``, the maker and model in
            the header of a DICOM file; its vocabulary is then what the files say.
    """
    rules = []
    for name in parent.keys:
        rules.append(_condition(name, parent.section(name), equipment=equipment))
    for name in _REQUIRED:
        if name not in parent:
            parent.problem(
                f"missing table [conditions.{name}]; "
                'a column, or constant = "..." if it is the same for all rows'
            )
    return tuple(rules)


def _condition(name: str, section: Section, *, equipment: bool) -> ConditionRule:
    if equipment and "from" in section:
        section.get("from", str, None, choices=("equipment",))
        section.finish()
        return ConditionRule(name, (), equipment=True)
    column = section.get("column", str, None)
    constant = section.get("constant", str, None)
    values = section.get("values", dict, None)
    declared = section.get("vocabulary", list, None)
    missing = frozenset(_labels(section.get("missing", list, [])))
    section.finish()
    if (column is None) == (constant is None):
        section.problem("give either column or constant")
    if constant is not None and (values is not None or missing):
        section.problem("values and missing belong to a column, not to a constant")
    if column is not None and values is None and declared is None and name != "pathology":
        section.problem("give values (how cells translate) or vocabulary (the cells as they are)")
    if values is not None:
        labels = _labels(values)
        if len(set(labels)) != len(labels):
            section.problem("two keys of values differ by white space or Unicode form only")
        values = dict(zip(labels, values.values(), strict=True))
    targets = list(dict.fromkeys((values or {}).values())) or [constant or ""]
    if declared is not None:
        vocabulary = tuple(declared)
    elif name == "pathology":
        vocabulary = PATHOLOGIES
    else:
        vocabulary = tuple(targets)
    if values is not None or constant is not None:
        for target in targets:
            if target not in vocabulary:
                section.problem(f"{target!r} is not in the vocabulary{suggest(target, vocabulary)}")
    if missing.intersection(vocabulary if values is None else values):
        section.problem("a cell is both in missing and translated")
    return ConditionRule(name, vocabulary, column, constant, values, missing)


def _labels(words: Iterable[str]) -> list[str]:
    # Cells are compared stripped and in NFC, so the map's side must be too.
    return [unicodedata.normalize("NFC", word.strip()) for word in words]


def read_box(section: Section, *, masks: bool, coordinates: bool = False) -> BoxRule | None:
    """Read the table of the boxes.

    Args:
        section: The table ``[box]``.
        masks: Whether there are masks to take boxes from.
        coordinates: Whether boxes may be told in pixels of the kept region of a DICOM file.
    """
    within_region = False
    if coordinates:
        words = ("image", "region")
        within_region = section.get("coordinates", str, "image", choices=words) == "region"
    origin_of_box = section.get("from", str, None, choices=("mask",))
    if origin_of_box is not None:
        section.finish()
        if not masks:
            section.problem('from = "mask" needs a [mask]')
        return BoxRule()
    column = section.get("column", str, None)
    columns = section.get("columns", list, None)
    form = section.get("format", str, None, choices=FORMATS, required=True)
    convention = BoxConvention(
        format=form or "xyxy",
        origin=section.get("origin", int, 0, choices=(0, 1)),
        inclusive=section.get("inclusive", bool, False),
    )
    tolerance = section.get("tolerance", float, 0.0, low=0, high=1000)
    missing = frozenset(_labels(section.get("missing", list, [])))
    section.finish()
    if (column is None) == (columns is None):
        section.problem('give column, or columns, or from = "mask"')
    if columns is not None and len(columns) != 4:
        section.problem("columns must name four columns")
    names = tuple(columns) if columns is not None else (column or "",)
    return BoxRule(names, convention, float(tolerance), missing, within_region)
