"""What a feature space is: a name and a map from images to vectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["FeatureMap", "FloatArray"]

FloatArray = npt.NDArray[np.float32]


class FeatureMap(Protocol):
    """Turns images into vectors between which Euclidean distance means likeness.

    Attributes:
        name: Unique, for example ``"pixels 32"``.
        family: Kind of space: pixels, hash, gradients, random, learned or user.
    """

    @property
    def name(self) -> str:
        """Unique name."""
        ...

    @property
    def family(self) -> str:
        """Kind of space."""
        ...

    def features(self, images: npt.NDArray[np.uint8], *, mirrored: bool = False) -> FloatArray:
        """Vectors of images.

        Args:
            images: uint8 (n, H, W).
            mirrored: Mirror left-right first.

        Returns:
            float32 (n, d), rows of unit norm, zeros for an image without content. Row i depends
            on image i alone, whatever else is in the batch.
        """
        ...

    def describe(self) -> Mapping[str, Any]:
        """What a report says of the space, as JSON types; no value of any patient."""
        ...
