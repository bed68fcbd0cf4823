"""``bussynth deidentify``: a folder of DICOM files becomes a folder of de-identified ones."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bussynth import __version__, atomic
from bussynth.cleaning.engine import engine_name
from bussynth.config import RunOptions
from bussynth.dicom.config import DeidentifyConfig
from bussynth.dicom.conflicts import settle_conflicts
from bussynth.dicom.papers import (
    check_link,
    counts_of,
    default_link,
    write_link,
    write_review,
)
from bussynth.dicom.process import Job, object_path
from bussynth.dicom.record import KEPT, FileRecord, ObjectRecord
from bussynth.dicom.run import (
    decisive,
    make_settings,
    run_files,
    work_folder,
)
from bussynth.dicom.site import read_site_rules
from bussynth.dicom.sources import check_source, find_sources
from bussynth.errors import UsageError
from bussynth.ingest.keys import OpenedKey, check_site_key, default_site_key_path, open_site_key
from bussynth.ingest.notes import Note
from bussynth.progress import SILENT, Progress
from bussynth.review.folder import FILES_RECORD
from privacy.deidentify.policy import Dates, Policy
from privacy.deidentify.profile import load_profile
from privacy.deidentify.settings import Settings

__all__ = ["DeidentifyResult", "check_deidentify", "deidentify_folder"]

_SCHEMA: Final = "bussynth-deidentification/1"
_MARKERS: Final = (FILES_RECORD,)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeidentifyResult:
    """What was written.

    Attributes:
        path: The output.
        counts: Files, decisions and reasons.
        digest: Digest of all written objects.
        link: The private list of which file became what.
        site_key: File of the site key.
        site_key_created: Whether the key was drawn just now.
        notes: What the user must learn of.
    """

    path: Path
    counts: dict[str, Any]
    digest: str
    link: Path
    site_key: Path
    site_key_created: bool
    notes: tuple[Note, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without any value of a patient."""
        return {
            "out": str(self.path),
            "digest": self.digest,
            **self.counts,
            "link": str(self.link),
            "site_key": str(self.site_key),
            "site_key_created": self.site_key_created,
            "notes": [note.to_dict() for note in self.notes],
        }


def check_deidentify(
    src: Path,
    out: Path,
    *,
    config: DeidentifyConfig,
    site_key: Path | None = None,
    site_rules: Path | None = None,
    link: Path | None = None,
    force: bool = False,
) -> Settings:
    """Check everything that needs no file to be opened.

    Args:
        src: The folder of DICOM files.
        out: Where the de-identified files will be.
        config: Options.
        site_key: The site key file; None for the default place.
        site_rules: The TOML file of the site's rules, see :mod:`bussynth.dicom.site`.
        link: Where to list which file became what; None for a place beside the site key.
        force: Replace an earlier output.

    Returns:
        The settings of the engine.

    Raises:
        UsageError: If a place, the key, the rules or the text engine cannot be used.
        DataError: If the source cannot be read.
    """
    check_source(src)
    atomic.check_output(out, force=force, markers=_MARKERS)
    problems = check_site_key(site_key, out)
    key = site_key or default_site_key_path()
    if key.resolve().is_relative_to(src.resolve()):
        problems.append("the site key lies inside the source folder; keep it elsewhere")
    if out.resolve().is_relative_to(src.resolve()) or src.resolve().is_relative_to(out.resolve()):
        problems.append("source and output lie inside of each other")
    if problems:
        raise UsageError("The de-identification cannot start.", problems)
    check_link(link or default_link(key, out), src, out, key)
    rules = read_site_rules(site_rules) if site_rules is not None else ()
    policy = Policy(
        dates=Dates(config.dates),
        patient_characteristics=config.keep_characteristics,
        device=config.keep_device,
    )
    return make_settings(config, rules, policy)


