"""Outputs that are whole or absent: staged beside their place, then renamed.

A killed process leaves at most a hidden ``.NAME.partial-*`` sibling, which no reader of
bussynth takes for a result and which the next successful run of the same output removes.
"""

from __future__ import annotations

import ctypes
import glob
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bussynth.errors import DataError, UsageError

__all__ = [
    "canonical_json",
    "check_output",
    "new_directory",
    "write_bytes",
    "write_json",
    "write_text",
]

_MARKERS = ("cohort.json", "model.json", "report.json", "bussynth.statement.dsse.json")


def canonical_json(value: Any, *, indent: int | None = None) -> str:
    """Serialise to JSON with sorted keys; NaN and infinity are refused."""
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(
        value,
        sort_keys=True,
        ensure_ascii=False,
        allow_nan=False,
        indent=indent,
        separators=separators,
    )


def check_output(path: Path, *, force: bool = False, markers: Sequence[str] = _MARKERS) -> None:
    """Refuse an output place that is taken.

    Args:
        path: The folder about to be written.
        force: Allow replacing an earlier output. Only a folder that is empty or holds one
            of ``markers`` is ever replaced, so a slip of the finger deletes no home folder.
        markers: Names of files that tell an output of bussynth.

    Raises:
        UsageError: ``path`` exists and may not be replaced, or its parent is not a folder.
    """
    if path.is_symlink():
        raise UsageError(f"{path} is a symbolic link; give the place it points to.")
    if path.exists():
        if not path.is_dir():
            raise UsageError(f"{path} exists and is a file; choose another name.")
        empty = not any(path.iterdir())
        if not force and not empty:
            raise UsageError(f"{path} exists; choose another name, or use --force to replace it.")
        if not empty and not any((path / marker).is_file() for marker in markers):
            raise UsageError(
                f"{path} holds no earlier output of this kind, so it is not replaced; choose "
                "another name."
            )
    parent = path.absolute().parent
    ancestor = next(p for p in [parent, *parent.parents] if p.exists())
    if not ancestor.is_dir():
        raise UsageError(f"{path} cannot be made: {ancestor} is not a folder.")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _os_error(path: Path, error: OSError) -> DataError:
    return DataError(f"Cannot write {path}: {error.strerror}. Nothing was left behind.")


@contextmanager
def new_directory(
    path: Path | str, *, force: bool = False, markers: Sequence[str] = _MARKERS
) -> Iterator[Path]:
    """Yield a staging folder that takes the place of ``path`` when the block succeeds.

    Args:
        path: The folder to make.
        force: See :func:`check_output`.
        markers: See :func:`check_output`.

    Yields:
        The staging folder, on the same file system as ``path``.

    Raises:
        UsageError: See :func:`check_output`.
        DataError: The file system refused (full, read-only); nothing is left behind.
    """
    path = Path(path).absolute()
    check_output(path, force=force, markers=markers)
    token = secrets.token_hex(4)
    staging = path.parent / f".{path.name}.partial-{token}"
    try:
        staging.mkdir(parents=True)
        try:
            yield staging
            for file in sorted(staging.rglob("*")):
                _sync(file)
            _sync(staging)
            _replace_directory(staging, path, token)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
    except OSError as error:
        raise _os_error(path, error) from error
    _remove_stale(path)


def _replace_directory(staging: Path, path: Path, token: str) -> None:
    if path.exists():
        if not _exchange(staging, path):
            # The old folder steps aside first: between the two renames there is no output,
            # never half of one.
            old = path.parent / f".{path.name}.partial-old-{token}"
            path.rename(old)
            try:
                staging.rename(path)
            except OSError:
                old.rename(path)
                raise
            staging = old
        shutil.rmtree(staging, ignore_errors=True)
    else:
        staging.rename(path)
    _sync(path.parent)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two folders in one step where the kernel can (Linux, ``renameat2``)."""
    try:
        swap = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    at_cwd, exchange = -100, 2
    return bool(swap(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), exchange) == 0)


def _remove_stale(path: Path) -> None:
    for stale in path.parent.glob(f".{glob.escape(path.name)}.partial-*"):
        shutil.rmtree(stale, ignore_errors=True)


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        DataError: The file system refused; an earlier file of that name is untouched.
    """
    path = Path(path)
    temporary = path.parent / f".{path.name}.partial-{secrets.token_hex(4)}"
    try:
        with temporary.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        _sync(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise _os_error(path, error) from error


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text whole or not at all; see :func:`write_bytes`."""
    write_bytes(path, text.encode())


def write_json(path: Path | str, value: Any) -> None:
    """Write readable JSON with sorted keys whole or not at all; see :func:`write_bytes`."""
    write_text(path, canonical_json(value, indent=2) + "\n")
