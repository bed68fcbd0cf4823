"""The shape of the encoder, as plain numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from audits.errors import AuditInputError

__all__ = ["Architecture"]

_LIMITS = {"side": (16, 128), "width": (8, 256), "dimensions": (8, 1024)}


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """What decides the shapes of the weights.

    Attributes:
        side: Side to which images are reduced, in pixels; a multiple of 16.
        width: Channels of the first stage; a multiple of 8. Later stages have twice and four
            times as many.
        dimensions: Length of the vectors.
    """

    side: int = 48
    width: int = 48
    dimensions: int = 128

    def __post_init__(self) -> None:
        """Refuse shapes that cannot be built.

        Raises:
            AuditInputError: Lists every problem.
        """
        problems = []
        for name, (low, high) in _LIMITS.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                problems.append(f"{name}: expected an integer from {low} to {high}. Got {value!r}.")
        if not problems and (self.side % 16 or self.width % 8):
            problems.append("side must be a multiple of 16 and width of 8.")
        if problems:
            raise AuditInputError("This encoder cannot be built.", problems)

    @classmethod
    def for_images(cls, images: npt.NDArray[np.uint8]) -> Architecture:
        """The default shape, smaller where the images are: no detail is invented.

        Args:
            images: uint8 (n, H, W).
        """
        side = min(images.shape[1:]) // 16 * 16
        return cls(side=max(_LIMITS["side"][0], min(cls.side, side)))

    def to_dict(self) -> dict[str, int]:
        """The numbers by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """Read what :meth:`to_dict` gave.

        Raises:
            AuditInputError: A number is missing, unknown or out of range.
        """
        if set(values) != {field.name for field in fields(cls)}:
            raise AuditInputError("The encoder's architecture lacks numbers or has unknown ones.")
        return cls(**values)