def deidentify_folder(
    src: Path | str,
    out: Path | str,
    *,
    config: DeidentifyConfig | None = None,
    site_key: Path | str | None = None,
    site_rules: Path | str | None = None,
    link: Path | str | None = None,
    options: RunOptions | None = None,
    progress: Progress = SILENT,
    force: bool = False,
) -> DeidentifyResult:
    """De-identify a folder of DICOM files.

    Every object of the output is built anew from an allow-list, cropped to regions of tissue, and
    checked against PS3.15 Table E.1-1. What cannot be decided is not in the output. A run that was
    killed goes on when it is started again with the same arguments.

    Args:
        src: The folder; everything below it is looked at.
        out: Where the de-identified files will be.
        config: Options.
        site_key: The site key file, created on first use; None for the default place.
        site_rules: See :func:`check_deidentify`.
        link: See :func:`check_deidentify`.
        options: Only ``workers`` is used.
        progress: Where to report.
        force: Replace an earlier output.

    Returns:
        The result.

    Raises:
        UsageError: See :func:`check_deidentify`.
        DataError: If the source holds no file or cannot be read.
    """
    config, options = config or DeidentifyConfig(), options or RunOptions()
    src, out = Path(src), Path(out)
    key_path = None if site_key is None else Path(site_key)
    link_path = None if link is None else Path(link)
    settings = check_deidentify(
        src,
        out,
        config=config,
        site_key=key_path,
        site_rules=None if site_rules is None else Path(site_rules),
        link=link_path,
        force=force,
    )
    engine = engine_name(settings.text_engine)
    opened = open_site_key(key_path, out)
    link_path = link_path or default_link(opened.path, out)
    sources, notes = find_sources(src, opened.key)
    content = decisive(settings, opened.key, engine, src) | {"config": config.to_dict()}
    with work_folder(out, "deidentifying", content) as work:
        job = Job(settings=settings, key=opened.path, work=work)
        records = run_files(sources, job, config, options=options, progress=progress)
        records = settle_conflicts(records, trust_patient_ids=config.trust_patient_ids)
        digest = _write(out, records, work, config, engine, opened, force=force)
        write_link(link_path, sources, src.resolve(), records)
    return DeidentifyResult(
        path=out,
        counts=counts_of(records),
        digest=digest,
        link=link_path,
        site_key=opened.path,
        site_key_created=opened.created,
        notes=(*notes, *_notes(settings)),
    )


def _notes(settings: Settings) -> list[Note]:
    if settings.reads_text:
        return []
    text = (
        "no engine that finds text looked at the pixels, so the objects say that the patient's "
        "identity was not removed from them"
    )
    return [Note("text-not-searched", text)]


def _write(
    out: Path,
    records: Sequence[FileRecord],
    work: Path,
    config: DeidentifyConfig,
    engine: str,
    opened: OpenedKey,
    *,
    force: bool,
) -> str:
    waiting = sorted(
        (
            (one, object_path(work, record.name, one.uid))
            for record in records
            if record.decision == KEPT
            for one in record.objects
        ),
        key=lambda pair: pair[0].path,
    )
    objects = [one for one, _ in waiting]
    digest = _digest(objects)
    with atomic.new_directory(out, force=force, markers=_MARKERS) as staging:
        for one, path in waiting:
            _place(path, staging / one.path)
        write_review(staging, records, work)
        atomic.write_json(
            staging / FILES_RECORD,
            {
                "schema": _SCHEMA,
                "digest": digest,
                "counts": counts_of(records),
                "config": config.to_dict(),
                "text_engine": engine,
                "profile": f"PS3.15 {load_profile().edition}, Table E.1-1, Basic Profile",
                "site_key_fingerprint": opened.key.fingerprint,
                "bussynth": __version__,
                "objects": [
                    {"path": one.path, "bytes": one.bytes, "sha256": one.sha256} for one in objects
                ],
            },
        )
    return digest


def _digest(objects: Sequence[ObjectRecord]) -> str:
    lines = "".join(f"{one.sha256}  {one.path}\n" for one in objects)
    return hashlib.sha256(lines.encode()).hexdigest()


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
