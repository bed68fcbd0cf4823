"""Copies whose grey values are altered: what another setting of the device or a file does."""

from __future__ import annotations

import io

import numpy as np

from audits.controls.planting.base import Alteration, Images, Planting, to_pixels

__all__ = [
    "blur",
    "depth_gain",
    "dynamic_range",
    "gain",
    "gamma",
    "inverted",
    "jpeg",
    "noise",
    "sliders",
    "speckle",
]

_SLIDERS = 8
_USUAL_RANGE = 60.0
"""Decibels between black and white that a stored image is taken to show."""


def noise(decibel: float) -> Alteration:
    """Additive Gaussian noise; signal to noise, by each image's own variance, in decibels."""

    def alter(planting: Planting) -> Images:
        power = planting.images.var(axis=(1, 2), keepdims=True)
        sigma = np.sqrt(power / 10 ** (decibel / 10)).astype(np.float32)
        added = planting.rng.standard_normal(planting.images.shape, np.float32)
        return to_pixels(planting.images + sigma * added)

    return alter


def speckle(looks: float) -> Alteration:
    """Multiplicative gamma noise of mean 1; signal to noise is the root of ``looks``."""

    def alter(planting: Planting) -> Images:
        factors = planting.rng.gamma(looks, 1.0 / looks, planting.images.shape)
        return to_pixels(planting.images * factors)

    return alter


def blur(share: float) -> Alteration:
    """Gaussian blur; sigma as a share of the height."""

    def alter(planting: Planting) -> Images:
        from scipy.ndimage import gaussian_filter

        sigma = share * planting.images.shape[1]
        return to_pixels(gaussian_filter(planting.images.astype(np.float32), (0, sigma, sigma)))

    return alter


def gamma(low: float, high: float) -> Alteration:
    """A power law with one of two exponents."""

    def alter(planting: Planting) -> Images:
        exponents = planting.rng.choice([low, high], len(planting.images))
        grey = np.arange(256) / 255.0
        tables = to_pixels(255.0 * grey ** exponents[:, None])
        return _looked_up(tables, planting.images)

    return alter


def gain(low: float, high: float) -> Alteration:
    """One factor an image, uniform between ``low`` and ``high``."""

    def alter(planting: Planting) -> Images:
        factors = planting.rng.uniform(low, high, (len(planting.images), 1, 1))
        return to_pixels(planting.images * factors)

    return alter


def depth_gain(end: float) -> Alteration:
    """Gain that falls along the depth, from 1 to ``end``."""

    def alter(planting: Planting) -> Images:
        ramp = np.linspace(1.0, end, planting.images.shape[1])[None, :, None]
        return to_pixels(planting.images * ramp)

    return alter


def sliders(decibel: float) -> Alteration:
    """Eight sliders of gain along the depth, each up to ``decibel`` up or down."""

    def alter(planting: Planting) -> Images:
        n, height = planting.images.shape[:2]
        levels = planting.rng.uniform(-decibel, decibel, (n, _SLIDERS))
        place = np.linspace(0, _SLIDERS - 1, height)
        left = np.minimum(place.astype(np.int64), _SLIDERS - 2)
        share = place - left
        curve = levels[:, left] * (1 - share) + levels[:, left + 1] * share
        return to_pixels(planting.images * 10 ** (curve / 20)[:, :, None])

    return alter


def dynamic_range(low: float, high: float) -> Alteration:
    """Show one of two dynamic ranges, in decibels, instead of the usual 60.

    Grey is taken to be linear in decibels, as after log compression; white stays white.
    """

    def alter(planting: Planting) -> Images:
        ranges = planting.rng.choice([low, high], len(planting.images))
        decibel = (np.arange(256) / 255.0 - 1.0) * _USUAL_RANGE
        tables = to_pixels(255.0 * (1.0 + decibel / ranges[:, None]))
        return _looked_up(tables, planting.images)

    return alter


def _looked_up(tables: Images, images: Images) -> Images:
    """Replace grey values by one table (256,) an image."""
    result: Images = tables[np.arange(len(images))[:, None, None], images]
    return result


def jpeg(quality: int) -> Alteration:
    """Through a JPEG file of the given quality."""

    def alter(planting: Planting) -> Images:
        from PIL import Image

        result = np.empty_like(planting.images)
        for i, pixels in enumerate(planting.images):
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
            result[i] = np.asarray(Image.open(buffer))
        return result

    return alter


def inverted(planting: Planting) -> Images:
    """White for black."""
    return 255 - planting.images
