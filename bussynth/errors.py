"""Exceptions raised by bussynth; each knows the exit code of the command line.

::

    BussynthError                      1  something is wrong with bussynth itself
    ├── UsageError (ValueError)        2  an argument or a configuration is wrong
    │   └── MissingDependencyError     2  an optional dependency is not installed
    │       (ImportError)
    ├── DataError (ValueError)         3  the input data were refused
    ├── AuditGateError (RuntimeError)  4  the privacy audit forbids the step
    └── IntegrityError (RuntimeError)  5  a signature or a digest does not match

Messages name the thing, the place and the remedy. They never hold a value that may
belong to a patient: rows are referred to by number, columns by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

__all__ = [
    "AuditGateError",
    "BussynthError",
    "DataError",
    "IntegrityError",
    "MissingDependencyError",
    "UsageError",
]

_MAX_SHOWN = 20


class BussynthError(Exception):
    """Root of all exceptions raised on purpose by bussynth.

    Args:
        message: One line: what is wrong, where, and what to do.
        problems: All single findings behind the message, one line each. The text of the
            exception shows the first 20 of them and counts the rest.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.problems = tuple(problems)

    def __str__(self) -> str:
        lines = [self.message, *(f"  - {problem}" for problem in self.problems[:_MAX_SHOWN])]
        if len(self.problems) > _MAX_SHOWN:
            lines.append(f"  … and {len(self.problems) - _MAX_SHOWN} more")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[type[BussynthError], tuple[str, tuple[str, ...]]]:
        return type(self), (self.message, self.problems)


class UsageError(BussynthError, ValueError):
    """An argument, an option or a configuration file is wrong."""

    exit_code = 2


class MissingDependencyError(UsageError, ImportError):
    """An optional dependency is missing; the message holds the line that installs it."""


class DataError(BussynthError, ValueError):
    """Input data were refused."""

    exit_code = 3


class AuditGateError(BussynthError, RuntimeError):
    """The privacy audit is missing, foreign or failed, so the step is forbidden."""

    exit_code = 4


class IntegrityError(BussynthError, RuntimeError):
    """A signature, a digest or the set of files is not what it should be."""

    exit_code = 5
