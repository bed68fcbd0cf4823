"""Duplicates inside a real set: found, counted, and shown to the site alone.

A picture filed under two patients, or in train and control, weakens every later step; so it is
looked for before anything is trained. ``duplicates.json`` holds counts; the rows and the images are
in files that only their owner may read.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bussynth import __version__, atomic
from bussynth.auditing.executor import open_workers
from bussynth.auditing.sources import FolderImages
from bussynth.cohort.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.errors import UsageError
from bussynth.progress import SILENT, Progress
from bussynth.report.contact_sheet import SheetGroup, SheetImage, render_contact_sheet

if TYPE_CHECKING:
    from audits.copies.groups import DuplicateGroup, DuplicateGroups, NearPair
    from audits.settings import AuditSettings

__all__ = ["MARKERS", "SCHEMA", "SelfAudit", "self_audit"]

SCHEMA = "bussynth-self-audit/1"
MARKERS = ("duplicates.json",)
"""What tells a self-audit from other folders: --force replaces nothing else."""

_MIXED_SIDE = 128
"""Side to which images of differing sizes are letterboxed; the search works on 64 pixels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _RealSet:
    """Real images and what is known of them; ``patients`` is None in a folder."""

    images: npt.NDArray[np.uint8]
    patients: npt.NDArray[np.int64] | None = None
    splits: tuple[str, ...] | None = None
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SelfAudit:
    """What a self-audit found.

    Attributes:
        report: Content of ``duplicates.json``: counts only.
        groups: The groups by row number; for the site only.
        suspects: The nearest pairs of different patients that meet no rule; for the site only.
    """

    report: Mapping[str, Any]
    groups: tuple[DuplicateGroup, ...] = field(repr=False)
    suspects: tuple[NearPair, ...] = field(repr=False)

    @property
    def clean(self) -> bool:
        """Whether no picture was found under two patients, in two splits or with two labels."""
        return bool(self.report["clean"])

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``duplicates.json``."""
        return dict(self.report)


def self_audit(
    cohort: Cohort | Path | str,
    *,
    out: Path | str | None = None,
    options: RunOptions | None = None,
    progress: Progress = SILENT,
    force: bool = False,
) -> SelfAudit:
    """Find images of a real set that show the same picture.

    Args:
        cohort: A cohort or its path, or a folder of images. In a folder the patients are unknown,
            so every group found counts as a problem.
        out: Folder for duplicates.json, duplicates.csv and contact-sheet.internal.html, or None
            to write nothing.
        options: How to run; never changes a number.
        progress: Where to report.
        force: Replace an earlier self-audit in ``out``.

    Returns:
        The findings; ``clean`` tells whether there is nothing to mend.

    Raises:
        UsageError: ``out`` is taken, or the cohort is synthetic.
        DataError: The images cannot be read.
    """
    from audits.copies.groups import find_groups
    from audits.settings import AuditSettings

    if out is not None:
        atomic.check_output(Path(out), force=force, markers=MARKERS)
    real = _read(cohort, progress)
    settings = AuditSettings()
    options = options or RunOptions()
    with open_workers(options.workers) as workers, progress.task("Comparing", unit="steps"):
        found = find_groups(
            real.images,
            real.patients,
            splits=real.splits,
            labels=real.labels,
            ratio=settings.duplicate_ratio,
            max_distance=settings.copy_distance,
            candidates=settings.candidates,
            shards=workers.shards,
            executor=workers.executor,
        )
    result = SelfAudit(
        report=_report(found, settings), groups=found.groups, suspects=found.suspects
    )
    if out is not None:
        _save(Path(out), result, real, force=force)
    return result


def _read(source: Cohort | Path | str, progress: Progress) -> _RealSet:
    if not isinstance(source, Cohort):
        if not (Path(source) / "cohort.json").is_file():
            return _read_folder(Path(source), progress)
        source = Cohort.open(source)
    if source.kind == "synthetic":
        raise UsageError(
            "The cohort is synthetic; a self-audit looks for duplicates among real images."
        )
    with progress.task("Reading", total=len(source)) as task:
        source.verify()
        images = source.images()
        task.advance(len(images))
    table = source.table(["patient", "split", *source.vocabulary])
    columns = {
        name: tuple(value or "" for value in table.column(name).to_pylist())
        for name in table.column_names
    }
    numbers = np.unique(columns.pop("patient"), return_inverse=True)[1].astype(np.int64)
    return _RealSet(images=images, patients=numbers, splits=columns.pop("split"), labels=columns)


def _read_folder(path: Path, progress: Progress) -> _RealSet:
    source = FolderImages.open(path, "real")
    size = next(iter(source.sizes)) if len(source.sizes) == 1 else (_MIXED_SIDE, _MIXED_SIDE)
    with progress.task("Reading", total=len(source)) as task:
        return _RealSet(images=source.load(size, task))


def _report(found: DuplicateGroups, settings: AuditSettings) -> dict[str, Any]:
    contradicting = sorted({name for group in found.groups for name in group.contradicting})
    return {
        "schema": SCHEMA,
        "bussynth": __version__,
        "clean": found.clean,
        "images": found.images,
        "flat_images": found.flat,
        "patients": found.patients,
        "counts": found.counts(),
        "contradicting": {
            name: sum(name in group.contradicting for group in found.groups)
            for name in contradicting
        },
        "settings": {
            name: settings.describe()[name]
            for name in ("duplicate_ratio", "copy_distance", "candidates")
        },
    }


def _problems(group: DuplicateGroup) -> tuple[str, ...]:
    """What is wrong with a group, in words."""
    words = []
    for name in group.problems:
        if name == "labels":
            words += [f"contradicting {label}" for label in group.contradicting]
        else:
            words.append(name if name == "unknown patients" else f"across {name}")
    return tuple(words)


def _save(out: Path, result: SelfAudit, real: _RealSet, *, force: bool) -> None:
    with atomic.new_directory(out, force=force, markers=MARKERS) as staging:
        atomic.write_json(staging / "duplicates.json", result.report)
        _write_private(staging / "duplicates.csv", _table(result, real))
        _write_private(staging / "contact-sheet.internal.html", _sheet(result, real))


def _table(result: SelfAudit, real: _RealSet) -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["group", "row", "split", "problem"])
    for number, group in enumerate(result.groups, start=1):
        problem = "; ".join(_problems(group)) or "within one patient"
        for row in group.rows:
            split = real.splits[row] if real.splits is not None else ""
            writer.writerow([number, row, split, problem])
    return stream.getvalue()


def _sheet(result: SelfAudit, real: _RealSet) -> str:
    groups = [
        SheetGroup(f"Group {number}", _problems(group), group.ratio, _pictures(group.rows, real))
        for number, group in enumerate(result.groups, start=1)
    ]
    suspects = [
        SheetGroup(f"Pair {number}", (), pair.ratio, _pictures(pair.rows, real))
        for number, pair in enumerate(result.suspects, start=1)
    ]
    return render_contact_sheet(groups, suspects)


def _pictures(rows: Sequence[int], real: _RealSet) -> tuple[SheetImage, ...]:
    known = real.patients
    # Numbered within the group: who it is stays in the cohort.
    numbers = {} if known is None else _numbered(known[list(rows)])
    images = []
    for row in rows:
        lines = []
        if known is not None:
            lines.append(f"patient {numbers[int(known[row])]} of this group")
        if real.splits is not None and real.splits[row]:
            lines.append(f"split: {real.splits[row]}")
        lines += [f"{name}: {column[row] or 'unknown'}" for name, column in real.labels.items()]
        images.append(SheetImage(row, real.images[row], tuple(lines)))
    return tuple(images)


def _numbered(patients: npt.NDArray[np.int64]) -> dict[int, int]:
    numbers: dict[int, int] = {}
    for patient in patients.tolist():
        numbers.setdefault(patient, len(numbers) + 1)
    return numbers


def _write_private(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
        stream.write(text)
