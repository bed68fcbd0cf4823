"""Responses of random filters: a feature space that nobody trained.

Random filters followed by rectification and pooling are a strong baseline for learned features
(Jarrett et al., "What is the best multi-stage architecture for object recognition?", ICCV 2009).
The weights come from a fixed seed, so the space costs no privacy and is the same everywhere; a
learned encoder that finds fewer copies than this one is not worth its risk.

Nothing is fitted to images. What would otherwise need whitening is done image by image: the local
contrast is evened out, and what all filters of a cell and what all cells of a filter have in
common is taken out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from audits.features.base import FloatArray
from audits.features.gradients import pool_matrix, unit_rows
from audits.features.pixels import reduce_area

__all__ = ["RandomConvolutionMap", "random_filters"]

_SCALES = ((32, 7), (16, 5))
"""Side of the reduced image and side of the filters."""
_FILTERS = 16
_GRID = 4
_SURROUND = 0.25
"""Side of the surround that sets the local contrast, as a share of the image."""
_FLOOR = 3.0
"""Standard deviation, in grey values, added to the local one: less is quantisation."""
_BLOCK = 64


@lru_cache(maxsize=16)
def random_filters(seed: int, side: int) -> FloatArray:
    """Orthonormal random filters of mean zero.

    Orthogonal filters differ from one another, so the seed matters less.

    Args:
        seed: Seed of the weights.
        side: Side of the filters.

    Returns:
        float32 (side * side, 16), one filter a column.
    """
    weights = np.random.default_rng([seed, side]).standard_normal((_FILTERS, side * side))
    weights -= weights.mean(axis=1, keepdims=True)
    # Filters may come out negated; their magnitudes are used, so that does not matter.
    result: FloatArray = np.ascontiguousarray(np.linalg.qr(weights.T)[0], np.float32)
    result.flags.writeable = False  # shared by all callers
    return result


def _even(values: FloatArray) -> FloatArray:
    """Subtract the local mean and divide by the local standard deviation."""
    from scipy.ndimage import uniform_filter

    side = int(values.shape[1] * _SURROUND) | 1
    centred = values - uniform_filter(values, (0, side, side), mode="nearest")
    variance = uniform_filter(np.square(centred), (0, side, side), mode="nearest")
    # Running sums may leave a trace below zero.
    result: FloatArray = centred / np.sqrt(np.maximum(variance, 0) + np.float32(_FLOOR**2))
    return result


def _responses(images: npt.NDArray[np.uint8], size: int, side: int, seed: int) -> FloatArray:
    """Pooled magnitudes of filter responses, (n, cells, filters), both centred."""
    even = _even(reduce_area(images, size))
    patches = np.lib.stride_tricks.sliding_window_view(even, (side, side), axis=(1, 2))
    places = size - side + 1
    columns = patches.reshape(len(images), places * places, side * side)
    # One product an image, so that a row cannot depend on the batch. The magnitude makes
    # inverted grey values alike.
    magnitudes = np.abs(np.matmul(columns, random_filters(seed, side)))
    line = pool_matrix(places, _GRID)
    pooled: FloatArray = np.matmul(np.kron(line, line), magnitudes)
    pooled -= pooled.mean(axis=2, keepdims=True)
    pooled -= pooled.mean(axis=1, keepdims=True)
    return pooled


@dataclass(frozen=True)
class RandomConvolutionMap:
    """16 random filters at each of two scales, magnitudes pooled over 4 x 4 cells.

    Attributes:
        seed: Seed of the weights.
    """

    seed: int = 0

    @property
    def name(self) -> str:
        """``"random convolution"``, with the seed if it is not the usual one."""
        return "random convolution" + (f" {self.seed}" if self.seed else "")

    @property
    def family(self) -> str:
        """``"random"``."""
        return "random"

    def features(self, images: npt.NDArray[np.uint8], *, mirrored: bool = False) -> FloatArray:
        """Vectors of images.

        Args:
            images: uint8 (n, H, W).
            mirrored: Mirror left-right first.

        Returns:
            float32 (n, 512), unit norm; zeros for images without contrast.
        """
        if mirrored:
            images = images[:, :, ::-1]
        out = np.empty((len(images), len(_SCALES) * _FILTERS * _GRID**2), np.float32)
        for begin in range(0, len(images), _BLOCK):
            block = images[begin : begin + _BLOCK]
            parts = [
                _responses(block, size, side, self.seed).reshape(len(block), -1)
                for size, side in _SCALES
            ]
            out[begin : begin + _BLOCK] = unit_rows(np.concatenate(parts, axis=1), 1e-3)
        return out

    def describe(self) -> Mapping[str, Any]:
        """Family, dimensions, filters and seed."""
        return {
            "name": self.name,
            "family": self.family,
            "dimensions": len(_SCALES) * _FILTERS * _GRID**2,
            "filters": [f"{side}x{side} at {size}" for size, side in _SCALES],
            "seed": self.seed,
        }
