"""What a run leaves beside its result: material for the review, and the private list of links."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bussynth.dicom.process import preview_path
from bussynth.dicom.record import KEPT, LEFT_OUT, QUARANTINED, FileRecord
from bussynth.dicom.sources import Source
from bussynth.errors import DataError, UsageError
from bussynth.ingest.keys import in_output
from bussynth.review.material import (
    DECISIONS_FILE,
    PREVIEWS_FILE,
    REVIEW_FOLDER,
    Decision,
    Preview,
    write_decisions,
    write_previews,
)

__all__ = ["check_link", "counts_of", "default_link", "write_link", "write_review"]

_COLUMNS = ("number", "path", "file", "decision", "reason", "why", "patient", "outputs")


def counts_of(records: Sequence[FileRecord]) -> dict[str, Any]:
    """Count decisions and reasons."""
    kept = [one for one in records if one.decision == KEPT]
    flags = Counter(flag for one in kept for image in one.images for flag in image.flags)
    return {
        "files": len(records),
        "kept": len(kept),
        "quarantined": _reasons(records, QUARANTINED),
        "left_out": _reasons(records, LEFT_OUT),
        "images": sum(len(one.images) for one in kept),
        "patients": len({one.patient for one in kept}),
        "flags": dict(sorted(flags.items())),
        "blanked_images": sum(
            bool(image.blanked) or image.marks for one in kept for image in one.images
        ),
    }


def _reasons(records: Iterable[FileRecord], decision: str) -> dict[str, int]:
    found = Counter(one.reason for one in records if one.decision == decision)
    return {reason: found[reason] for reason in sorted(found)}


def write_review(folder: Path, records: Sequence[FileRecord], work: Path) -> None:
    """Write what a person needs to check the run.

    Args:
        folder: The output, or its staging folder.
        records: What became of the files.
        work: The work folder, which holds the pictures.
    """
    # Pictures of patients: for nobody else's eyes.
    (folder / REVIEW_FOLDER).mkdir(mode=0o700)
    by_name = sorted(records, key=lambda one: one.name)
    write_decisions(folder / REVIEW_FOLDER / DECISIONS_FILE, map(_decision, by_name))
    write_previews(folder / REVIEW_FOLDER / PREVIEWS_FILE, _previews(records, work))


def _decision(record: FileRecord) -> Decision:
    return Decision(
        file=record.name,
        decision=record.decision,
        reason=record.reason,
        why=record.why or "an image of tissue was kept.",
        images=tuple(image.id for image in record.images),
        frames=record.frames,
        frame_size=record.frame_size,
    )


def _previews(records: Sequence[FileRecord], work: Path) -> Iterator[Preview]:
    images = [(image, one) for one in records if one.decision == KEPT for image in one.images]
    for image, record in sorted(images, key=lambda pair: pair[0].id):
        left, top, right, bottom = image.rectangle
        rows, columns = record.frame_size or (bottom, right)
        yield Preview(
            id=image.id,
            picture=preview_path(work, image.id).read_bytes(),
            frame_rows=rows,
            frame_columns=columns,
            left=left,
            top=top,
            right=right,
            bottom=bottom,
            blanked=image.blanked,
            flags=image.flags,
            frame=image.frame,
        )


def default_link(key: Path, out: Path) -> Path:
    """Where the links of an output are written unless told: beside the site key."""
    place = out.absolute()
    # Outputs of one name in two folders must not overwrite each other's list.
    digest = hashlib.sha256(str(place).encode("utf-8", "surrogateescape")).hexdigest()
    return key.absolute().parent / f"{place.name}-{digest[:8]}.link.csv"


def check_link(link: Path, src: Path, out: Path, key: Path) -> None:
    """Refuse a place at which the links would travel with the output, or be taken for a source.

    Raises:
        UsageError: The file lies inside of the output or the source, or is something else.
    """
    if link.resolve().is_relative_to(src.resolve()):
        raise UsageError("The link file would lie inside of the source; keep it elsewhere.")
    if link.resolve().is_relative_to(out.resolve()):
        raise UsageError("The link file would lie inside of the output; keep it elsewhere.")
    if in_output(link):
        raise UsageError("The link file would lie inside of another output; keep it elsewhere.")
    # Found now, not after hours of work.
    place = next(folder for folder in link.resolve().parents if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise UsageError("The folder of the link file cannot be written.")
    if link.resolve() == key.resolve():
        raise UsageError("The link file would replace the site key; keep it elsewhere.")
    if link.is_symlink() or (link.exists() and not _is_link(link)):
        # The site key and the table are at hand when this path is typed, and nothing restores them.
        raise UsageError("The place of the link file is taken by something else.")


def write_link(
    link: Path, sources: Sequence[Source], root: Path, records: Sequence[FileRecord]
) -> None:
    """Write which file became what, readable by its owner only. It names files in clear.

    Args:
        link: The CSV file; an earlier one is replaced.
        sources: The files.
        root: Folder that paths are relative to.
        records: What became of them, in the same order.

    Raises:
        DataError: The file system refused.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for source, record in zip(sources, records, strict=True):
        path = os.fspath(source.path.relative_to(root))
        outputs = [one.uid for one in record.objects] or [one.id for one in record.images]
        row = (
            source.number,
            _cell(path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")),
            record.name,
            record.decision,
            record.reason,
            record.why,
            record.patient if record.decision == KEPT else "",
            " ".join(outputs),
        )
        writer.writerow(row)
    temporary = link.parent / f".{link.name}.partial-{secrets.token_hex(4)}"
    try:
        link.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Made with its mode: nobody else may read it for a moment.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text.getvalue())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(link)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise DataError(f"The link file cannot be written: {error.strerror}.") from None


def _is_link(path: Path) -> bool:
    """Say whether a file is an earlier list of links."""
    header = ",".join(_COLUMNS).encode()
    try:
        with path.open("rb") as file:
            return file.read(len(header)) == header
    except OSError:
        return False


def _cell(text: str) -> str:
    """Keep a spreadsheet from taking a file name for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
