"""Statistics of random filters at three scales: a space for fidelity that nobody trained.

A network of random weights that is pooled over the image describes its texture (Ustyuzhaninov et
al., "What does it take to generate natural textures?", ICLR 2017; He, Wang & Hopcroft, "A powerful
generative model using random weights for the deep image representation", NIPS 2016). Spaces for
copy search even out brightness and contrast, because a copy may differ in them; here they are what
is looked at, with blur, noise and the coarseness of speckle. Vectors therefore keep their length:
scaled to unit norm they would forget how strong the filters answered.

The image is halved twice. At each scale two layers of random orthonormal filters follow each other,
the first with a plain mean among its filters, each layer rectified. Answers of the first are
compressed by a logarithm, so that bright echoes do not drown the rest. Pooled are the mean and the
standard deviation over the image and, as ultrasound changes with depth, the mean of each of four
horizontal bands. A random orthonormal projection keeps 128 numbers of 384.

Weights, origin and scale come from the seed and from constants; nothing is fitted to images of
patients, so the space costs no privacy and is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from audits.features.base import FloatArray
from audits.features.pixels import area_matrix

__all__ = ["RandomMultiscaleMap", "random_weights"]

_DIMENSIONS = 128
"""Few enough for a covariance from a few hundred images."""
_SCALES = 3
_FILTERS = 16
_SIDES = (5, 3)
"""Sides of the filters of the two layers."""
_KNEE = 8.0
"""Grey values at which the compression turns from linear to logarithmic."""
_BANDS = 4
_BAND_WEIGHT = 0.5
"""Four bands together weigh as much as one mean over the image."""
_UNIT = 1.5
"""Length that becomes 1: about how far an ultrasound image lies from made-up speckle."""
_SPECKLE_IMAGES, _SPECKLE_MEAN = 32, 64.0
_BLOCK_PIXELS = 1 << 18


@lru_cache(maxsize=64)
def random_weights(seed: int, scale: int, layer: int) -> FloatArray:
    """Orthonormal random filters of one layer.

    Args:
        seed: Seed of the weights.
        scale: 0 for the full image, then 1 and 2.
        layer: 0 or 1. The first filter of layer 0 is a plain mean and the others have mean zero.

    Returns:
        float32 (side * side * channels, 16), one filter a column; layer 0 has one channel,
        layer 1 has 16.
    """
    rng = np.random.default_rng([seed, scale, layer])
    taps = _SIDES[layer] ** 2 * (1 if layer == 0 else _FILTERS)
    weights = rng.standard_normal((taps, _FILTERS))
    if layer == 0:
        weights[:, 0] = 1.0
    return _orthonormal(weights)


@lru_cache(maxsize=8)
def _projection(seed: int) -> FloatArray:
    length = _SCALES * _FILTERS * (4 + _BANDS)
    rng = np.random.default_rng([seed, _SCALES])
    return _orthonormal(rng.standard_normal((length, _DIMENSIONS)))


def _orthonormal(columns: npt.NDArray[np.float64]) -> FloatArray:
    q, r = np.linalg.qr(columns)
    # The decomposition leaves signs open.
    result: FloatArray = np.ascontiguousarray(q * np.sign(np.diag(r)), np.float32)
    result.flags.writeable = False  # shared by all callers
    return result


def _convolve(maps: FloatArray, weights: FloatArray, side: int) -> FloatArray:
    """Answers of filters, (n, h, w, channels) to (n, h, w, filters); edges are repeated."""
    n, height, width, channels = maps.shape
    reach = side // 2
    padded = np.pad(maps, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    taps = windows.transpose(0, 1, 2, 4, 5, 3).reshape(n, height * width, side * side * channels)
    # One product an image, so that a row cannot depend on the batch.
    result: FloatArray = np.matmul(taps, weights).reshape(n, height, width, -1)
    return result


def _halved(maps: FloatArray) -> FloatArray:
    _, height, width, _ = maps.shape
    rows = area_matrix(height, max(1, height // 2))
    columns = area_matrix(width, max(1, width // 2))
    planes = np.matmul(np.matmul(rows, maps.transpose(0, 3, 1, 2)), columns.T)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def _pooled(maps: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean and standard deviation (n, channels) and means of bands (n, bands, channels)."""
    n, height, width, channels = maps.shape
    flat = maps.reshape(n, height * width, channels)
    pool = np.repeat(area_matrix(height, _BANDS), width, axis=1) / np.float32(width)
    bands = np.matmul(pool, flat)
    mean = bands.mean(axis=1)
    squares = np.matmul(pool, np.square(flat - mean[:, None]))
    return mean, np.sqrt(squares.mean(axis=1)), bands


