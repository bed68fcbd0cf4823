"""``bussynth ingest`` of DICOM files: a scanner's folder becomes a cohort of kind ``"real"``.

Every file goes through the same engine as ``bussynth deidentify``: what that would not write is
not in the cohort either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bussynth.cleaning.engine import engine_name
from bussynth.cohort import Cohort, Row
from bussynth.config import RunOptions
from bussynth.dicom.conflicts import settle_conflicts
from bussynth.dicom.flags import FLAGS, duplicate_flags
from bussynth.dicom.labels import RowLabels, check_table, read_labels
from bussynth.dicom.mapping import DicomMap
from bussynth.dicom.papers import check_link, counts_of, default_link, write_link, write_review
from bussynth.dicom.process import Job, image_path
from bussynth.dicom.reasons import told
from bussynth.dicom.record import KEPT, QUARANTINED, FileRecord, ImageRecord
from bussynth.dicom.run import (
    decisive,
    make_settings,
    run_files,
    work_folder,
)
from bussynth.dicom.site import read_site_rules
from bussynth.dicom.sources import check_source, find_sources
from bussynth.errors import DataError, UsageError
from bussynth.ingest.check import unknown_flags
from bussynth.ingest.config import IngestConfig
from bussynth.ingest.geometry import Box, Placement
from bussynth.ingest.keys import OpenedKey, check_site_key, default_site_key_path, open_site_key
from bussynth.ingest.notes import Note
from bussynth.progress import SILENT, Progress
from privacy.deidentify.policy import Policy
from privacy.deidentify.profile import load_profile
from privacy.deidentify.settings import Settings

__all__ = ["DicomIngestResult", "check_dicom_ingest", "ingest_dicom"]

# A box of which less than this lies in what was kept is another region's.
_LEAST_INSIDE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomIngestResult:
    """What an ingest of DICOM files wrote, and what it did not.

    Attributes:
        cohort: The cohort.
        counts: Files, decisions and reasons.
        left_out_images: Images that were left out for their flags, by flag.
        notes: Findings that did not stop the ingest.
        link: The private list of which file became what.
        site_key: File of the site key.
        site_key_created: Whether the key was drawn just now; the user must then back it up.
    """

    cohort: Cohort
    counts: dict[str, Any]
    left_out_images: dict[str, int]
    notes: tuple[Note, ...]
    link: Path
    site_key: Path
    site_key_created: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without any value of a patient."""
        return {
            "cohort": str(self.cohort.path),
            "digest": self.cohort.digest,
            **self.counts,
            "images": self.cohort.counts["images"],
            "patients": self.cohort.counts["patients"],
            "left_out_images": self.left_out_images,
            "notes": [note.to_dict() for note in self.notes],
            "link": str(self.link),
            "site_key": str(self.site_key),
            "site_key_created": self.site_key_created,
        }


def check_dicom_ingest(
    src: Path,
    out: Path,
    *,
    map_path: Path,
    table: Path | None = None,
    site_key: Path | None = None,
    site_rules: Path | None = None,
    link: Path | None = None,
    config: IngestConfig,
    force: bool = False,
) -> tuple[DicomMap, Settings]:
    """Check everything that needs no file of the source to be opened.

    Args:
        src: The folder of DICOM files.
        out: Where the cohort will be.
        map_path: The TOML map, see :mod:`bussynth.dicom.mapping`.
        table: The CSV file of labels, if the map names columns.
        site_key: The site key file; None for the default place.
        site_rules: The rules of the site, see :mod:`bussynth.dicom.site`.
        link: Where to list which file became what; None for a place beside the site key.
        config: Options.
        force: Replace an earlier cohort.

    Returns:
        The map and the settings of the engine.

    Raises:
        UsageError: If a place, the key, the map, the rules or the text engine cannot be used.
        DataError: If the source or the table cannot be read, or the table lacks a column.
    """
    rules = DicomMap.load(map_path)
    check_source(src)
    Cohort.check_place(out, "real", force=force)
    problems = check_site_key(site_key, out)
    key = site_key or default_site_key_path()
    if key.resolve().is_relative_to(src.resolve()):
        problems.append("the site key lies inside the source folder; keep it elsewhere")
    inputs = {"source folder": src, "map": map_path}
    inputs |= {} if table is None else {"table": table}
    problems += [
        f"the {name} lies inside the output folder"
        for name, path in inputs.items()
        if path.resolve().is_relative_to(out.resolve())
    ]
    if out.resolve().is_relative_to(src.resolve()):
        problems.append("the output lies inside the source folder")
    if rules.box is not None and rules.box.within_region and config.on_text == "crop":
        problems.append(
            'boxes in coordinates of the region do not go with "on_text = crop", which moves them'
        )
    problems += unknown_flags(config.leave_out, FLAGS)
    if problems:
        raise UsageError("The ingest cannot start.", problems)
    check_link(link or default_link(key, out), src, out, key)
    # Here, before a site key is drawn: whoever hears of the table would not hear of the key.
    check_table(table, rules)
    site = read_site_rules(site_rules) if site_rules is not None else ()
    return rules, make_settings(config, site, Policy())


