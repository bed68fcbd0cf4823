"""What the errors of this package have in common."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["InputError"]


class InputError(ValueError):
    """What is given cannot be used; messages show no patient's value.

    Attributes:
        message: One line saying what was refused.
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