def _statistics(images: npt.NDArray[np.uint8], seed: int) -> FloatArray:
    """All pooled answers, (n, 384)."""
    maps: FloatArray = images.astype(np.float32)[..., None]
    parts = []
    for scale in range(_SCALES):
        answers = _convolve(maps, random_weights(seed, scale, 0), _SIDES[0])
        first = np.log1p(np.maximum(answers, 0) / np.float32(_KNEE))
        answers = _convolve(_halved(first), random_weights(seed, scale, 1), _SIDES[1])
        second = np.maximum(answers, 0)
        mean, deviation, bands = _pooled(second)
        parts += [*_pooled(first)[:2], mean, deviation]
        parts.append(np.float32(_BAND_WEIGHT) * bands.reshape(len(images), -1))
        maps = _halved(maps)
    return np.concatenate(parts, axis=1)


@lru_cache(maxsize=16)
def _origin(seed: int, height: int, width: int) -> FloatArray:
    """Mean statistics of made-up speckle that darkens with depth, (384,)."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng([seed, height, width])
    waves = gaussian_filter(
        rng.standard_normal((2, _SPECKLE_IMAGES, height, width)), (0, 0, 1.0, 1.0), mode="wrap"
    )
    speckle = np.hypot(*waves)
    depth = np.linspace(1.5, 0.5, height)[:, None]
    images = _SPECKLE_MEAN / speckle.mean() * speckle * depth
    made_up = np.clip(np.rint(images), 0, 255).astype(np.uint8)
    result: FloatArray = _statistics(made_up, seed).mean(axis=0)
    result.flags.writeable = False  # shared by all callers
    return result


@dataclass(frozen=True)
class RandomMultiscaleMap:
    """Pooled answers of random filters at three scales, for fidelity.

    Not for copy search: images of equal texture lie together whatever they show.

    Attributes:
        seed: Seed of the weights.
    """

    seed: int = 0

    @property
    def name(self) -> str:
        """``"random multi-scale"``, with the seed if it is not the usual one."""
        return "random multi-scale" + (f" {self.seed}" if self.seed else "")

    @property
    def family(self) -> str:
        """``"random"``."""
        return "random"

    def features(self, images: npt.NDArray[np.uint8], *, mirrored: bool = False) -> FloatArray:
        """Vectors of images.

        Args:
            images: uint8 (n, H, W), at least 8 x 8. Filters see pixels: compare images of one
                size only.
            mirrored: Mirror left-right first.

        Returns:
            float32 (n, 128), not scaled to unit norm; the zero vector is plain speckle of medium
            brightness. Row i depends on image i alone.
        """
        if mirrored:
            images = images[:, :, ::-1]
        out = np.empty((len(images), _DIMENSIONS), np.float32)
        if not len(images):
            return out
        height, width = images.shape[1:]
        origin, projection = _origin(self.seed, height, width), _projection(self.seed)
        block = max(1, _BLOCK_PIXELS // (height * width))
        for begin in range(0, len(images), block):
            values = _statistics(images[begin : begin + block], self.seed) - origin
            vectors = np.matmul(values[:, None], projection)[:, 0]
            out[begin : begin + block] = vectors / np.float32(_UNIT)
        return out

    def describe(self) -> Mapping[str, Any]:
        """Family, dimensions, filters, scales and seed."""
        return {
            "name": self.name,
            "family": self.family,
            "dimensions": _DIMENSIONS,
            "filters": [f"{_FILTERS} of {side}x{side}" for side in _SIDES],
            "scales": [f"1/{2**scale}" for scale in range(_SCALES)],
            "seed": self.seed,
        }
