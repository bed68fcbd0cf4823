"""The light half of an ingest: everything that can be decided without decoding a pixel."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bussynth.cleaning.flags import Flag
from bussynth.cohort.cohort import Cohort
from bussynth.config import suggest
from bussynth.errors import DataError, UsageError
from bussynth.images import ImageHeader
from bussynth.ingest.boxes import clip_box, parse_box
from bussynth.ingest.config import IngestConfig
from bussynth.ingest.files import FileId, SourceFolder, header_of, images_in
from bussynth.ingest.geometry import Box, Placement
from bussynth.ingest.keys import check_site_key
from bussynth.ingest.mapping import IngestMap, MaskRule
from bussynth.ingest.notes import Note
from bussynth.ingest.prepare import Recipe
from bussynth.ingest.source import FilePixels, SourceImage
from bussynth.ingest.table import Table, read_table
from bussynth.progress import SILENT, Progress

__all__ = ["IngestPlan", "check_ingest", "unknown_flags"]

# Colour is not looked at in images of a folder, and no header says that one is of the axilla.
_FLAGS: Final = (
    *(Flag.INVALID, Flag.DUAL_VIEW, Flag.CALIPERS, Flag.TEXT),
    *(Flag.BODY_MARK, Flag.NEAR_DUPLICATE),
)

# What spreadsheets and data frames write where there is no patient, or after eating digits.
_NO_PATIENT = frozenset({"", "nan", "na", "n/a", "#n/a", "none", "null", "<na>", "nat"})
_ROUNDED = re.compile(r"\d(\.\d+)?[eE]\+\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestPlan:
    """A checked ingest, ready to run.

    Attributes:
        images: The records, in the order of the table.
        vocabulary: The values of each condition.
        masks: Whether the cohort will have masks.
        recipe: How images become rows.
        notes: Findings that do not stop the ingest.
        map_sha256: SHA-256 of the map file.
    """

    images: tuple[SourceImage, ...]
    vocabulary: Mapping[str, list[str]]
    masks: bool
    recipe: Recipe
    notes: tuple[Note, ...]
    map_sha256: str

    def to_dict(self) -> dict[str, Any]:
        """Return counts and notes as plain values, without any value of a patient."""
        return {
            "images": len(self.images),
            "patients": len({image.patient for image in self.images}),
            "boxes": sum(image.box is not None for image in self.images),
            "box_from_mask": self.recipe.box_from_mask,
            "masks": self.masks,
            "vocabulary": {name: list(words) for name, words in self.vocabulary.items()},
            "notes": [note.to_dict() for note in self.notes],
        }


def check_ingest(
    src: Path | str,
    out: Path | str,
    *,
    table: Path | str,
    map_path: Path | str,
    site_key: Path | str | None = None,
    config: IngestConfig | None = None,
    progress: Progress = SILENT,
    force: bool = False,
) -> IngestPlan:
    """Check map, table, files, headers, output place and key without writing anything.

    Args:
        src: The folder of images.
        out: Where the cohort will be.
        table: The CSV file.
        map_path: The TOML map, see :mod:`bussynth.ingest.mapping`.
        site_key: The site key file; None for the default place. It may not exist yet.
        config: Options.
        progress: Where to report.
        force: Allow to replace an earlier cohort.

    Returns:
        The plan.

    Raises:
        UsageError: If the map, the output place or the key cannot be used.
        DataError: If table and files do not fit the map; all problems are listed, by row number.
    """
    config = config or IngestConfig()
    src, out = Path(src), Path(out)
    rules = IngestMap.load(Path(map_path))
    Cohort.check_place(out, "real", force=force)
    if not src.is_dir():
        raise UsageError(f"The source {src} is not a folder.")
    inputs = {"source folder": src, "table": Path(table), "map": Path(map_path)}
    problems = [
        f"the {name} lies inside the output folder {out}"
        for name, path in inputs.items()
        if path.resolve().is_relative_to(out.resolve())
    ]
    problems += check_site_key(None if site_key is None else Path(site_key), out)
    problems += unknown_flags(config.leave_out, _FLAGS)
    if problems:
        raise UsageError("The ingest cannot start.", problems)
    rows = read_table(Path(table), delimiter=rules.delimiter, encoding=rules.encoding)
    problems = rows.missing(rules.columns)
    if problems:
        raise DataError("The table lacks columns that the map names.", problems)
    return _Checker(SourceFolder(src.resolve()), rules, config).plan(rows, progress)


class _Checker:
    """Goes through the rows once, keeping every problem and what has been seen."""

    def __init__(self, folder: SourceFolder, rules: IngestMap, config: IngestConfig) -> None:
        self._folder = folder
        self._rules = rules
        self._config = config
        self._problems: list[str] = []
        self._owners: dict[FileId, int] = {}
        self._clipped: list[int] = []

    def plan(self, table: Table, progress: Progress) -> IngestPlan:
        images = []
        with progress.task("Checking headers", total=len(table.rows)) as task:
            for number, cells in enumerate(table.rows, 1):
                image = self._row(number, cells)
                if image is not None:
                    images.append(image)
                task.advance()
        notes = self._unlisted()
        if self._problems:
            count = len(self._problems)
            raise DataError(
                f"Table and files do not fit the map: {count} "
                f"{'problem' if count == 1 else 'problems'}; nothing was written.",
                self._problems,
            )
        if self._clipped:
            rows = tuple(self._clipped)
            text = "box reached out of the image and was clipped"
            notes.append(Note("box-clipped", text, len(rows), rows))
        notes += _alike(images)
        box_from_mask = self._rules.box is not None and not self._rules.box.columns
        return IngestPlan(
            images=tuple(images),
            vocabulary=self._rules.vocabulary,
            masks=self._rules.mask is not None,
            recipe=Recipe(
                size=self._config.image_size,
                geometry=self._config.geometry,
                box_from_mask=box_from_mask,
                leave_out=self._config.leave_out,
                text_engine=_engine(self._config),
            ),
            notes=tuple(notes),
            map_sha256=self._rules.sha256,
        )

    def _row(self, number: int, cells: Mapping[str, str]) -> SourceImage | None:
        where = f"row {number} of the table"
        before = len(self._problems)
        rules = self._rules
        patient = cells[rules.patient]
        if patient.lower() in _NO_PATIENT:
            self._problems.append(f"{where}: column {rules.patient!r} names no patient.")
        elif _ROUNDED.fullmatch(patient):
            self._problems.append(
                f"{where}: column {rules.patient!r} holds a number in scientific notation, so "
                "digits are lost and patients may have merged; export the column as text."
            )
        conditions: dict[str, str | None] = {}
        for rule in rules.conditions:
            try:
                conditions[rule.name] = rule.read(cells, what=where)
            except DataError as error:
                self._problems.append(error.message)
        try:
            name = rules.image.fill(cells, what=where)
            found = self._file(name, number, what=where)
            if found is None:
                raise DataError(f"{where}: the image does not exist.")
            header = header_of(found, what=where, max_pixels=self._config.max_pixels)
        except DataError as error:
            self._problems.append(error.message)
            return None
        mask = None
        box = None
        try:
            if rules.mask is not None:
                mask = self._mask(rules.mask, number, cells, header)
        except DataError as error:
            self._problems.append(error.message)
        try:
            box = self._box(number, cells, header)
        except DataError as error:
            self._problems.append(error.message)
        if len(self._problems) > before:
            return None
        return SourceImage(
            number=number,
            where=where,
            name=name,
            patient=patient,
            conditions=conditions,
            size=(header.width, header.height),
            box=box,
            pixels=FilePixels(
                image_path=found,
                mask_path=mask,
                full_scale=rules.full_scale,
                threshold=(rules.mask.threshold if rules.mask else None) or 1,
                max_pixels=self._config.max_pixels,
            ),
        )

    def _file(self, relative: str, number: int, *, what: str) -> Path | None:
        # Masks count as negative rows: no file may serve twice, nor as both.
        found = self._folder.find(relative, what=what)
        if found is None:
            return None
        path, identity = found
        owner = self._owners.setdefault(identity, number)
        if owner != number:
            kind = "image" if owner > 0 else "mask"
            raise DataError(f"{what}: the same file as the {kind} of row {abs(owner)}.")
        return path

    def _mask(
        self, rule: MaskRule, number: int, cells: Mapping[str, str], image: ImageHeader
    ) -> Path | None:
        what = f"row {number} of the table, mask"
        path = self._file(rule.path.fill(cells, what=what), -number, what=what)
        if path is None:
            if rule.optional:
                return None
            raise DataError(f"{what}: does not exist; if that is right, set optional = true.")
        header = header_of(path, what=what, max_pixels=self._config.max_pixels)
        if (header.width, header.height) != (image.width, image.height):
            raise DataError(
                f"{what}: {header.width} x {header.height} pixels, but the image has "
                f"{image.width} x {image.height}."
            )
        if header.mode.startswith("I"):
            raise DataError(f"{what}: deeper than 8 bits; export it with 8 bits.")
        if header.format == "JPEG" and rule.threshold is None:
            raise DataError(f"{what}: JPEG blurs edges; set threshold in [mask], for instance 128.")
        return path

    def _box(self, number: int, cells: Mapping[str, str], image: ImageHeader) -> Box | None:
        rule = self._rules.box
        if rule is None or not rule.columns:
            return None
        where = f"row {number} of the table"
        found = [cells[column] for column in rule.columns]
        if all(cell in rule.missing for cell in found):
            return None
        size = (image.width, image.height)
        box = rule.convention.box(parse_box(found, what=where))
        clipped = clip_box(box, size, tolerance=rule.tolerance, what=where)
        if clipped != box:
            self._clipped.append(number)
        placement = Placement.fit(size, self._config.image_size, self._config.geometry)
        if placement.box(clipped) is None:
            raise DataError(
                f"{where}: the crop leaves nothing of the lesion; use the geometry letterbox."
            )
        return clipped

    def _unlisted(self) -> list[Note]:
        folder = self._folder.root / self._rules.image.folder
        files = list(images_in([folder])) if folder.is_dir() else []
        places = [place for place, file in enumerate(files, 1) if file not in self._owners]
        if not places:
            return []
        if self._config.allow_unlisted:
            return [Note("unlisted", "in the folder but not in the table", len(places))]
        shown = ", ".join(str(place) for place in places[:10])
        more = ", …" if len(places) > 10 else ""
        self._problems.append(
            f"{len(places)} of {len(files)} images in the folder are not in the table (by name, "
            f"number {shown}{more}); list them, or allow unlisted images."
        )
        return []


def unknown_flags(flags: Sequence[str], known: Sequence[str]) -> list[str]:
    """List flags that are not looked for, a line each."""
    return [
        f"leave_out: there is no flag {flag!r} here{suggest(flag, known)}"
        for flag in flags
        if flag not in known
    ]


def _engine(config: IngestConfig) -> str:
    """Return who looks for text, if anything is looked for."""
    if not config.leave_out:
        return "none"
    from bussynth.cleaning.engine import engine_name, resolve_engine

    engine = resolve_engine(config.text_engine)
    engine_name(engine)  # here, rather than in a worker, it says what to install
    return engine


def _alike(images: Sequence[SourceImage]) -> list[Note]:
    """Find keys that a spreadsheet may have made out of one: 007 and 7, 7 and 7.0, A1 and a1."""
    spellings: defaultdict[str, set[str]] = defaultdict(set)
    plain = {image.patient: _plain_key(image.patient) for image in images}
    for patient, key in plain.items():
        spellings[key].add(patient)
    rows = tuple(image.number for image in images if len(spellings[plain[image.patient]]) > 1)
    if not rows:
        return []
    text = (
        "patient key differs from another only in leading zeros, case or '.0', and counts as "
        "another patient; if they are one, write the key alike in all rows"
    )
    return [Note("alike-patients", text, len(rows), rows)]


def _plain_key(patient: str) -> str:
    return patient.casefold().removesuffix(".0").lstrip("0")
