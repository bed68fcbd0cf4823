"""The errors of differential privacy: what is given wrong, and what must not be spent."""

from __future__ import annotations

from privacy.errors import InputError

__all__ = ["BudgetError", "DPInputError", "LedgerError"]


class DPInputError(InputError):
    """Settings, modules or data that no guarantee can be given for."""


class BudgetError(DPInputError):
    """A step that would spend more than is left; nothing was done."""


class LedgerError(DPInputError):
    """A ledger that is missing, damaged, edited or of other patients."""
