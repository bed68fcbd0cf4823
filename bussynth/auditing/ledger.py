"""The run ledger: every audit of the same patients, in order, so that trying again is seen.

Whoever audits until an audit passes, or moves a threshold after a look, voids the p-values, and no
single report can show it. So each audit appends one line to ``audits.jsonl`` beside the real data
before its result is shown. Lines hold digests, counts, the verdict and the time; no value of any
patient.

Each line carries the SHA-256 of the line before it and of itself. That shows careless edits and
lines taken from the middle. It does not stop somebody who writes the whole file anew or drops
its end: there is no secret in it. The head is printed in every report, so that reports kept
elsewhere testify against such a ledger.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bussynth.atomic import canonical_json

__all__ = ["LEDGER_FILE", "LedgerEntry", "LedgerState", "append_entry", "read_ledger"]

LEDGER_FILE: Final = "audits.jsonl"
SCHEMA: Final = "bussynth-audit-ledger/1"
_START: Final = "0" * 64
_TEXTS: Final = ("kind", "time", "settings", "train", "control", "previous", "sha256")


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """One line: an audit that was made, or settings that were registered.

    Attributes:
        kind: ``"audit"`` or ``"registration"``.
        time: When, UTC.
        settings: Digest of all settings.
        train: Digest of the train images.
        control: Digest of the control images.
        synthetic: Digest of the synthetic images, None for a registration.
        images: Number of synthetic images, None for a registration.
        generator: Digest of the model that made them, None if unknown.
        verdict: The verdict, None for a registration.
        document: SHA-256 of the TOML file of a registration, None for an audit.
        sha256: Of the line; the head of the ledger while it is the last one.
    """

    kind: str
    time: str
    settings: str
    train: str
    control: str
    synthetic: str | None = None
    images: int | None = None
    generator: str | None = None
    verdict: str | None = None
    document: str | None = None
    sha256: str = ""


@dataclass(frozen=True)
class LedgerState:
    """What a ledger holds.

    Attributes:
        entries: The lines that can be read, oldest first.
        problems: What is wrong with the file, one sentence each.
    """

    entries: tuple[LedgerEntry, ...] = ()
    problems: tuple[str, ...] = ()


def read_ledger(path: Path) -> LedgerState:
    """Read a ledger; whatever is wrong with it is reported, never raised.

    Args:
        path: The file; one that does not exist is an empty ledger.
    """
    try:
        with _opened(path, os.O_RDONLY) as stream:
            return _parse(stream.read())
    except FileNotFoundError:
        return LedgerState()
    except OSError as error:
        return LedgerState(problems=(f"The ledger cannot be read ({error.strerror}).",))


def append_entry(path: Path, entry: LedgerEntry) -> tuple[LedgerState, LedgerEntry]:
    """Append a line, whole and on the disk before this returns.

    Several processes may append at once: each waits for the lock of the file.

    Args:
        path: The file; made if absent.
        entry: The line; time and chain are filled in.

    Returns:
        The ledger as it was before, and the entry as written.

    Raises:
        OSError: The place cannot be written; nothing was appended.
    """
    new = not path.exists()
    with _opened(path, os.O_RDWR | os.O_CREAT | os.O_APPEND) as stream:
        _lock(stream)
        data = stream.read()
        state = _parse(data)
        lines = data.rstrip(b"\n").split(b"\n")
        content: dict[str, Any] = {
            "schema": SCHEMA,
            **{key: value for key, value in vars(entry).items() if value is not None},
            "time": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "previous": hashlib.sha256(lines[-1]).hexdigest() if data else _START,
        }
        content["sha256"] = _own_digest(content)
        # A torn line of a killed process is left as it is; ours begins on a line of its own.
        separator = b"" if not data or data.endswith(b"\n") else b"\n"
        line = separator + canonical_json(content).encode() + b"\n"
        try:
            if stream.write(line) != len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(stream.fileno())
        except OSError:
            with suppress(OSError):
                os.ftruncate(stream.fileno(), len(data))
            raise
    if new:
        _sync_folder(path.parent)
    return state, _entry(content)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[io.FileIO]:
    # Unbuffered: one line is one write, and nothing is read ahead of the lock.
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
    with io.FileIO(descriptor, "r" if flags == os.O_RDONLY else "r+") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        yield stream


def _lock(stream: io.FileIO) -> None:
    """Wait for the exclusive lock, which ends with the file; nothing where there are none."""
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(stream.fileno(), fcntl.LOCK_EX)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _own_digest(content: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(canonical_json(rest).encode()).hexdigest()


def _entry(content: Mapping[str, Any]) -> LedgerEntry:
    names = LedgerEntry.__dataclass_fields__
    return LedgerEntry(**{key: value for key, value in content.items() if key in names})


def _parse(data: bytes) -> LedgerState:
    entries: list[LedgerEntry] = []
    problems: list[str] = []
    if not data:
        return LedgerState()
    lines = data.rstrip(b"\n").split(b"\n")
    previous = _START
    for number, line in enumerate(lines, start=1):
        content = _content(line)
        if content is None:
            torn = number == len(lines) and not data.endswith(b"\n")
            problems.append(
                f"Line {number} of the ledger is torn: an audit was stopped while writing it."
                if torn
                else f"Line {number} of the ledger cannot be read, so it is not counted."
            )
        else:
            if content["previous"] != previous:
                problems.append(
                    f"Line {number} of the ledger does not follow the line before it: lines were "
                    "changed, added or removed."
                )
            if content["sha256"] != _own_digest(content):
                problems.append(f"Line {number} of the ledger was changed after it was written.")
            entries.append(_entry(content))
        previous = hashlib.sha256(line).hexdigest()
    return LedgerState(tuple(entries), tuple(problems))


def _content(line: bytes) -> dict[str, Any] | None:
    """Return a line's content, or None if it is no entry of this version."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        return None
    texts = all(isinstance(content.get(key), str) for key in _TEXTS)
    if not texts or content["kind"] not in ("audit", "registration"):
        return None
    if content["kind"] == "audit":
        counted = isinstance(content.get("images"), int)
        named = all(isinstance(content.get(key), str) for key in ("synthetic", "verdict"))
        if not counted or not named:
            return None
    return content