def ingest_dicom(
    src: Path | str,
    out: Path | str,
    *,
    map_path: Path | str,
    table: Path | str | None = None,
    site_key: Path | str | None = None,
    site_rules: Path | str | None = None,
    link: Path | str | None = None,
    config: IngestConfig | None = None,
    options: RunOptions | None = None,
    progress: Progress = SILENT,
    force: bool = False,
) -> DicomIngestResult:
    """Turn a folder of DICOM files, and a table of labels, into a cohort.

    Args:
        src: The folder; everything below it is looked at.
        out: Where the cohort will be.
        map_path: See :func:`check_dicom_ingest`, as the others.
        table: The CSV file of labels.
        site_key: The site key file, created on first use.
        site_rules: The rules of the site.
        link: Where to list which file became what.
        config: Options.
        options: Only ``workers`` is used.
        progress: Where to report.
        force: Replace an earlier cohort.

    Returns:
        The result.

    Raises:
        UsageError: See :func:`check_dicom_ingest`.
        DataError: If the table does not fit the map, or no image can be kept.
    """
    config, options = config or IngestConfig(), options or RunOptions()
    src, out, map_path = Path(src), Path(out), Path(map_path)
    table = None if table is None else Path(table)
    key_path = None if site_key is None else Path(site_key)
    link_path = None if link is None else Path(link)
    rules, settings = check_dicom_ingest(
        src,
        out,
        map_path=map_path,
        table=table,
        site_key=key_path,
        site_rules=None if site_rules is None else Path(site_rules),
        link=link_path,
        config=config,
        force=force,
    )
    engine = engine_name(settings.text_engine)
    opened = open_site_key(key_path, out)
    link_path = link_path or default_link(opened.path, out)
    labels = read_labels(table, rules, opened.key)
    sources, notes = find_sources(src, opened.key)
    # Labels change nothing of the work on a file, so another table needs no new run.
    content = decisive(settings, opened.key, engine, src) | {
        "image_size": config.image_size,
        "geometry": config.geometry,
        "bounds": [config.time_limit, config.memory_limit],
        "label": rules.key,
        "by_table": rules.patient is not None,
    }
    with work_folder(out, "ingesting", content) as work:
        job = Job(
            settings=settings,
            key=opened.path,
            work=work,
            label=rules.key,
            by_table=rules.patient is not None,
            image_size=config.image_size,
            geometry=config.geometry,
        )
        records = run_files(sources, job, config, options=options, progress=progress)
        records = [_joined(record, labels, rules) for record in records]
        records = settle_conflicts(records, trust_patient_ids=config.trust_patient_ids)
        paths = {one.id: image_path(work, one.id) for record in records for one in record.images}
        doubles = duplicate_flags(records, paths, config.image_size)
        records, left_out = _without_flagged(_flagged(records, doubles), config.leave_out)
        if not any(record.images for record in records):
            write_link(link_path, sources, src.resolve(), records)
            raise _nothing_kept(records, link_path, opened)
        boxes = _Boxes(rules, config)
        cohort = Cohort.create(
            out,
            _rows(records, labels, rules, boxes, work),
            kind="real",
            image_size=config.image_size,
            vocabulary=_vocabulary(rules, records),
            provenance={
                "verb": "ingest",
                "source": "dicom",
                "config": config.to_dict(),
                "text_engine": engine,
                "profile": f"PS3.15 {load_profile().edition}, Table E.1-1, Basic Profile",
                "resampling": "hamming to shrink, bilinear to enlarge",
                "map_sha256": rules.sha256,
                "site_key_fingerprint": opened.key.fingerprint,
                "result": counts_of(records) | {"left_out_images": left_out},
            },
            force=force,
            beside=lambda staging: write_review(staging, records, work),
        )
        write_link(link_path, sources, src.resolve(), records)
    return DicomIngestResult(
        cohort=cohort,
        counts=counts_of(records),
        left_out_images=left_out,
        notes=(*notes, *_notes(settings, records, labels), *boxes.notes()),
        link=link_path,
        site_key=opened.path,
        site_key_created=opened.created,
    )


def _joined(record: FileRecord, labels: Mapping[str, RowLabels], rules: DicomMap) -> FileRecord:
    """Give a file its patient, or set it aside if the table does not know it."""
    if record.decision != KEPT or rules.key is None:
        return record
    row = labels.get(record.label)
    if row is None:
        if rules.keep_unlisted and rules.patient is None:
            return record
        reason, why = "not-in-table", "no row of the table names it."
        if not record.label:
            reason, why = "no-label", "the attribute that names its row is empty or several."
        return replace(record, decision=QUARANTINED, reason=reason, why=why, images=())
    return record if row.patient is None else replace(record, patient=row.patient)


def _flagged(
    records: Sequence[FileRecord], flags: Mapping[str, tuple[str, ...]]
) -> list[FileRecord]:
    """Add flags to images, by id."""
    return [
        replace(
            record,
            images=tuple(
                replace(image, flags=(*image.flags, *flags.get(image.id, ())))
                for image in record.images
            ),
        )
        for record in records
    ]


