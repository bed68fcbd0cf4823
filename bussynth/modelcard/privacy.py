"""What a training record promises of privacy: nothing, unless it says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bussynth.errors import IntegrityError
from bussynth.record import field, number, text

__all__ = ["DpClaim", "dp_claim"]

_CLAIM: Final = "formal-dp"


@dataclass(frozen=True, kw_only=True)
class DpClaim:
    """A promise of differential privacy.

    Attributes:
        epsilon: Of the promise.
        delta: Of the promise.
        unit: What is added or removed, such as a patient.
    """

    epsilon: float
    delta: float
    unit: str


def dp_claim(training: Mapping[str, Any]) -> DpClaim | None:
    """Read the promise of a training record, at ``privacy``, or None if there is none.

    Raises:
        IntegrityError: A promise is made without its numbers.
    """
    if field(training, "privacy", "claim") != _CLAIM:
        return None
    epsilon = number(field(training, "privacy", "epsilon"))
    delta = number(field(training, "privacy", "delta"))
    unit = text(field(training, "privacy", "unit"))
    if epsilon is None or delta is None or unit is None:
        raise IntegrityError(
            f"The training record makes a {_CLAIM} claim without epsilon, delta and unit."
        )
    return DpClaim(epsilon=epsilon, delta=delta, unit=unit)
