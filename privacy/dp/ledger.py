"""The ledger: what has looked at the patients, charged before it looks.

One file for one set of patients. Mechanisms that are registered together are a **plan**, which
reserves the cost of all their steps under the cap. Each step is charged **before** it is taken, so
that a run killed at any moment has paid for everything it may have seen. With its first step a plan
is spent as a whole, however few follow: to stop may be an answer to what was seen, and then no
theorem says that it saves anything. What is closed before that is given back. Runs that register
at the same moment cannot exceed the cap together either.

The parameters of a plan may depend on what earlier plans released. While there is one plan, the cap
is proved by composing mechanisms that were fixed before anybody looked; from the second on, by a
Renyi filter (:func:`privacy.dp.accounting.filter_epsilon`), under which all plans must fit as well.
So **the cap** holds for everything together, however later plans, and whether there are any, follow
from results. The epsilon of :meth:`Ledger.spent` is what those plans cost that were begun, and is
proved as if nobody could have gone on to others.

There is no way to raise a cap: it is the promise that was made to the patients.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from privacy.dp.accounting import ADJACENCY, Spent, check_delta, epsilon, filter_epsilon
from privacy.dp.chain import Chain
from privacy.dp.errors import BudgetError, DPInputError, LedgerError
from privacy.dp.mechanism import SampledGaussian
from privacy.dp.rounding import rounded_up

__all__ = ["SCHEMA", "Cap", "Ledger", "Registered"]

SCHEMA: Final = "bussynth-ledger/1"


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
        plan: Number of the entry that registered it: mechanisms of a plan share it.
        purpose: What it was for.
        mechanism: As planned, with all steps.
        taken: Steps charged.
        begun: Whether a step of its plan was charged before it was closed.
        closed: Whether no step will follow.
        public: Further public settings.
    """

    identity: str
    plan: int
    purpose: str
    mechanism: SampledGaussian
    taken: int
    begun: bool
    closed: bool
    public: Mapping[str, Any]

    @property
    def spent(self) -> SampledGaussian:
        """The mechanism with the steps that are spent: all of them, or none."""
        return self.mechanism if self.begun else replace(self.mechanism, steps=0)

    @property
    def reserved(self) -> SampledGaussian:
        """The mechanism with the steps that are spent or may still be: all of them, or none."""
        return self.spent if self.closed else self.mechanism


