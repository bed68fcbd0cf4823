"""How near an image comes to the nearest training patient, and to the next one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from privacy.guard.channels import Channel
from privacy.guard.framings import FloatArray

__all__ = ["Nearness", "Reference"]

Images = npt.NDArray[np.uint8]

_BLOCK = 64


class Nearness(NamedTuple):
    """How near each of m images comes to training patients in one channel.

    Attributes:
        distance: float64 ``(m,)``, to the nearest image of any patient under any view.
        ratio: float64 ``(m,)``, that distance over the distance to the next patient; 1 where
            there is no other patient or both distances are zero.
    """

    distance: FloatArray
    ratio: FloatArray


@dataclass(frozen=True, eq=False)
class Reference:
    """Training images in one channel. Personal data.

    Attributes:
        channel: What images are compared by.
        vectors: float64 ``(n, d)``, images of one patient side by side.
        starts: int64 ``(patients,)``, first row of each patient.
    """

    channel: Channel
    vectors: FloatArray
    starts: npt.NDArray[np.int64]

    def nearness(self, images: Images) -> Nearness:
        """Compare images with all training patients.

        Args:
            images: uint8 ``(m, H, W)``.

        Returns:
            Two numbers an image. They depend on that image alone, up to rounding in double
            precision.
        """
        blocks = [
            self._block(images[begin : begin + _BLOCK]) for begin in range(0, len(images), _BLOCK)
        ]
        nearest = np.concatenate([*blocks, np.empty((0, 2))])
        first, second = nearest.T
        known = np.isfinite(second) & (second > 0)
        return Nearness(first, np.where(known, first / np.where(known, second, 1.0), 1.0))

    def _block(self, images: Images) -> FloatArray:
        """Distances to the nearest two patients, ``(m, 2)``; infinity where there is no second."""
        squares = np.square(self.vectors).sum(axis=1)
        least = np.full((len(images), len(self.starts)), np.inf)
        for view in self.channel.views(images):
            squared = np.square(view).sum(axis=1, keepdims=True) + squares
            squared -= 2 * view @ self.vectors.T
            np.minimum(least, np.minimum.reduceat(squared, self.starts, axis=1), out=least)
        if least.shape[1] == 1:
            least = np.column_stack([least, np.full(len(images), np.inf)])
        nearest: FloatArray = np.partition(least, 1, axis=1)[:, :2]
        # Rounding may leave a trace below zero.
        return np.sqrt(np.maximum(nearest, 0.0))
