"""The errors of differential privacy: what is given wrong, and what must not be spent."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["BudgetError", "DPInputError", "LedgerError"]


class DPInputError(ValueError):
    """Settings, modules or data that no guarantee can be given for; shows no patient's value.

    Attributes:
        message: One line saying what was refused, and what to do.
        problems: All problems, one line each.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        """Keep the message and the list of problems."""
        self.message = message
        self.problems = tuple(problems)
        super().__init__(message, self.problems)

    def __str__(self) -> str:
        """The message, then the problems, one a line."""
        return "\n".join([self.message, *(f"  - {problem}" for problem in self.problems)])


class BudgetError(DPInputError):
    """A step that would spend more than is left; nothing was done."""


class LedgerError(DPInputError):
    """A ledger that is missing, damaged, edited or of other patients."""
