"""Windows of an image under small changes of framing: the family in which copies are sought.

A copy may be mirrored, shifted or zoomed. The central window of every real image is therefore
compared with displaced, zoomed and mirrored windows of every synthetic image. All windows lie
inside the image, so that the same anatomy is compared and no border is invented.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from audits.features.pixels import FloatArray, area_matrix

__all__ = ["CENTRAL", "SPAN", "Window", "extract", "orbit"]

SPAN = 0.84
"""Side of the central window as a share of the image: leaves room for shifts up to 8 %."""


class Window(NamedTuple):
    """One framing.

    Attributes:
        dy: Downward displacement of the centre, as a share of the height.
        dx: Rightward displacement of the centre, as a share of the width.
        zoom: Side of the window relative to the central one.
        mirrored: Whether the image is mirrored left-right before the window is cut.
    """

    dy: float = 0.0
    dx: float = 0.0
    zoom: float = 1.0
    mirrored: bool = False


CENTRAL = Window()


def orbit() -> tuple[Window, ...]:
    """The framings tried on every synthetic image: 9 shifts and 2 zooms, plain and mirrored."""
    steps = (0.0, -0.055, 0.055)
    plain = [Window(dy, dx) for dy in steps for dx in steps]
    plain += [Window(zoom=0.88), Window(zoom=1.14)]
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
