"""A sampler's forward pass as a function of arrays, whatever runs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["SHOWN", "Forward", "ForwardError", "Run"]

SHOWN: Final = 300
"""Characters of a model's own error message that are passed on."""

Run: TypeAlias = Callable[[npt.NDArray[np.float32], npt.NDArray[np.int64] | None], npt.NDArray[Any]]
"""From noise (n, c, h, w) and codes (n, columns), or None, to what the model returns."""


class ForwardError(Exception):
    """The model could not run on what it was given."""


@dataclass(frozen=True, eq=False)
class Forward:
    """An opened sampler.

    Attributes:
        run: The forward pass; it raises :class:`ForwardError`.
        versions: Of the libraries that run it.
    """

    run: Run
    versions: dict[str, str]
