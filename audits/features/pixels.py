"""Pixels reduced by area averaging, centred and scaled to unit norm.

Between such vectors the squared Euclidean distance is 2 - 2 NCC, NCC being the normalised
cross-correlation, so gain and offset of the machine drop out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["PixelMap", "area_matrix", "normalised", "pixel_features", "reduce_area"]

FloatArray = npt.NDArray[np.float32]

_FLAT = 1e-3
"""Standard deviation, in grey values, below which an image counts as flat."""


@lru_cache(maxsize=256)
def area_matrix(size: int, cells: int, start: float = 0.0, stop: float | None = None) -> FloatArray:
    """Weights that average the span [start, stop) of a line into equal cells.

    Applied to rows and columns it is area resizing of any window to any size. A span reaching
    beyond the line repeats the line's end. Where cells are finer than pixels, a cell takes the
    value of the pixel it lies in.

    Args:
        size: Length of the line in pixels.
        cells: Number of cells.
        start: Beginning of the span in pixels.
        stop: End of the span in pixels; the end of the line by default.

    Returns:
        float32 (cells, size); each row sums to 1.
    """
    edges = np.linspace(start, float(size) if stop is None else stop, cells + 1)
    pixels = np.arange(size, dtype=np.float64)
    low, high = edges[:-1, None], edges[1:, None]
    left, right = pixels.copy(), pixels + 1.0
    left[0], right[-1] = -np.inf, np.inf
    overlap = np.clip(np.minimum(high, right) - np.maximum(low, left), 0.0, None)
    weights: FloatArray = (overlap / (high - low)).astype(np.float32)
    weights.flags.writeable = False  # shared by all callers
    return weights


def reduce_area(images: npt.NDArray[np.generic], size: int) -> FloatArray:
    """Area-resize images to a square.

    Args:
        images: (n, H, W), any real type.
        size: Side of the result.

    Returns:
        float32 (n, size, size) in the input's grey values.
    """
    n, height, width = images.shape
    rows, columns = area_matrix(height, size), area_matrix(width, size)
    out = np.empty((n, size, size), np.float32)
    for begin in range(0, n, 512):
        block = images[begin : begin + 512].astype(np.float32)
        out[begin : begin + 512] = np.matmul(np.matmul(rows, block), columns.T)
    return out


def normalised(vectors: npt.NDArray[np.generic]) -> FloatArray:
    """Centre each row and scale it to unit norm; a flat row becomes zeros.

    A zero vector lies at squared distance 1 from every unit vector and 0 from another flat
    image, so flat images stay comparable and never produce NaN.

    Args:
        vectors: (n, d) grey values.

    Returns:
        float32 (n, d).
    """
    out = np.empty(vectors.shape, np.float32)
    for begin in range(0, len(vectors), 512):
        block = vectors[begin : begin + 512].astype(np.float64)
        block -= block.mean(axis=1, keepdims=True)
        norm = np.sqrt(np.square(block).sum(axis=1, keepdims=True))
        flat = norm <= _FLAT * np.sqrt(vectors.shape[1])
        out[begin : begin + 512] = np.where(flat, 0.0, block / np.where(flat, 1.0, norm))
    return out


def pixel_features(
    images: npt.NDArray[np.uint8], size: int, *, mirrored: bool = False
) -> FloatArray:
    """Features of one scale.

    Args:
        images: uint8 (n, H, W).
        size: Side of the reduced image, for example 16 or 32.
        mirrored: Mirror left-right first.

    Returns:
        float32 (n, size * size), centred, unit norm (zeros for flat images).
    """
    reduced = reduce_area(images, size)
    if mirrored:
        reduced = reduced[:, :, ::-1]
    return normalised(np.ascontiguousarray(reduced).reshape(len(images), size * size))


@dataclass(frozen=True)
class PixelMap:
    """Reduced pixels as a feature space (:class:`audits.features.base.FeatureMap`).

    Gain and offset drop out; inverted grey values and changes of framing do not.

    Attributes:
        size: Side of the reduced image.
    """

    size: int

    @property
    def name(self) -> str:
        """For example ``"pixels 32"``."""
        return f"pixels {self.size}"

    @property
    def family(self) -> str:
        """``"pixels"``."""
        return "pixels"

    def features(self, images: npt.NDArray[np.uint8], *, mirrored: bool = False) -> FloatArray:
        """Vectors of images: see :func:`pixel_features`.

        Args:
            images: uint8 (n, H, W).
            mirrored: Mirror left-right first.

        Returns:
            float32 (n, size * size), centred, unit norm (zeros for flat images).
        """
        return pixel_features(images, self.size, mirrored=mirrored)

    def describe(self) -> Mapping[str, Any]:
        """Family and dimensions."""
        return {"name": self.name, "family": self.family, "dimensions": self.size**2}
