"""Reading a package folder that may have been prepared to harm its reader.

Only regular files with one name, reached by names from the signed list, are opened; the
bytes handed out are the bytes that were hashed, so it does not matter what happens to the
folder afterwards.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from bussynth.errors import IntegrityError, UsageError
from bussynth.package.manifest import ENVELOPE, FileEntry
from bussynth.package.names import shown

__all__ = [
    "check_package_folder",
    "digest_problem",
    "folder_problems",
    "read_envelope",
    "read_file",
]

_CHUNK = 2**20
# A stranger's folder may hold a million files; the list of problems needs no more than these.
_MAX_EXTRA = 100


def check_package_folder(path: Path) -> None:
    """Refuse what is no folder.

    Raises:
        UsageError: ``path`` does not exist, or is a file such as an archive.
    """
    if path.is_dir():
        return
    if path.is_file():
        raise UsageError(
            f"{path} is a file; a package is a folder. Archives are not unpacked here: unpack "
            "it yourself into a new, empty folder and give that."
        )
    raise UsageError(f"{path} does not exist; give the folder of a package.")


def read_envelope(path: Path, max_bytes: int) -> bytes:
    """Read the signature envelope of a package.

    Raises:
        IntegrityError: The envelope is missing, not a regular file or too large.
    """
    try:
        with _open(path / ENVELOPE) as stream:
            status = os.fstat(stream.fileno())
            problem = _not_plain(status)
            if problem is not None:
                raise IntegrityError(f"{ENVELOPE} {problem}; this is no genuine package.")
            if status.st_size > max_bytes:
                raise IntegrityError(f"{ENVELOPE} is larger than the {max_bytes:,} bytes allowed.")
            return stream.read(max_bytes + 1)
    except OSError as error:
        raise IntegrityError(
            f"{path} is not signed: {ENVELOPE} is missing or cannot be read; do not use it."
        ) from error


def folder_problems(root: Path, files: Mapping[str, FileEntry]) -> list[str]:
    """Compare what lies in the folder with what the manifest lists, without reading files.

    Args:
        root: The folder of the package.
        files: The files that must be there, beside the envelope, and nothing else.

    Returns:
        One line a problem: missing, unlisted, of another size, a link, a device, a folder.
    """
    expected = {ENVELOPE, *files}
    folders = {
        "/".join(name.split("/")[:end]) for name in files for end in range(1, name.count("/") + 1)
    }
    problems: list[str] = []
    seen: set[str] = set()
    extra = 0
    for name, status in _walk(root, folders):
        if stat.S_ISDIR(status.st_mode) and name in folders:
            continue
        if name not in expected:
            extra += 1
            if extra <= _MAX_EXTRA:
                problems.append(f"{shown(name)} is not listed in the manifest")
                continue
            problems.append(f"more than {_MAX_EXTRA} unlisted files; the rest was not looked at")
            return problems
        seen.add(name)
        problem = _not_plain(status)
        if problem is not None:
            problems.append(f"{name} {problem}")
        elif name in files and status.st_size != files[name].bytes:
            problems.append(
                f"{name} has {status.st_size:,} bytes, the manifest says {files[name].bytes:,}"
            )
    problems += [f"{name} is missing" for name in sorted(expected - seen)]
    return problems


def digest_problem(root: Path, name: str, entry: FileEntry) -> str | None:
    """Hash one listed file piece by piece; return what is wrong with it, or None."""
    digest = hashlib.sha256()
    try:
        with _open(root / name) as stream:
            problem = _not_plain(os.fstat(stream.fileno()))
            if problem is not None:
                return f"{name} {problem}"
            # One byte more than promised is enough to see that a file has grown.
            remaining = entry.bytes + 1
            while remaining > 0 and (chunk := stream.read(min(_CHUNK, remaining))):
                digest.update(chunk)
                remaining -= len(chunk)
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    return None if digest.hexdigest() == entry.sha256 else f"{name} was changed after signing"


def read_file(root: Path, name: str, entry: FileEntry) -> bytes:
    """Return the bytes of one listed file, the very bytes whose digest was checked.

    Raises:
        IntegrityError: The file is missing, is no plain file, or was changed.
    """
    try:
        with _open(root / name) as stream:
            problem = _not_plain(os.fstat(stream.fileno()))
            data = b"" if problem else stream.read(entry.bytes + 1)
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        data = b""
    if problem is None and hashlib.sha256(data).hexdigest() != entry.sha256:
        problem = "was changed after signing"
    if problem is not None:
        raise IntegrityError("The package was changed; do not use it.", [f"{name} {problem}"])
    return data


def _open(path: Path) -> BinaryIO:
    # Links are not followed, and a FIFO must not make us wait for its writer.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    return open(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb")


def _not_plain(status: os.stat_result) -> str | None:
    if stat.S_ISLNK(status.st_mode):
        return "is a symbolic link"
    if stat.S_ISDIR(status.st_mode):
        return "is a folder, a file was expected"
    if not stat.S_ISREG(status.st_mode):
        return "is a device, socket or pipe"
    if status.st_nlink > 1:
        return "is a hard link: it has a second name elsewhere"
    return None


def _walk(root: Path, folders: set[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Yield everything below ``root``; unlisted folders are named but not entered."""
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(root / folder) as entries:
                found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
        except OSError as error:
            raise IntegrityError(f"The package folder cannot be read: {error.strerror}.") from error
        for base, status in sorted(found, key=lambda item: item[0]):
            name = f"{folder}/{base}" if folder else base
            yield name, status
            if stat.S_ISDIR(status.st_mode) and name in folders:
                pending.append(name)
