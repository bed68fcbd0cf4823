"""Asking a privacy statement again: does it follow from its mechanisms, and does a ledger know it?

A statement is written from a ledger and then copied from record to record, where an editor can
reach it. Before somebody signs one, its numbers are computed anew, and where the ledger is at
hand, compared with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from privacy.dp.accounting import attacker_power, pld_accountant, rdp_epsilon
from privacy.dp.comparisons import epsilon_replacing
from privacy.dp.errors import LedgerError
from privacy.dp.ledger import Ledger
from privacy.dp.mechanism import SampledGaussian
from privacy.dp.statement import NOT_COVERED, STATED_CAP, Statement, state

__all__ = ["contradictions", "ledger_contradictions", "stated_now"]

# Other versions of the accounting library may differ by this share; a mechanism more or less, or
# an epsilon that was typed, differs by more.
_TOLERANCE: Final = 1e-2
_GAUSSIAN: Final = ("noise_multiplier", "sampling_rate", "steps")


def contradictions(content: Mapping[str, Any]) -> list[str]:
    """Compute the numbers of a statement from its mechanisms, and say which differ.

    Privacy loss distributions are asked, not the second accountant, which says more by its error.
    Of several plans the cap is stated, which follows from no mechanism; what was begun must lie
    within it, and here that is computed.

    Args:
        content: Of a :class:`privacy.dp.statement.Statement`, of the right form.

    Returns:
        One line a problem.
    """
    delta, accounting = content["guarantee"]["delta"], content["accounting"]
    mechanisms = [
        SampledGaussian(**{key: one[key] for key in _GAUSSIAN}) for one in content["mechanisms"]
    ]
    pld = float(pld_accountant(mechanisms).get_epsilon(delta))
    capped = accounting["stated"] == STATED_CAP
    found = [("accounting.pld", accounting["pld"], pld)]
    if capped:
        found.append(("accounting.rdp", accounting["rdp"], rdp_epsilon(mechanisms, delta)))
    else:
        power, replacing = content["interpretation"], epsilon_replacing(mechanisms, delta)
        found += [
            ("accounting.epsilon_replacing", accounting["epsilon_replacing"], replacing),
            ("at_1_percent", power["at_1_percent"], attacker_power(mechanisms, 0.01)),
            ("at_0.1_percent", power["at_0.1_percent"], attacker_power(mechanisms, 0.001)),
        ]
    # A plan that another run began meanwhile may be counted beside those that are listed.
    return [
        f"{name}: {said:.6g} does not follow from the mechanisms, of which it is {proved:.6g}"
        for name, said, proved in found
        if said < proved * (1 - _TOLERANCE)
        or (not capped and said > proved * (1 + _TOLERANCE) + 1e-6)
    ]


def ledger_contradictions(content: Mapping[str, Any], ledger: Ledger) -> list[str]:
    """Say what of a statement a ledger does not know.

    Args:
        content: Of a :class:`privacy.dp.statement.Statement`, of the right form.
        ledger: Of the patients that the statement is said to be about.

    Returns:
        One line a problem: the entry that the statement names is not in the ledger, the cap is
        another one, a mechanism was not registered as it is said, or has taken fewer steps.

    Raises:
        LedgerError: The ledger is damaged or edited.
    """
    try:
        ledger.check_head(content["ledger"]["head"])
    except LedgerError as error:
        ledger.entries()  # one that is damaged is no question of the statement
        return [error.message]
    problems = []
    if dict(content["ledger"]["cap"]) != asdict(ledger.cap):
        problems.append("the cap of the ledger is another one than the statement says")
    for number, one in enumerate(content["mechanisms"], start=1):
        if not any(one["taken"] <= taken for taken in _taken(one, ledger)):
            problems.append(f"mechanism {number} of the statement is not in the ledger like this")
    return problems


def _taken(wanted: Mapping[str, Any], ledger: Ledger) -> Iterator[int]:
    """Steps taken of the mechanisms that a statement may mean."""
    for one in ledger.registered():
        same = one.begun and (one.plan, one.purpose) == (wanted["plan"], wanted["purpose"])
        if same and all(asdict(one.mechanism)[key] == wanted[key] for key in _GAUSSIAN):
            yield one.taken


def stated_now(content: Mapping[str, Any], ledger: Ledger) -> Statement:
    """Write a statement anew from the ledger as it is now, with the scope that it had.

    What was begun since counts: whoever gets this release may have got the others as well.

    Args:
        content: Of a statement that the ledger knows.
        ledger: Of the same patients.
    """
    scope = content["scope"]
    return state(
        ledger,
        covered=scope["covered"],
        public_inputs=content["public_inputs"],
        tuning=content["tuning"],
        not_covered=[one for one in scope["not_covered"] if one not in NOT_COVERED],
    )
