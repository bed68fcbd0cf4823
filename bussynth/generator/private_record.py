"""The privacy claim in a record: numbers and statement, written from the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from privacy.dp.ledger import Ledger
from privacy.dp.statement import state

__all__ = ["privacy_record"]

_LOTTERY: Final = (
    "which patients the lottery gave to training: it was drawn over all patients of the site before"
)
_TUNING: Final = (
    "settings are the defaults or were typed by the site; a choice made after looking at these "
    "patients without the ledger is not covered"
)


def privacy_record(
    ledger: Ledger, covered: Sequence[str], public_inputs: Mapping[str, str]
) -> dict[str, Any]:
    """The claim ``formal-dp`` with its statement, as plain values for JSON.

    Args:
        ledger: Of the cohort that was learned from.
        covered: What is released under the guarantee.
        public_inputs: What came from elsewhere and has seen none of the patients: name to digest.
    """
    statement = state(
        ledger,
        covered=covered,
        not_covered=(_LOTTERY,),
        public_inputs=public_inputs,
        tuning=_TUNING,
    ).to_dict()
    guarantee = statement["guarantee"]
    return {
        "claim": "formal-dp",
        "epsilon": guarantee["epsilon"],
        "delta": guarantee["delta"],
        "unit": guarantee["unit"],
        "statement": statement,
    }