class Ledger:
    """See the module. Open one with :meth:`create`, :meth:`open` or :meth:`create_or_open`."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain

    @classmethod
    def create(cls, path: Path, *, subject: str, cap: Cap) -> Ledger:
        """Make a ledger.

        Args:
            path: A file that does not exist.
            subject: What names the patients it is for, such as a digest.
            cap: What may be spent.

        Raises:
            LedgerError: There is a file, or none can be made there.
        """
        Chain.create(
            path, {"kind": "open", "schema": SCHEMA, "subject": subject, "cap": asdict(cap)}
        )
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
        chain = Chain(path)
        first = chain.entries()[0]
        if first.get("schema") != SCHEMA:
            raise LedgerError(
                f"The ledger is of schema {first.get('schema')!r}; this version reads {SCHEMA}."
            )
        if first.get("subject") != subject:
            raise LedgerError(
                f"{path.name} is the ledger of other patients. Give the one of these; if images "
                "or patients were added, that is another cohort, and what it shares with the old "
                "one was spent there too."
            )
        return cls(chain)

    @classmethod
    def create_or_open(cls, path: Path, *, subject: str, cap: Cap) -> Ledger:
        """Open a ledger, or make it where there is none.

        Raises:
            LedgerError: See :meth:`create` and :meth:`open`; or its cap is another one.
        """
        if not path.exists():
            try:
                return cls.create(path, subject=subject, cap=cap)
            except LedgerError:
                if not path.exists():
                    raise
                # Another run was faster.
        ledger = cls.open(path, subject=subject)
        if ledger.cap != cap:
            raise LedgerError(
                f"The cap of {path.name} is epsilon {ledger.cap.epsilon:g} at delta "
                f"{ledger.cap.delta:g} for at most {ledger.cap.patients} patients, and stays so."
            )
        return ledger

    @property
    def path(self) -> Path:
        """Its file."""
        return self._chain.path

    @property
    def cap(self) -> Cap:
        """What may be spent."""
        return Cap(**self.entries()[0]["cap"])

    @property
    def commitment(self) -> str:
        """A digest of the subject that tells nothing to whom the ledger is not open."""
        return self._chain.commitment(self.entries()[0]["subject"])

    @property
    def head(self) -> str:
        """Number and digest of the last entry: what a model's record keeps."""
        return self._chain.head

    def check_head(self, head: str) -> None:
        """Check that an entry that a record names is still there.

        Raises:
            LedgerError: The ledger was cut or written anew since.
        """
        self._chain.check_head(head)

    def register_plan(
        self, plan: Sequence[tuple[str, SampledGaussian, Mapping[str, Any]]]
    ) -> tuple[str, ...]:
        """Reserve the cost of mechanisms that were fixed together: of all of them, or of none.

        Args:
            plan: For each mechanism, what it is for, in a few words; the mechanism with all steps
                it may take; and further settings to keep, public ones only, of JSON.

        Returns:
            Their names in the ledger.

        Raises:
            BudgetError: They would exceed the cap with what is spent or reserved; nothing was
                written.
        """
        entry = _registration(plan)
        while True:
            # It takes a second to compute what this costs, so not while others wait for the file.
            before = self.entries()
            _check_cap(before, entry)
            with self._chain.transaction() as writing:
                if _reserved(writing.entries) == _reserved(before):
                    writing.append(entry)
                    break
        return tuple(str(one["mechanism"]) for one in entry["mechanisms"])

    def check_plan(self, mechanisms: Sequence[SampledGaussian]) -> None:
        """Check that a plan could be registered now; nothing is written.

        Raises:
            BudgetError: It would exceed the cap.
        """
        _check_cap(self.entries(), _registration([("", one, {}) for one in mechanisms]))

    def register(
        self, purpose: str, mechanism: SampledGaussian, public: Mapping[str, Any] | None = None
    ) -> str:
        """Reserve the cost of a plan of one mechanism; see :meth:`register_plan`."""
        (identity,) = self.register_plan([(purpose, mechanism, public or {})])
        return identity

    def charge(self, identity: str) -> int:
        """Pay for the next step of a mechanism; take the step only after this returns.

        Returns:
            The number of the step, from 1.

        Raises:
            BudgetError: All planned steps are charged, or the mechanism is closed.
        """
        with self._chain.transaction() as writing:
            one = _find(writing.entries, identity)
            if one.closed or one.taken >= one.mechanism.steps:
                why = "it is closed" if one.closed else f"all {one.mechanism.steps} are charged"
                raise BudgetError(f"No further step may be taken: {why}.")
            writing.append({"kind": "charge", "mechanism": identity, "step": one.taken + 1})
        return one.taken + 1

    def close(self, identity: str) -> None:
        """Take no further step of a mechanism. Closing twice is fine.

        Its cost is given back if no step of its plan was charged; else it is spent, all of it.
        """
        with self._chain.transaction() as writing:
            if not _find(writing.entries, identity).closed:
                writing.append({"kind": "close", "mechanism": identity})

    def close_idle(self) -> tuple[str, ...]:
        """Close every mechanism of a plan of which no step was charged; its cost is given back.

        A run that was about to begin one of them is refused its first step.

        Returns:
            What they were for.
        """
        with self._chain.transaction() as writing:
            idle = [one for one in _registered(writing.entries) if not one.begun | one.closed]
            for one in idle:
                writing.append({"kind": "close", "mechanism": one.identity})
        return tuple(one.purpose for one in idle)

    def registered(self) -> tuple[Registered, ...]:
        """All mechanisms, in the order they came."""
        return tuple(_registered(self.entries()))

    def spent(self) -> Spent:
        """What the plans cost that were begun, together, at the delta of the cap."""
        registered = self.registered()
        return _cost(registered, [one.spent for one in registered], self.cap)

    def entries(self) -> list[dict[str, Any]]:
        """All entries, checked from the first to the last.

        Raises:
            LedgerError: See :meth:`open`.
        """
        return self._chain.entries()

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
                    "plan": one.plan,
                    "purpose": one.purpose,
                    **asdict(one.mechanism),
                    "taken": one.taken,
                    "begun": one.begun,
                    "closed": one.closed,
                    "public": dict(one.public),
                }
                for one in self.registered()
            ],
            "head": self.head,
        }


