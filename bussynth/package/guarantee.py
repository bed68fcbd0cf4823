"""The claim ``formal-dp`` of a package: its numbers, and how they are said."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bussynth.package.reader import Reader
from privacy.dp.accounting import ADJACENCY
from privacy.dp.rounding import rounded_up
from privacy.dp.statement import UNIT

__all__ = ["Guarantee", "read_guarantee", "said"]


@dataclass(frozen=True, kw_only=True)
class Guarantee:
    """Differential privacy as a manifest states it; the statement in the package has the rest.

    Attributes:
        epsilon: Of the guarantee, above 0.
        delta: Of the guarantee, above 0 and below 1.
        unit: What is protected: a patient, with all images.
        adjacency: Which data sets are neighbours.
        statement_sha256: Digest of ``reports/privacy-statement.json``.
        ledger_checked: Whether the publisher's export compared the statement with the ledger.
    """

    epsilon: float
    delta: float
    unit: str
    adjacency: str
    statement_sha256: str
    ledger_checked: bool

    def words(self) -> str:
        """Say it in a few words; numbers are rounded up."""
        return f"epsilon {said(self.epsilon)} at delta {said(self.delta)} for {self.unit}"

    def to_predicate(self) -> dict[str, Any]:
        """Return what the manifest says of it, beside the name of the claim."""
        return {
            "epsilon": self.epsilon,
            "delta": self.delta,
            "unit": self.unit,
            "adjacency": self.adjacency,
            "statement": {"sha256": self.statement_sha256},
            "ledgerChecked": self.ledger_checked,
        }


def said(value: float) -> str:
    """An epsilon or delta for people: three digits, rounded up."""
    return f"{rounded_up(value):.3g}"


def read_guarantee(
    privacy: Mapping[str, Any], statement_sha256: str, problems: list[str]
) -> Guarantee:
    """Read the numbers of a manifest; what is wrong is added to ``problems``.

    Args:
        privacy: What the manifest says of privacy.
        statement_sha256: As it names the digest of the statement.
        problems: The list.
    """
    reader = Reader(problems)
    delta = reader.number(privacy, "delta", above=True, high=math.nextafter(1, 0))
    return Guarantee(
        epsilon=reader.number(privacy, "epsilon", above=True),
        delta=delta,
        unit=reader.one_of(privacy, "unit", (UNIT,)),
        adjacency=reader.one_of(privacy, "adjacency", (ADJACENCY,)),
        statement_sha256=statement_sha256,
        ledger_checked=reader.flag(privacy, "ledgerChecked"),
    )
