"""Verbs that need more than the light core say what to install."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from bussynth.dependencies import missing_dependency

__all__ = ["full"]

_P = ParamSpec("_P")
_R = TypeVar("_R")


def full(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Name what to install when the light core is not enough."""

    @functools.wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except ModuleNotFoundError as error:
            absent = missing_dependency(error)
            if absent is None:
                raise
            raise absent from error

    return run
