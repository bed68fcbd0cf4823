"""Copies of known severity, planted to demonstrate what the audit can find.

Every class takes real images and returns equally many altered ones. Classes marked decisive must
be found for the audit to mean anything; the others map where detection ends.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["PLANTED_CLASSES", "PlantedClass"]

Images = npt.NDArray[np.uint8]
Alteration = Callable[[Images, np.random.Generator], Images]


@dataclass(frozen=True)
class PlantedClass:
    """One kind and severity of copy.

    Attributes:
        name: Kind and severity, for example ``"noise 20 dB"``.
        family: The kind alone, for curves of recall against severity.
        severity: Place on the curve; larger is harder.
        decisive: Whether the verdict requires this class to be found.
        alter: Makes the copies from uint8 (n, H, W) with a seeded generator.
    """

    name: str
    family: str
    severity: float
    decisive: bool
    alter: Alteration


def _to_pixels(values: npt.NDArray[np.floating]) -> Images:
    pixels: Images = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels


def _exact(images: Images, rng: np.random.Generator) -> Images:
    return images.copy()


def _mirrored(images: Images, rng: np.random.Generator) -> Images:
    return np.ascontiguousarray(images[:, :, ::-1])


def _noise(decibel: float) -> Alteration:
    def alter(images: Images, rng: np.random.Generator) -> Images:
        values = images.astype(np.float64)
        power = values.var(axis=(1, 2), keepdims=True)
        sigma = np.sqrt(power / 10 ** (decibel / 10))
        return _to_pixels(values + sigma * rng.standard_normal(images.shape))

    return alter


def _speckle(looks: float) -> Alteration:
    def alter(images: Images, rng: np.random.Generator) -> Images:
        return _to_pixels(images * rng.gamma(looks, 1.0 / looks, images.shape))

    return alter


def _blur(share: float) -> Alteration:
    def alter(images: Images, rng: np.random.Generator) -> Images:
        from scipy.ndimage import gaussian_filter

        sigma = share * images.shape[1]
        return _to_pixels(gaussian_filter(images.astype(np.float64), (0, sigma, sigma)))

    return alter


def _gamma(low: float, high: float) -> Alteration:
    def alter(images: Images, rng: np.random.Generator) -> Images:
        exponents = rng.choice([low, high], (len(images), 1, 1))
        return _to_pixels(255.0 * (images / 255.0) ** exponents)

    return alter


def _gain(low: float, high: float) -> Alteration:
    def alter(images: Images, rng: np.random.Generator) -> Images:
        factors = rng.uniform(low, high, (len(images), 1, 1))
        return _to_pixels(images * factors)

    return alter


def _depth_gain(end: float) -> Alteration:
    def alter(images: Images, rng: np.random.Generator) -> Images:
        ramp = np.linspace(1.0, end, images.shape[1])[None, :, None]
        return _to_pixels(images * ramp)

    return alter


def _jpeg(quality: int) -> Alteration:
    def alter(images: Images, rng: np.random.Generator) -> Images:
        from PIL import Image

        result = np.empty_like(images)
        for i, pixels in enumerate(images):
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
            result[i] = np.asarray(Image.open(buffer))
        return result

    return alter


def _framing(
    shift: float = 0.0, zooms: tuple[float, ...] = (1.0,), degrees: float = 0.0
) -> Alteration:
    """Displace, zoom and turn about the centre; the border repeats the image's edge."""

    def alter(images: Images, rng: np.random.Generator) -> Images:
        from scipy.ndimage import affine_transform

        result = np.empty_like(images)
        size = np.array(images.shape[1:], np.float64)
        centre = (size - 1) / 2
        for i, pixels in enumerate(images):
            angle = np.deg2rad(degrees) * rng.choice([-1, 1])
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            matrix = turn / rng.choice(zooms)
            direction = rng.uniform(0, 2 * np.pi)
            offset = centre - matrix @ centre
            offset += shift * size * [np.sin(direction), np.cos(direction)]
            moved = affine_transform(
                pixels.astype(np.float64), matrix, offset, order=1, mode="nearest"
            )
            result[i] = _to_pixels(moved)
        return result

    return alter


def _upside_down(images: Images, rng: np.random.Generator) -> Images:
    return np.ascontiguousarray(images[:, ::-1])


def _inverted(images: Images, rng: np.random.Generator) -> Images:
    return 255 - images


def _halves(images: Images, rng: np.random.Generator) -> Images:
    """Keep the left half and take the right half from the next image."""
    mixed = np.roll(images, 1, axis=0)
    half = images.shape[2] // 2
    mixed[:, :, :half] = images[:, :, :half]
    return mixed


def _class(
    family: str, label: str, severity: float, alter: Alteration, *, decisive: bool = False
) -> PlantedClass:
    return PlantedClass(f"{family} {label}".strip(), family, severity, decisive, alter)


PLANTED_CLASSES: tuple[PlantedClass, ...] = (
    _class("exact", "", 0, _exact, decisive=True),
    _class("mirrored", "", 0, _mirrored, decisive=True),
    _class("noise", "20 dB", 1, _noise(20), decisive=True),
    _class("noise", "10 dB", 2, _noise(10)),
    _class("noise", "3 dB", 3, _noise(3)),
    _class("noise", "0 dB", 4, _noise(0)),
    _class("speckle", "20 looks", 1, _speckle(20)),
    _class("speckle", "4 looks", 2, _speckle(4)),
    _class("blur", "1 % of the side", 1, _blur(0.01), decisive=True),
    _class("blur", "3 % of the side", 2, _blur(0.03)),
    _class("blur", "6 % of the side", 3, _blur(0.06)),
    _class("gain", "0.8 to 1.25", 1, _gain(0.8, 1.25), decisive=True),
    _class("gamma", "0.8 or 1.25", 1, _gamma(0.8, 1.25)),
    _class("gamma", "0.5 or 2", 2, _gamma(0.5, 2.0)),
    _class("depth gain", "down to 0.5", 1, _depth_gain(0.5)),
    _class("JPEG", "quality 75", 1, _jpeg(75), decisive=True),
    _class("JPEG", "quality 10", 2, _jpeg(10)),
    _class("shift", "4 %", 1, _framing(shift=0.04)),
    _class("shift", "8 %", 2, _framing(shift=0.08)),
    _class("zoom", "0.9 or 1.1", 1, _framing(zooms=(0.9, 1.1))),
    _class("zoom", "0.8 or 1.25", 2, _framing(zooms=(0.8, 1.25))),
    _class("rotation", "5 degrees", 1, _framing(degrees=5)),
    _class("rotation", "10 degrees", 2, _framing(degrees=10)),
    # Outside the family that is searched: the report shall say so with numbers.
    _class("crop", "to 0.7 of the side", 1, _framing(zooms=(1 / 0.7,))),
    _class("upside down", "", 1, _upside_down),
    _class("inverted grey values", "", 1, _inverted),
    _class("left half beside another patient's right half", "", 1, _halves),
)
"""The planted classes, in report order."""
