"""The patient table of folders of images: a CSV with the columns ``file`` and ``patient``."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bussynth.auditing.sources import FolderImages
from bussynth.errors import DataError

__all__ = ["FolderPatients", "read_patients"]

_MAX_BYTES = 256 * 2**20


@dataclass(frozen=True, eq=False)
class FolderPatients:
    """Patient keys of the images of each folder; they stay in memory and are never shown.

    Attributes:
        keys: For each source, one key an image in the order of the source.
        notes: What the user should know.
    """

    keys: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return f"FolderPatients({sum(map(len, self.keys))} images)"


def read_patients(path: Path, sources: Sequence[FolderImages]) -> FolderPatients:
    """Look up the patient of every image.

    A file is named relative to its folder, and preceded by the folder's name
    (``train/001.png``) where two folders hold files of the same name.

    Args:
        path: The table, UTF-8.
        sources: The folders.

    Raises:
        DataError: The table lacks a column, names one file twice with different patients, or
            does not cover every image; all such rows and images are listed by number.
    """
    table, problems = _read(path)
    used: set[str] = set()
    names = [set(source.files) for source in sources]
    keys = []
    for position, source in enumerate(sources):
        others = set().union(*names[:position], *names[position + 1 :])
        found = []
        for number, file in enumerate(source.files, start=1):
            full = f"{source.root.resolve().name}/{file}"
            name = full if full in table else file
            what = f"image {number} of {len(source)} of {source.role}"
            if name == file and file in others and file in table:
                problems.append(
                    f"{what}: the other folder holds a file of the same name; write the folder's "
                    "name before it in the table"
                )
            elif name not in table:
                problems.append(f"{what}: has no row in the table")
            used.add(name)
            found.append(table.get(name, ""))
        keys.append(tuple(found))
    if problems:
        raise DataError(
            "The patient table does not fit the images (counted in the order of file names).",
            problems,
        )
    unused = len(table.keys() - used)
    notes = (f"{unused} rows of the patient table match no image",) if unused else ()
    return FolderPatients(tuple(keys), notes)


def _read(path: Path) -> tuple[dict[str, str], list[str]]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError("The patient table is larger than 256 MiB.")
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            columns = reader.fieldnames or []
            missing = [name for name in ("file", "patient") if list(columns).count(name) != 1]
            if missing:
                raise DataError(
                    f"The patient table {path} needs one column {' and one '.join(missing)}."
                )
            table: dict[str, str] = {}
            problems = []
            for number, row in enumerate(reader, start=1):
                file = (row["file"] or "").strip().replace("\\", "/").removeprefix("./")
                patient = (row["patient"] or "").strip()
                if not file or not patient:
                    problems.append(f"row {number} of the table: file or patient is empty")
                elif table.setdefault(file, patient) != patient:
                    problems.append(
                        f"row {number} of the table: the file has another patient in an earlier row"
                    )
    except OSError as error:
        raise DataError(f"Cannot read the patient table {path}: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"The patient table {path} is no UTF-8 CSV.") from error
    return table, problems