def _without_flagged(
    records: Sequence[FileRecord], flags: Sequence[str]
) -> tuple[list[FileRecord], dict[str, int]]:
    """Leave out images that carry one of some flags; count them by their first one."""
    counted: Counter[str] = Counter()
    kept = []
    for record in records:
        images = []
        for image in record.images:
            flag = next((flag for flag in flags if flag in image.flags), None)
            if flag is None:
                images.append(image)
            else:
                counted[flag] += 1
        if record.images and not images:
            record = replace(
                record,
                decision=QUARANTINED,
                reason="flagged",
                why="its images carry a flag that the site leaves out.",
            )
        kept.append(replace(record, images=tuple(images)))
    return kept, dict(sorted(counted.items()))


def _nothing_kept(records: Sequence[FileRecord], link: Path, opened: OpenedKey) -> DataError:
    counts = counts_of(records)
    reasons = Counter(counts["quarantined"]) + Counter(counts["left_out"])
    return DataError(
        f"No image could be kept, so there is no cohort; {link} says why, file by file.",
        [
            *(line.strip() for line in told(reasons)),
            # The next run will not say so: the key is there by then.
            *([f"a new site key was drawn: {opened.path}; back it up"] if opened.created else []),
        ],
    )


def _vocabulary(rules: DicomMap, records: Sequence[FileRecord]) -> dict[str, list[str]]:
    devices = sorted({one.device for one in records if one.decision == KEPT and one.device})
    vocabulary = {}
    for rule in rules.conditions:
        words = devices if rule.equipment else list(rule.vocabulary)
        if not words:
            raise DataError(
                f"No machine of the files is known, so {rule.name} has no value; give a constant "
                f"in [conditions.{rule.name}], or a column."
            )
        vocabulary[rule.name] = words
    return vocabulary


def _rows(
    records: Sequence[FileRecord],
    labels: Mapping[str, RowLabels],
    rules: DicomMap,
    boxes: _Boxes,
    work: Path,
) -> Iterator[Row]:
    images = [(one.patient, image.id, one, image) for one in records for image in one.images]
    for patient, name, record, image in sorted(images, key=lambda item: item[:2]):
        row = labels.get(record.label)
        conditions: dict[str, str | None] = {}
        for rule in rules.conditions:
            if rule.equipment:
                conditions[rule.name] = record.device
            elif row is not None:
                conditions[rule.name] = row.conditions[rule.name]
            else:
                conditions[rule.name] = rule.constant
        yield Row(
            id=name,
            png=image_path(work, name).read_bytes(),
            patient=patient,
            conditions=conditions,
            lesion_box=None if row is None else boxes.stored(row, record, image),
        )


class _Boxes:
    """Lesion boxes on their way from the table to the stored image, and what was lost."""

    def __init__(self, rules: DicomMap, config: IngestConfig) -> None:
        self._within_region = rules.box is not None and rules.box.within_region
        self._config = config
        self._lost: list[int] = []
        self._clipped: list[int] = []
        self._unclear: list[int] = []

    def stored(self, row: RowLabels, record: FileRecord, image: ImageRecord) -> Box | None:
        if row.box is None:
            return None
        several = len({one.part for one in record.images}) > 1
        if record.frames > 1 or (several and self._within_region):
            self._unclear.append(row.number)
            return None
        left, top, right, bottom = image.rectangle
        moved = (0, 0) if self._within_region else (left, top)
        x0, y0, x1, y1 = (
            edge - shift for edge, shift in zip(row.box, (*moved, *moved), strict=True)
        )
        width, height = right - left, bottom - top
        clipped = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
        inside = max(clipped[2] - clipped[0], 0.0) * max(clipped[3] - clipped[1], 0.0)
        if inside < _LEAST_INSIDE * (x1 - x0) * (y1 - y0):
            # In a file of several regions it lies in one of them.
            if not several:
                self._lost.append(row.number)
            return None
        if clipped != (x0, y0, x1, y1):
            self._clipped.append(row.number)
        size, geometry = self._config.image_size, self._config.geometry
        return Placement.fit((width, height), size, geometry).box(clipped)

    def notes(self) -> list[Note]:
        texts = (
            ("box-outside", "box lies outside of what was kept; image without a box", self._lost),
            ("box-clipped", "box reached out of what was kept and was clipped", self._clipped),
            (
                "box-unclear",
                "box of a file with several frames or regions; images without a box",
                self._unclear,
            ),
        )
        return [
            Note(code, text, len(set(rows)), tuple(sorted(set(rows))))
            for code, text, rows in texts
            if rows
        ]


def _notes(
    settings: Settings, records: Sequence[FileRecord], labels: Mapping[str, RowLabels]
) -> list[Note]:
    notes = []
    if not settings.reads_text:
        text = (
            "burned-in text inside the kept regions was not searched by an engine that finds text"
        )
        notes.append(Note("text-not-searched", text))
    met = {record.label for record in records if record.decision == KEPT}
    rows = tuple(row.number for name, row in labels.items() if name not in met)
    if rows:
        text = "row of the table names no file that was kept"
        notes.append(Note("rows-without-files", text, len(rows), rows))
    return notes
