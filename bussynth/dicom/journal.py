"""What a run has done so far: one line a file, so that a killed run goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from bussynth import atomic
from bussynth.dicom.process import image_path, object_path, preview_path
from bussynth.dicom.record import FileRecord

__all__ = ["Journal"]

_FILE: Final = "journal.jsonl"
_SYNC_SECONDS: Final = 1.0
# The last bytes of every PNG and of every JPEG.
_ENDS: Final = (b"\0\0\0\0IEND\xaeB`\x82", b"\xff\xd9")


class Journal:
    """The journal of a work folder, open for writing.

    A line is written after what it tells of is in place. A torn last line, and lines of files
    whose output is missing, count as not done.

    Args:
        work: The work folder.
    """

    def __init__(self, work: Path) -> None:
        self._work = work
        self._path = work / _FILE
        self._synced = time.monotonic()

    def read(self) -> list[FileRecord]:
        """Return the records of an earlier run, those whose output is whole."""
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        records = []
        for line in lines:
            try:
                record = FileRecord.from_dict(json.loads(line))
            except (ValueError, TypeError, KeyError, IndexError, RecursionError):
                continue
            if self._whole(record):
                records.append(record)
        return records

    def _whole(self, record: FileRecord) -> bool:
        # What was written just before a power cut may be there with its size, but blank.
        pictures = [preview_path(self._work, image.id) for image in record.images]
        if not record.objects:
            pictures += [image_path(self._work, image.id) for image in record.images]
        try:
            return all(
                _sha256(object_path(self._work, record.name, one.uid)) == one.sha256
                for one in record.objects
            ) and all(map(_is_whole_picture, pictures))
        except OSError:
            return False

    def start(self, records: Iterable[FileRecord]) -> None:
        """Write the journal anew with what still holds of an earlier one."""
        lines = "".join(atomic.canonical_json(record.to_dict()) + "\n" for record in records)
        atomic.write_text(self._path, lines)

    def __enter__(self) -> Self:
        self._file = self._path.open("ab")
        return self

    def add(self, record: FileRecord) -> None:
        """Append a record; it reaches the disk within a second or so."""
        self._file.write(atomic.canonical_json(record.to_dict()).encode() + b"\n")
        self._file.flush()
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_whole_picture(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(-min(file.tell(), max(map(len, _ENDS))), os.SEEK_END)
        return file.read().endswith(_ENDS)