def _registration(plan: Sequence[tuple[str, SampledGaussian, Mapping[str, Any]]]) -> dict[str, Any]:
    if not plan or any(mechanism.steps < 1 for _, mechanism, _ in plan):
        raise DPInputError("A mechanism to register takes at least one step.")
    mechanisms = [
        {
            "mechanism": secrets.token_hex(8),
            "purpose": purpose,
            "gaussian": asdict(mechanism),
            "public": dict(public),
        }
        for purpose, mechanism, public in plan
    ]
    return {"kind": "register", "mechanisms": mechanisms}


def _check_cap(entries: Sequence[Mapping[str, Any]], entry: Mapping[str, Any]) -> None:
    """Refuse an entry that would reserve too much."""
    cap = Cap(**entries[0]["cap"])
    after = list(_registered([*entries, {**entry, "number": len(entries) + 1}]))
    reserved = tuple(one.reserved for one in after)
    costs = [_cost(after, reserved, cap).epsilon]
    if _adaptive(after):
        # The very first plan, also if it was closed: it was known before anybody looked.
        first = tuple(one.mechanism for one in after if one.plan == after[0].plan)
        costs.append(filter_epsilon(reserved, cap.delta, first=first, cap=cap.epsilon))
    if not all(cost <= cap.epsilon for cost in costs):  # also where one is no number
        before = list(_registered(entries))
        spent = _cost(before, [one.reserved for one in before], cap).epsilon
        later = " Plans one after another cost more than one plan of them all."
        raise BudgetError(
            f"This would bring epsilon from {rounded_up(spent):.3g} to {rounded_up(max(costs)):.3g}"
            f" at delta {cap.delta:.3g}; the cap of these patients is {cap.epsilon:g}. Take fewer "
            f"steps, more noise or a lower sampling rate.{later if _adaptive(after) else ''}"
        )


def _cost(
    registered: Sequence[Registered], mechanisms: Sequence[SampledGaussian], cap: Cap
) -> Spent:
    return epsilon(mechanisms, cap.delta, adaptive=_adaptive(registered))


def _adaptive(registered: Sequence[Registered]) -> bool:
    """Whether plans may depend on results: there is more than one that was not given back."""
    return len({one.plan for one in registered if one.reserved.steps}) > 1


def _reserved(entries: Sequence[Mapping[str, Any]]) -> list[SampledGaussian]:
    return [one.reserved for one in _registered(entries)]


def _registered(entries: Sequence[Mapping[str, Any]]) -> Iterator[Registered]:
    taken: dict[str, int] = {}
    begun: set[str] = set()
    closed: set[str] = set()
    plans: dict[str, list[str]] = {}
    for entry in entries:
        if entry["kind"] == "register":
            names = [one["mechanism"] for one in entry["mechanisms"]]
            plans |= dict.fromkeys(names, names)
        elif entry["kind"] == "charge":
            name = entry["mechanism"]
            if name not in taken:
                begun |= set(plans[name]) - closed
            taken[name] = taken.get(name, 0) + 1
        elif entry["kind"] == "close":
            closed.add(entry["mechanism"])
    for entry in entries:
        if entry["kind"] == "register":
            for one in entry["mechanisms"]:
                name = one["mechanism"]
                yield Registered(
                    identity=name,
                    plan=entry["number"],
                    purpose=one["purpose"],
                    mechanism=SampledGaussian(**one["gaussian"]),
                    taken=taken.get(name, 0),
                    begun=name in begun,
                    closed=name in closed,
                    public=one["public"],
                )


def _find(entries: Sequence[Mapping[str, Any]], identity: str) -> Registered:
    for one in _registered(entries):
        if one.identity == identity:
            return one
    raise LedgerError("The mechanism is not in this ledger: it belongs to another one.")
