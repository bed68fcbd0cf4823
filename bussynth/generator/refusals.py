"""Refusals of ``privacy`` as errors of bussynth, which know their exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bussynth.errors import UsageError
from privacy.dp.errors import DPInputError

__all__ = ["refusals"]


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what ``privacy.dp`` refuses into a usage error; a block, or a decorator."""
    try:
        yield
    except DPInputError as error:
        raise UsageError(error.message, error.problems) from error
