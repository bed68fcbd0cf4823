"""Copies whose geometry is altered: mirrored, moved, zoomed, turned, cropped, scan-converted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.controls.planting.base import Alteration, Images, Planting

__all__ = [
    "crop",
    "framing",
    "mirrored",
    "resample",
    "to_rectangle",
    "to_sector",
    "upside_down",
]

Floats = npt.NDArray[np.float64]


def resample(images: Images, y: Floats, x: Floats, *, black: bool = False) -> Images:
    """Read images at real coordinates, bilinearly.

    Args:
        images: uint8 (n, H, W).
        y: Rows in pixels, (n, h, w), or (h, w) for all images alike.
        x: Columns in pixels, of the same shape.
        black: Whether outside is black; otherwise the border repeats the image's edge.

    Returns:
        uint8 (n, h, w).
    """
    n, height, width = images.shape
    result = np.empty((n, *y.shape[-2:]), np.uint8)
    if y.ndim == 2:
        at = _Corners.of(y, x, height, width, black=black)
        for i, image in enumerate(images):
            result[i] = at.read(image)
    else:
        # One image at a time stays in the cache.
        for i, image in enumerate(images):
            result[i] = _Corners.of(y[i], x[i], height, width, black=black).read(image)
    return result


@dataclass(frozen=True, eq=False)
class _Corners:
    """Where bilinear interpolation reads, and with which weights."""

    first: npt.NDArray[np.int32]
    down: int
    right: int
    weights: tuple[npt.NDArray[np.float32], ...]

    @classmethod
    def of(cls, y: Floats, x: Floats, height: int, width: int, *, black: bool) -> _Corners:
        near_y = np.minimum(np.maximum(y, 0), height - 1).astype(np.float32)
        near_x = np.minimum(np.maximum(x, 0), width - 1).astype(np.float32)
        top = np.minimum(near_y.astype(np.int32), max(height - 2, 0))
        left = np.minimum(near_x.astype(np.int32), max(width - 2, 0))
        down, right = near_y - top, near_x - left
        inside = np.ones(down.shape, np.float32)
        if black:
            outside = (y < 0) | (y > height - 1) | (x < 0) | (x > width - 1)
            inside[outside] = 0
        low = down * inside
        high = inside - low
        weights = (high * (1 - right), high * right, low * (1 - right), low * right)
        return cls(top * width + left, width * min(1, height - 1), min(1, width - 1), weights)

    def read(self, image: Images) -> Images:
        flat = np.ascontiguousarray(image).reshape(-1)
        steps = (0, self.right, self.down, self.down + self.right)
        values = np.full(self.first.shape, 0.5, np.float32)
        for step, weight in zip(steps, self.weights, strict=True):
            values += flat.take(self.first + step) * weight
        # Weights are not negative and add up to at most 1, so this rounds within 0 to 255.
        return np.minimum(values, 255).astype(np.uint8)


def mirrored(planting: Planting) -> Images:
    """Left for right."""
    return np.ascontiguousarray(planting.images[:, :, ::-1])


def upside_down(planting: Planting) -> Images:
    """Top for bottom."""
    return np.ascontiguousarray(planting.images[:, ::-1])


def framing(
    shift: float = 0.0, zooms: tuple[float, ...] = (1.0,), degrees: float = 0.0
) -> Alteration:
    """Displace, zoom and turn about the centre; the border repeats the image's edge.

    Args:
        shift: Displacement in a random direction, as a share of the side.
        zooms: Factors, one of which is drawn; above 1 enlarges.
        degrees: Angle, either way.
    """

    def alter(planting: Planting) -> Images:
        rng, (n, height, width) = planting.rng, planting.images.shape
        angle = np.deg2rad(degrees) * rng.choice([-1, 1], n)
        zoom = rng.choice(zooms, n)
        direction = rng.uniform(0, 2 * np.pi, n)
        return _moved(
            planting.images,
            np.cos(angle) / zoom,
            np.sin(angle) / zoom,
            shift * height * np.sin(direction),
            shift * width * np.cos(direction),
        )

    return alter


def crop(side: float) -> Alteration:
    """Cut a window of a share of the side at a random place and enlarge it to the full size."""

    def alter(planting: Planting) -> Images:
        n, height, width = planting.images.shape
        place = planting.rng.uniform(-(1 - side) / 2, (1 - side) / 2, (2, n))
        shrink = np.full(n, side)
        return _moved(planting.images, shrink, np.zeros(n), place[0] * height, place[1] * width)

    return alter


def _moved(images: Images, cosine: Floats, sine: Floats, down: Floats, right: Floats) -> Images:
    """Read each image at turned, zoomed (both in cosine and sine) and displaced coordinates."""
    height, width = images.shape[1:]
    y, x = np.arange(height) - (height - 1) / 2, np.arange(width) - (width - 1) / 2
    cosine, sine, down, right = (v[:, None, None] for v in (cosine, sine, down, right))
    rows = cosine * y[:, None] - sine * x + (height - 1) / 2 + down
    columns = sine * y[:, None] + cosine * x + (width - 1) / 2 + right
    return resample(images, rows, columns)


def _fan(height: int, width: int, degrees: float) -> tuple[float, float, float]:
    """Inner and outer radius of a fan that fills the image, and half its angle."""
    half = np.deg2rad(degrees) / 2
    outer = max(width / (2 * np.sin(half)), float(height))
    return max((outer - height) / np.cos(half), 0.0), outer, float(half)


def to_sector(degrees: float) -> Alteration:
    """Bend a rectangular image into a fan of that angle, black outside."""

    def alter(planting: Planting) -> Images:
        height, width = planting.images.shape[1:]
        inner, outer, half = _fan(height, width, degrees)
        y = outer - (height - 1) + np.arange(height)[:, None]
        x = np.arange(width)[None, :] - (width - 1) / 2
        radius, angle = np.hypot(y, x), np.arctan2(x, y)
        rows = (radius - inner) / (outer - inner) * (height - 1)
        columns = (angle / half + 1) / 2 * (width - 1)
        return resample(planting.images, rows, columns, black=True)

    return alter


def to_rectangle(degrees: float) -> Alteration:
    """Unbend an image, as if it were a fan of that angle, into a rectangle."""

    def alter(planting: Planting) -> Images:
        height, width = planting.images.shape[1:]
        inner, outer, half = _fan(height, width, degrees)
        radius = inner + np.linspace(0, 1, height)[:, None] * (outer - inner)
        angle = np.linspace(-half, half, width)[None, :]
        rows = radius * np.cos(angle) - outer + (height - 1)
        columns = radius * np.sin(angle) + (width - 1) / 2
        return resample(planting.images, rows, columns)

    return alter
