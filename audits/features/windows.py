"""Windows of an image under small changes of framing: the family in which copies are sought.

A copy may be mirrored, shifted, zoomed, turned or cropped. The central window of every real image
is therefore compared with displaced, zoomed, turned and mirrored windows of every synthetic image;
for a crop, a smaller window of the real image is. Windows lie inside the image, so that the same
anatomy is compared and no border is invented, but for the corners of turned ones and the widest
zoom, which repeat the image's edge.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from audits.features.base import FloatArray
from audits.features.pixels import area_matrix

__all__ = ["CENTRAL", "CROPPED", "SPAN", "Window", "extract", "orbit", "turn"]

SPAN = 0.84
"""Side of the central window as a share of the image: leaves room for shifts up to 8 %."""


class Window(NamedTuple):
    """One framing.

    Attributes:
        dy: Downward displacement of the centre, as a share of the height.
        dx: Rightward displacement of the centre, as a share of the width.
        zoom: Side of the window relative to the central one.
        mirrored: Whether the image is mirrored left-right before the window is cut.
        degrees: Angle by which the image is turned about its centre, after mirroring.
        inner: Side of the real image's window relative to the central one: below 1 for crops.
    """

    dy: float = 0.0
    dx: float = 0.0
    zoom: float = 1.0
    mirrored: bool = False
    degrees: float = 0.0
    inner: float = 1.0


CENTRAL = Window()

CROPPED = 0.8
"""Side of the window of the real image, relative to the central one, in which crops are sought."""


def orbit() -> tuple[Window, ...]:
    """The framings tried on every synthetic image, plain and mirrored.

    Nine shifts, three zooms (0.8, 0.88, 1.14), four turns, two crops about the centre (a copy
    magnified by 1.25 or 1.43) and four aside (by 1.18).
    """
    steps = (0.0, -0.055, 0.055)
    plain = [Window(dy, dx) for dy in steps for dx in steps]
    plain += [Window(zoom=zoom) for zoom in (0.8, 0.88, 1.14)]
    plain += [Window(degrees=angle) for angle in (-10.0, -5.0, 5.0, 10.0)]
    plain += [Window(zoom=scale * CROPPED, inner=CROPPED) for scale in (1.25, 1.43)]
    aside = (-0.05, 0.05)
    plain += [Window(dy, dx, zoom=1.18 * CROPPED, inner=CROPPED) for dy in aside for dx in aside]
    return tuple([*plain, *(window._replace(mirrored=True) for window in plain)])


def extract(images: FloatArray, window: Window, cells: int, margin: int = 0) -> FloatArray:
    """Cut one window out of every image and area-resize it.

    Args:
        images: (n, H, W) grey values.
        window: The framing.
        cells: Side of the result without margin.
        margin: Extra cells on every side, at the same cell size.

    Returns:
        float32 (n, cells + 2 * margin, cells + 2 * margin).
    """
    if window.mirrored:
        images = images[:, :, ::-1]
    if window.degrees:
        images = turn(images, window.degrees)
    operators = []
    for size, shift in zip(images.shape[1:], (window.dy, window.dx), strict=True):
        span = SPAN * window.zoom
        start = (1.0 - span) / 2.0 + shift
        border = margin * span / cells
        operators.append(
            area_matrix(
                size, cells + 2 * margin, (start - border) * size, (start + span + border) * size
            )
        )
    rows, columns = operators
    result: npt.NDArray[np.float32] = np.matmul(np.matmul(rows, images), columns.T)
    return result


@lru_cache(maxsize=64)
def _corners(
    height: int, width: int, degrees: float
) -> tuple[tuple[npt.NDArray[np.int64], FloatArray], ...]:
    """The four source pixels of every turned pixel, and their weights."""
    angle = np.deg2rad(degrees)
    y, x = np.indices((height, width)).astype(np.float64)
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    rows = np.clip(np.cos(angle) * y - np.sin(angle) * x + (height - 1) / 2, 0, height - 1)
    columns = np.clip(np.sin(angle) * y + np.cos(angle) * x + (width - 1) / 2, 0, width - 1)
    top = np.minimum(rows.astype(np.int64), max(0, height - 2))
    left = np.minimum(columns.astype(np.int64), max(0, width - 2))
    below, beside = rows - top, columns - left
    corners = []
    for down in (0, 1):
        for right in (0, 1):
            place = np.minimum(top + down, height - 1) * width
            place += np.minimum(left + right, width - 1)
            weight = np.where(down, below, 1 - below) * np.where(right, beside, 1 - beside)
            corners.append((place.ravel(), weight.ravel().astype(np.float32)))
    return tuple(corners)


def turn(images: FloatArray, degrees: float) -> FloatArray:
    """Turn images about their centre, bilinearly; corners repeat the edge.

    Args:
        images: (n, H, W) grey values.
        degrees: Angle.

    Returns:
        float32 (n, H, W).
    """
    n, height, width = images.shape
    # One line a pixel: gathering whole lines is much faster than single pixels.
    flat = np.ascontiguousarray(images.reshape(n, height * width).T, np.float32)
    out = np.zeros_like(flat)
    corner = np.empty_like(flat)
    for place, weight in _corners(height, width, degrees):
        np.take(flat, place, axis=0, out=corner, mode="clip")
        corner *= weight[:, None]
        out += corner
    return np.ascontiguousarray(out.T).reshape(images.shape)
