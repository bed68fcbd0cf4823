"""The files below a folder, in a fixed order, each with a keyed name that tells nothing."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from bussynth.errors import DataError, UsageError
from bussynth.ingest.notes import Note
from privacy.pseudonym import SiteKey

__all__ = ["Source", "check_source", "find_sources"]

_DOMAIN = "source-file"
_ARCHIVES = (b"PK\x03\x04", b"\x1f\x8b", b"Rar!", b"7z\xbc\xaf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One file of the folder.

    Attributes:
        number: Its place in the order of paths, from 1; how messages refer to it.
        path: Where it is.
        name: Keyed digest of its path relative to the folder, 32 hex characters.
        size: Its size in bytes when it was found.
        changed: When it was last changed, in nanoseconds.
    """

    number: int
    path: Path = field(repr=False)
    name: str
    size: int
    changed: int


def check_source(folder: Path) -> None:
    """Refuse what is no folder.

    Raises:
        UsageError: It is a file, maybe an archive, or nothing.
        DataError: It cannot be looked at.
    """
    try:
        if folder.is_file():
            with folder.open("rb") as file:
                if file.read(4).startswith(_ARCHIVES):
                    raise UsageError("The source is an archive; unpack it and give the folder.")
            raise UsageError("The source is a file; give the folder that holds it.")
        if not folder.is_dir():
            raise UsageError("The source is not a folder.")
    except OSError as error:
        raise DataError(f"The source cannot be read: {error.strerror}.") from None


def find_sources(folder: Path, key: SiteKey) -> tuple[list[Source], list[Note]]:
    """List all files below a folder.

    Links to folders are not followed; links to files are, if they stay inside. What a file is
    shows only when it is opened, since DICOM files often have no suffix.

    Args:
        folder: The folder of DICOM files.
        key: The site key, for the names.

    Returns:
        The files in the order of their paths, and what was not followed.

    Raises:
        UsageError: If the folder is none, or an archive.
        DataError: If no file is in it, or a folder in it cannot be read.
    """
    check_source(folder)
    root = folder.resolve()
    found: list[tuple[str, Path, os.stat_result]] = []
    closed: list[OSError] = []
    links = 0
    for base, folders, names in os.walk(root, onerror=closed.append):
        folders.sort()
        links += sum(Path(base, name).is_symlink() for name in folders)
        for name in names:
            path = Path(base, name)
            try:
                if path.is_symlink() and not path.resolve(strict=True).is_relative_to(root):
                    links += 1
                    continue
                status = path.stat()
            except (OSError, RuntimeError):
                links += 1
                continue
            if stat.S_ISREG(status.st_mode):
                found.append((path.relative_to(root).as_posix(), path, status))
    if closed:
        raise DataError(
            f"{len(closed)} folders below the source cannot be read; see to their permissions."
        )
    if not found:
        raise DataError("The source folder holds no file.")
    found.sort(key=lambda item: item[0].encode("utf-8", "surrogateescape"))
    sources = [
        Source(
            number=number,
            path=path,
            name=key.digest(_DOMAIN, relative.encode("utf-8", "surrogateescape").hex()).hex()[:32],
            size=status.st_size,
            changed=status.st_mtime_ns,
        )
        for number, (relative, path, status) in enumerate(found, 1)
    ]
    text = "symbolic links lead out of the source folder, to folders or nowhere; not followed"
    return sources, [Note("links", f"{links} {text}")] if links else []
