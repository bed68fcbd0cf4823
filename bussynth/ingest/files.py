"""The files of a source folder: found, kept inside, and looked at by header only."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from bussynth.errors import DataError
from bussynth.images import ImageHeader, read_header

__all__ = ["FileId", "SourceFolder", "images_in"]

FileId: TypeAlias = tuple[int, int]

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff"})
_MAX_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True)
class SourceFolder:
    """A folder whose files are reached by relative paths that cannot leave it.

    Attributes:
        root: The folder, absolute, without symbolic links.
    """

    root: Path = field(repr=False)

    def find(self, relative: str, *, what: str) -> tuple[Path, FileId] | None:
        """Return the file behind a relative path, None if there is none.

        Args:
            relative: A path made by a pattern.
            what: How error messages refer to it; the path is not quoted.

        Returns:
            The resolved path, and what identifies the file even under two names.

        Raises:
            DataError: If the path leaves the folder through a symbolic link, or is no file.
        """
        try:
            path = (self.root / relative).resolve(strict=True)
            status = path.stat()
        except FileNotFoundError:
            return None
        except (OSError, RuntimeError, ValueError):
            raise DataError(f"{what}: the file cannot be reached.") from None
        if not path.is_relative_to(self.root):
            raise DataError(f"{what}: a symbolic link leads out of the source folder.")
        if not path.is_file():
            raise DataError(f"{what}: not a regular file.")
        if status.st_size > _MAX_BYTES:
            raise DataError(f"{what}: the file is larger than 512 MiB.")
        return path, (status.st_dev, status.st_ino)


def header_of(path: Path, *, what: str, max_pixels: int) -> ImageHeader:
    """Read the header of an image file.

    Raises:
        DataError: If the file cannot be read, or as :func:`bussynth.images.read_header`.
    """
    try:
        with path.open("rb") as file:
            return read_header(file, what=what, max_pixels=max_pixels)
    except OSError as error:
        raise DataError(f"{what}: the file cannot be read ({error.strerror}).") from None


def images_in(folders: Iterable[Path]) -> Iterator[FileId]:
    """Yield the image files below some folders in the order of their names, each once.

    Symbolic links to folders are not followed.
    """
    seen: set[FileId] = set()
    for folder in sorted(set(folders)):
        for base, subfolders, names in os.walk(folder):
            subfolders.sort()
            for name in sorted(names):
                if Path(name).suffix.lower() not in _SUFFIXES:
                    continue
                try:
                    status = Path(base, name).stat()
                except OSError:
                    status = Path(base, name).lstat()
                found = (status.st_dev, status.st_ino)
                if found not in seen:
                    seen.add(found)
                    yield found
