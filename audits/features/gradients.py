"""Orientations of edges, sign left out, on grids of two scales.

What an image shows lies in its edges; how bright it is drawn does not. Histograms of gradient
orientations over cells, relative to the contrast around (Dalal & Triggs, "Histograms of oriented
gradients for human detection", CVPR 2005, with their unsigned orientations), therefore survive
inverted grey values, gain, gamma and depth gain, and, because cells are wide, small shifts, zooms
and rotations. Two centrings are our own: what all orientations of a cell and what all cells of an
orientation have in common is taken out, or speckle and the horizontal layers of every breast would
make strangers alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from audits.features.base import FloatArray
from audits.features.pixels import reduce_area

__all__ = ["GradientMap", "pool_matrix", "unit_rows"]

_SIDE = 32
_SCALES = ((1.0, 8), (2.0, 4))
"""Sigma of the smoothing, in cells of the reduced image, and side of the grid."""
_BINS = 8
_SURROUND = 2.0
"""Sigma, in cells, of the surround to which a gradient is compared."""
_FLOOR = 1.0
"""Added to the surround, in grey values: gradients far below it are quantisation."""
_BLOCK = 256


@lru_cache(maxsize=32)
def pool_matrix(size: int, cells: int) -> FloatArray:
    """Weights that pool a line into overlapping cells, linear between their centres.

    Args:
        size: Length of the line.
        cells: Number of cells.

    Returns:
        float32 (cells, size); each row sums to 1.
    """
    width = size / cells
    centres = (np.arange(cells) + 0.5) * width
    apart = np.abs(np.arange(size) + 0.5 - centres[:, None])
    weights = np.clip(1.0 - apart / width, 0.0, None)
    result: FloatArray = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    result.flags.writeable = False  # shared by all callers
    return result


def unit_rows(vectors: npt.NDArray[np.floating], least: float) -> FloatArray:
    """Scale rows to unit norm; rows of a norm up to ``least`` become zeros.

    Args:
        vectors: (n, d).
        least: Norm that rounding alone may reach.

    Returns:
        float32 (n, d).
    """
    wide = vectors.astype(np.float64)
    norm = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
    empty = norm <= least
    result: FloatArray = np.where(empty, 0.0, wide / np.where(empty, 1.0, norm)).astype(np.float32)
    return result


@lru_cache(maxsize=32)
def _blur_matrix(sigma: float) -> FloatArray:
    """What a Gaussian filter does to a line: two small products are faster than the filter."""
    from scipy.ndimage import gaussian_filter1d

    line: FloatArray = gaussian_filter1d(
        np.eye(_SIDE, dtype=np.float32), sigma, axis=0, truncate=3.0, mode="nearest"
    )
    line.flags.writeable = False  # shared by all callers
    return line


def _smooth(values: FloatArray, sigma: float) -> FloatArray:
    blur = _blur_matrix(sigma)
    result: FloatArray = np.matmul(np.matmul(blur, values), blur.T)
    return result


def _histograms(reduced: FloatArray, sigma: float, grid: int) -> FloatArray:
    """Relative gradient magnitude by orientation and cell, (n, bins, grid * grid)."""
    # Less one of its own values, so that a flat image stays flat whatever rounding does.
    smooth = _smooth(reduced - reduced[:, :1, :1], sigma)
    down, across = np.zeros_like(smooth), np.zeros_like(smooth)
    down[:, 1:-1] = smooth[:, 2:] - smooth[:, :-2]
    across[:, :, 1:-1] = smooth[:, :, 2:] - smooth[:, :, :-2]
    magnitude = np.hypot(down, across)
    magnitude /= _smooth(magnitude, _SURROUND) + np.float32(_FLOOR)
    # Where the image is inverted the angle turns by pi, which leaves the orientation.
    place = np.arctan2(down, across) * np.float32(_BINS / np.pi)
    place[place < 0] += np.float32(_BINS)
    pool = pool_matrix(_SIDE, grid)
    result = np.empty((len(reduced), _BINS, grid * grid), np.float32)
    for number in range(_BINS):
        apart = np.abs(place - np.float32(number))
        weight = np.maximum(1 - np.minimum(apart, _BINS - apart), 0) * magnitude
        result[:, number] = np.matmul(np.matmul(pool, weight), pool.T).reshape(len(reduced), -1)
    return result


@dataclass(frozen=True)
class GradientMap:
    """Unsigned gradient orientations: 8 of them, on 8 x 8 and 4 x 4 cells of a 32 x 32 image."""

    @property
    def name(self) -> str:
        """``"gradients"``."""
        return "gradients"

    @property
    def family(self) -> str:
        """``"gradients"``."""
        return "gradients"

    def features(self, images: npt.NDArray[np.uint8], *, mirrored: bool = False) -> FloatArray:
        """Vectors of images.

        Args:
            images: uint8 (n, H, W).
            mirrored: Mirror left-right first.

        Returns:
            float32 (n, 640), unit norm; zeros for images without edges.
        """
        if mirrored:
            images = images[:, :, ::-1]
        out = np.empty((len(images), _BINS * sum(grid**2 for _, grid in _SCALES)), np.float32)
        for begin in range(0, len(images), _BLOCK):
            reduced = reduce_area(images[begin : begin + _BLOCK], _SIDE)
            parts = []
            for sigma, grid in _SCALES:
                # The root evens out strong and weak edges (Arandjelovic & Zisserman 2012).
                values = np.sqrt(_histograms(reduced, sigma, grid))
                values -= values.mean(axis=1, keepdims=True)
                values -= values.mean(axis=2, keepdims=True)
                parts.append(unit_rows(values.reshape(len(values), -1), 1e-3))
            out[begin : begin + _BLOCK] = unit_rows(np.concatenate(parts, axis=1), 1e-3)
        return out

    def describe(self) -> Mapping[str, Any]:
        """Family, dimensions, orientations and grids."""
        return {
            "name": self.name,
            "family": self.family,
            "dimensions": _BINS * sum(grid**2 for _, grid in _SCALES),
            "orientations": _BINS,
            "grids": [grid for _, grid in _SCALES],
        }
