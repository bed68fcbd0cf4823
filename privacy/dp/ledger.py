"""The ledger: what has looked at the patients, charged before it looks.

One SQLite file for one set of patients. A mechanism is registered with all the steps it may take,
which reserves their cost under the cap; each step is charged **before** it is taken, so that a run
killed at any moment has paid for everything it may have seen. What was registered and will never
be taken is given back with :meth:`Ledger.close`. Two runs that register at the same moment wait for
each other, so together they cannot exceed the cap either.

Every entry carries the SHA-256 of the one before it. Entries that are changed, removed or put in
between are found when the ledger is opened; for entries cut off at the end, and for a ledger
written anew, compare :attr:`Ledger.head` with what a model's record holds
(:meth:`Ledger.check_head`).

There is no way to raise a cap: it is the promise that was made to the patients.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from privacy.dp.accounting import ADJACENCY, Spent, check_delta, epsilon
from privacy.dp.errors import BudgetError, DPInputError, LedgerError
from privacy.dp.mechanism import SampledGaussian

__all__ = ["SCHEMA", "Cap", "Ledger", "Registered"]

SCHEMA: Final = "bussynth-ledger/1"
_FIRST: Final = "0" * 64
_WAIT_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Cap:
    """What all mechanisms together may cost, ever. All fields are public.

    Attributes:
        epsilon: Largest epsilon, above 0.
        delta: Its delta.
        patients: A public upper bound on the number of patients, against which delta is judged.
    """

    epsilon: float
    delta: float
    patients: int

    def __post_init__(self) -> None:
        """Check that the promise means something."""
        if not 0 < self.epsilon < float("inf"):
            raise DPInputError(f"epsilon={self.epsilon!r} must be a number above 0.")
        check_delta(self.delta, self.patients)


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A mechanism in the ledger.

    Attributes:
        identity: Its name in the ledger.
        purpose: What it was for.
        mechanism: As planned, with all steps.
        taken: Steps charged.
        closed: Whether the rest was given back.
        public: Further public settings.
    """

    identity: str
    purpose: str
    mechanism: SampledGaussian
    taken: int
    closed: bool
    public: Mapping[str, Any]

    @property
    def charged(self) -> SampledGaussian:
        """The mechanism with the steps charged."""
        return replace(self.mechanism, steps=self.taken)

    @property
    def reserved(self) -> SampledGaussian:
        """The mechanism with the steps it has taken or may still take."""
        return self.charged if self.closed else self.mechanism


