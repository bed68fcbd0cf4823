"""The one error this package raises about its inputs."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["AuditInputError"]

_SHOWN = 20


class AuditInputError(ValueError):
    """The images, patients or settings handed to an audit cannot be used.

    Every problem is collected before raising, so that one run shows all of them. Messages name
    rows and counts, never a patient key.

    Attributes:
        message: One line saying what was refused.
        problems: One line a problem, in input order.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        """Keep the message and the list of problems."""
        self.message = message
        self.problems = tuple(problems)
        super().__init__(message, self.problems)

    def __str__(self) -> str:
        """The message, then up to twenty problems, one a line."""
        lines = [self.message, *(f"  - {problem}" for problem in self.problems[:_SHOWN])]
        if len(self.problems) > _SHOWN:
            lines.append(f"  … and {len(self.problems) - _SHOWN} more")
        return "\n".join(lines)
