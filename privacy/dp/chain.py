"""A chain of entries in one SQLite file, to which is only ever added.

Every entry carries the SHA-256 of the one before it. Entries that are changed, removed or put in
between are found when the chain is read; for entries cut off at the end, and for a chain written
anew, compare :attr:`Chain.head` with what was noted elsewhere (:meth:`Chain.check_head`).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from privacy.dp.errors import LedgerError

__all__ = ["Chain", "Transaction"]

Entry = dict[str, Any]

_FIRST: Final = "0" * 64
_WAIT_SECONDS: Final = 60.0


class Transaction:
    """The chain while nobody else can write; see :meth:`Chain.transaction`.

    Attributes:
        entries: All of them, checked from the first to the last.
    """

    def __init__(self, database: sqlite3.Connection, checked: list[tuple[Entry, str]]) -> None:
        self.entries = [entry for entry, _ in checked]
        self.written: list[tuple[Entry, str]] = []
        self._database = database
        self._last = checked[-1][1] if checked else _FIRST

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write the next entry, of JSON values; its number and time are added."""
        number = len(self.entries) + 1
        now = datetime.now(UTC).isoformat(timespec="seconds")
        body = json.dumps({"number": number, "time": now, **entry}, sort_keys=True)
        self._last = _digest(self._last, body)
        self._database.execute("INSERT INTO entries VALUES (?, ?, ?)", (number, body, self._last))
        self.entries.append(json.loads(body))
        self.written.append((self.entries[-1], self._last))


class Chain:
    """See the module. Make one with :meth:`create`, or give the path of one.

    Args:
        path: Its file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._checked: list[tuple[Entry, str]] = []  # with their digests; not read again

    @classmethod
    def create(cls, path: Path, first: Mapping[str, Any]) -> Chain:
        """Make a chain of one entry.

        Args:
            path: A file that does not exist.
            first: The entry; a secret salt is added.

        Raises:
            LedgerError: There is a file, or none can be made there.
        """
        # Digests that leave the site must not let anybody try out who is in the data.
        salted = {**first, "salt": secrets.token_hex(16)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
            os.close(handle)
            try:
                with cls(Path(name))._connection() as database:
                    database.execute(
                        "CREATE TABLE entries (number INTEGER PRIMARY KEY, body, digest)"
                    )
                    Transaction(database, []).append(salted)
                try:
                    os.link(name, path)  # whole or not at all, and never over another
                except FileExistsError:
                    raise LedgerError(f"{path} exists; a ledger is never replaced.") from None
            finally:
                os.unlink(name)
        except OSError as error:
            raise LedgerError(
                f"{path} cannot be made ({error.strerror}). A ledger needs a place that can be "
                "written and a file system with hard links, which FAT and some network drives lack."
            ) from error
        return cls(path)

    @property
    def head(self) -> str:
        """Number and digest of the last entry."""
        with self.transaction():
            return f"{len(self._checked)}:{self._checked[-1][1]}"

    def check_head(self, head: str) -> None:
        """Check that an entry that was the last one once is still there.

        Raises:
            LedgerError: The chain was cut or written anew since.
        """
        number, _, digest = head.partition(":")
        with self.transaction():
            held = [one for _, one in self._checked]
        if not (number.isdecimal() and held[int(number) - 1 : int(number)] == [digest]):
            raise LedgerError(
                f"{self.path.name} does not hold entry {number} that a record names: it was cut, "
                "written anew, or is another one."
            )

    def commitment(self, text: str) -> str:
        """A digest of a text that tells nothing to whom the chain is not open."""
        key = bytes.fromhex(self.entries()[0]["salt"])
        return "hmac-sha256:" + hmac.new(key, text.encode(), "sha256").hexdigest()

    def entries(self) -> list[Entry]:
        """All entries, checked from the first to the last.

        Raises:
            LedgerError: The chain is missing, damaged or edited, or holds no salt.
        """
        with self.transaction() as reading:
            return reading.entries

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """All entries, and the right to add some, until the block ends; others wait meanwhile.

        What was added is kept if the block ends without an error, else none of it.

        Raises:
            LedgerError: See :meth:`entries`; or another run has held the file for a minute.
        """
        with self._connection() as database:
            self._read(database)
            transaction = Transaction(database, self._checked)
            yield transaction
        self._checked += transaction.written

    def _read(self, database: sqlite3.Connection) -> None:
        """Check what was written since the last time, and that the rest is still there."""
        known = len(self._checked)
        before = _FIRST
        if known:
            before = self._checked[-1][1]
            row = database.execute("SELECT digest FROM entries WHERE number = ?", (known,))
            if row.fetchone() != (before,):
                raise _broken(known)
        rows = database.execute(
            "SELECT number, body, digest FROM entries WHERE number > ? ORDER BY number", (known,)
        )
        for place, (number, body, digest) in enumerate(rows, start=known + 1):
            if number != place or not isinstance(body, str) or _digest(before, body) != digest:
                raise _broken(place)
            self._checked.append((json.loads(body), digest))
            before = digest
        if not self._checked:
            raise LedgerError(f"{self.path.name} holds no ledger.")
        if not re.fullmatch("[0-9a-f]{32}", str(self._checked[0][0].get("salt"))):
            raise LedgerError(f"{self.path.name} holds no salt, so it was not made as a ledger.")

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection that has the file for itself until the block ends."""
        try:
            # An address, because a path alone would make the file where it is missing.
            database = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=_WAIT_SECONDS,
                isolation_level=None,
            )
            try:
                database.execute("PRAGMA synchronous = EXTRA")  # a charge survives a power cut
                database.execute("BEGIN IMMEDIATE")
                try:
                    yield database
                except BaseException:
                    database.execute("ROLLBACK")
                    raise
                database.execute("COMMIT")
            finally:
                database.close()
        except sqlite3.Error as error:
            raise LedgerError(
                f"{self.path.name} cannot be read or written as a ledger ({error}). Nothing was "
                "charged, so nothing may be computed."
            ) from error


def _digest(before: str, body: str) -> str:
    return hashlib.sha256(f"{before}\n{body}".encode()).hexdigest()


def _broken(place: int) -> LedgerError:
    return LedgerError(
        f"The ledger was edited or damaged at entry {place}: its chain does not hold. Restore it "
        "from a backup; what was spent is no longer known."
    )