class Ledger:
    """See the module. Open one with :meth:`create`, :meth:`open` or :meth:`create_or_open`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Entries that were read or written, with their digests; those written in a transaction that
        # is still open come apart.
        self._checked: list[tuple[dict[str, Any], str]] = []
        self._written: list[tuple[dict[str, Any], str]] = []

    @classmethod
    def create(cls, path: Path, *, subject: str, cap: Cap) -> Ledger:
        """Make a ledger.

        Args:
            path: A file that does not exist.
            subject: What names the patients it is for, such as a digest.
            cap: What may be spent.

        Raises:
            LedgerError: There is a file.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        os.close(handle)
        try:
            ledger = cls(Path(name))
            with ledger._transaction() as database:
                database.execute("CREATE TABLE entries (number INTEGER PRIMARY KEY, body, digest)")
                first = {"kind": "open", "schema": SCHEMA, "subject": subject, "cap": asdict(cap)}
                ledger._append(database, first)
            try:
                os.link(name, path)  # whole or not at all, and never over another
            except FileExistsError:
                raise LedgerError(f"{path} exists; a ledger is never replaced.") from None
        finally:
            os.unlink(name)
        return cls.open(path, subject=subject)

    @classmethod
    def open(cls, path: Path, *, subject: str) -> Ledger:
        """Open a ledger and check it from end to end.

        Args:
            path: Its file.
            subject: As given to :meth:`create`.

        Raises:
            LedgerError: It is missing, damaged, edited, of a newer version, or of other patients.
        """
        if not path.is_file():
            raise LedgerError(
                f"There is no ledger {path.name}. If these patients were looked at under a "
                "guarantee before, find it: without it nobody knows what was spent."
            )
        ledger = cls(path)
        first = ledger.entries()[0]
        if first.get("subject") != subject:
            raise LedgerError(
                f"{path.name} is the ledger of other patients. Give the one of these; if images "
                "or patients were added, that is another cohort, and what it shares with the old "
                "one was spent there too."
            )
        return ledger

    @classmethod
    def create_or_open(cls, path: Path, *, subject: str, cap: Cap) -> Ledger:
        """Open a ledger, or make it where there is none.

        Raises:
            LedgerError: See :meth:`open`; or its cap is another one.
        """
        if not path.exists():
            try:
                return cls.create(path, subject=subject, cap=cap)
            except LedgerError:
                pass  # another run was faster
        ledger = cls.open(path, subject=subject)
        if ledger.cap != cap:
            raise LedgerError(
                f"The cap of {path.name} is epsilon {ledger.cap.epsilon:g} at delta "
                f"{ledger.cap.delta:g} for at most {ledger.cap.patients} patients, and stays so."
            )
        return ledger

    @property
    def cap(self) -> Cap:
        """What may be spent."""
        return Cap(**self.entries()[0]["cap"])

    @property
    def head(self) -> str:
        """Number and digest of the last entry: what a model's record keeps."""
        with self._transaction() as database:
            number = len(self._entries(database))
        return f"{number}:{self._checked[-1][1]}"

    def check_head(self, head: str) -> None:
        """Check that an entry that a record names is still there.

        Raises:
            LedgerError: The ledger was cut or written anew since.
        """
        number, _, digest = head.partition(":")
        with self._transaction() as database:
            row = database.execute(
                "SELECT digest FROM entries WHERE number = ?", (int(number),)
            ).fetchone()
        if row is None or row[0] != digest:
            raise LedgerError(
                f"{self.path.name} does not hold entry {number} that a record names: it was cut, "
                "written anew, or is another one."
            )

    def register(
        self, purpose: str, mechanism: SampledGaussian, public: Mapping[str, Any] | None = None
    ) -> str:
        """Reserve the cost of a mechanism.

        Args:
            purpose: What it is for, in a few words.
            mechanism: With all steps it may take.
            public: Further settings to keep; public ones only, of JSON.

        Returns:
            Its name in the ledger.

        Raises:
            BudgetError: It would exceed the cap with what is charged or reserved; nothing was
                written.
        """
        if mechanism.steps < 1:
            raise DPInputError("A mechanism to register takes at least one step.")
        identity = secrets.token_hex(8)
        with self._transaction() as database:
            entries = self._entries(database)
            cap = Cap(**entries[0]["cap"])
            before = [one.reserved for one in _registered(entries)]
            planned = epsilon([*before, mechanism], cap.delta).epsilon
            if planned > cap.epsilon:
                spent = epsilon(before, cap.delta).epsilon
                raise BudgetError(
                    f"This would bring epsilon from {spent:.3g} to {planned:.3g} at delta "
                    f"{cap.delta:.3g}; the cap of these patients is {cap.epsilon:g}. Take fewer "
                    "steps, more noise or a lower sampling rate."
                )
            self._append(
                database,
                {
                    "kind": "register",
                    "mechanism": identity,
                    "purpose": purpose,
                    "gaussian": asdict(mechanism),
                    "public": dict(public or {}),
                },
            )
        return identity

    def charge(self, identity: str) -> int:
        """Pay for the next step of a mechanism; take the step only after this returns.

        Returns:
            The number of the step, from 1.

        Raises:
            BudgetError: All planned steps are charged, or the mechanism is closed.
        """
        with self._transaction() as database:
            one = _find(self._entries(database), identity)
            if one.closed or one.taken >= one.mechanism.steps:
                why = "it is closed" if one.closed else f"all {one.mechanism.steps} are charged"
                raise BudgetError(f"No further step may be taken: {why}.")
            self._append(database, {"kind": "charge", "mechanism": identity, "step": one.taken + 1})
        return one.taken + 1

    def close(self, identity: str) -> None:
        """Give back the steps of a mechanism that will never be taken. Closing twice is fine."""
        with self._transaction() as database:
            if not _find(self._entries(database), identity).closed:
                self._append(database, {"kind": "close", "mechanism": identity})

    def registered(self) -> tuple[Registered, ...]:
        """All mechanisms, in the order they came."""
        return tuple(_registered(self.entries()))

    def spent(self) -> Spent:
        """What was charged, together, at the delta of the cap."""
        return epsilon([one.charged for one in self.registered()], self.cap.delta)

    def entries(self) -> list[dict[str, Any]]:
        """All entries, checked from the first to the last.

        Raises:
            LedgerError: See :meth:`open`.
        """
        with self._transaction() as database:
            return self._entries(database)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: cap, mechanisms, totals and the head of the chain."""
        spent = self.spent()
        return {
            "schema": SCHEMA,
            "adjacency": ADJACENCY,
            "cap": asdict(self.cap),
            "spent": {"epsilon": spent.epsilon, **asdict(spent)},
            "mechanisms": [
                {
                    "mechanism": one.identity,
                    "purpose": one.purpose,
                    **asdict(one.mechanism),
                    "taken": one.taken,
                    "closed": one.closed,
                    "public": dict(one.public),
                }
                for one in self.registered()
            ],
            "head": self.head,
        }

    def _entries(self, database: sqlite3.Connection) -> list[dict[str, Any]]:
        """All entries; those that were checked before are not read again."""
        known = len(self._checked)
        if known:
            before = self._checked[-1][1]
            row = database.execute("SELECT digest FROM entries WHERE number = ?", (known,))
            if row.fetchone() != (before,):
                raise _broken(known)
        else:
            before = _FIRST
        rows = database.execute(
            "SELECT number, body, digest FROM entries WHERE number > ? ORDER BY number", (known,)
        )
        for place, (number, body, digest) in enumerate(rows, start=known + 1):
            if number != place or not isinstance(body, str) or _digest(before, body) != digest:
                raise _broken(place)
            self._checked.append((json.loads(body), digest))
            before = digest
        entries = [entry for entry, _ in self._checked]
        if not entries or entries[0].get("kind") != "open":
            raise LedgerError("The file holds no ledger.")
        schema = entries[0].get("schema")
        if schema != SCHEMA:
            raise LedgerError(f"The ledger is of schema {schema!r}; this version reads {SCHEMA}.")
        return entries

    def _append(self, database: sqlite3.Connection, entry: Mapping[str, Any]) -> None:
        """Write the next entry; call after :meth:`_entries`."""
        known = self._written or self._checked
        before = known[-1][1] if known else _FIRST
        number = len(self._checked) + len(self._written) + 1
        now = datetime.now(UTC).isoformat(timespec="seconds")
        body = json.dumps({"number": number, "time": now, **entry}, sort_keys=True)
        digest = _digest(before, body)
        database.execute("INSERT INTO entries VALUES (?, ?, ?)", (number, body, digest))
        self._written.append((json.loads(body), digest))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A connection that has the file for itself until the block ends."""
        database = sqlite3.connect(self.path, timeout=_WAIT_SECONDS, isolation_level=None)
        try:
            database.execute("PRAGMA synchronous = EXTRA")  # a charge survives a power cut
            database.execute("BEGIN IMMEDIATE")
            self._written = []
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
            self._checked += self._written
        except sqlite3.Error as error:
            raise LedgerError(
                f"{self.path.name} cannot be read or written as a ledger ({error}). Nothing was "
                "charged, so nothing may be computed."
            ) from error
        finally:
            database.close()


def _digest(before: str, body: str) -> str:
    return hashlib.sha256(f"{before}\n{body}".encode()).hexdigest()


def _broken(place: int) -> LedgerError:
    return LedgerError(
        f"The ledger was edited or damaged at entry {place}: its chain does not hold. Restore it "
        "from a backup; what was spent is no longer known."
    )


def _registered(entries: Sequence[Mapping[str, Any]]) -> Iterator[Registered]:
    taken: dict[str, int] = {}
    closed = set()
    for entry in entries:
        if entry["kind"] == "charge":
            taken[entry["mechanism"]] = taken.get(entry["mechanism"], 0) + 1
        elif entry["kind"] == "close":
            closed.add(entry["mechanism"])
    for entry in entries:
        if entry["kind"] == "register":
            identity = entry["mechanism"]
            yield Registered(
                identity=identity,
                purpose=entry["purpose"],
                mechanism=SampledGaussian(**entry["gaussian"]),
                taken=taken.get(identity, 0),
                closed=identity in closed,
                public=entry["public"],
            )


def _find(entries: Sequence[Mapping[str, Any]], identity: str) -> Registered:
    for one in _registered(entries):
        if one.identity == identity:
            return one
    raise LedgerError("The mechanism is not in this ledger: it belongs to another one.")
