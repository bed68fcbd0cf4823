"""Images of any shape to the square that the judges look at, and boxes along with them."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from audits.features.pixels import area_matrix

__all__ = ["SIDE", "letterbox", "to_square"]

SIDE: Final = 64
"""Edge length of the square, in pixels."""


def _content(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Top, left, height and width of the image in the square."""
    longest = max(size)
    height, width = (max(1, round(edge * SIDE / longest)) for edge in size)
    return (SIDE - height) // 2, (SIDE - width) // 2, height, width


def letterbox(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Resize by area averaging, keep the aspect ratio, and pad with black.

    Args:
        images: uint8 (n, H, W).

    Returns:
        uint8 (n, 64, 64).
    """
    n, *size = images.shape
    if size == [SIDE, SIDE]:
        return images
    top, left, height, width = _content((size[0], size[1]))
    rows, columns = area_matrix(size[0], height), area_matrix(size[1], width)
    square = np.zeros((n, SIDE, SIDE), np.uint8)
    for begin in range(0, n, 256):
        block = images[begin : begin + 256].astype(np.float32)
        resized = np.rint(rows @ block @ columns.T)
        square[begin : begin + 256, top : top + height, left : left + width] = resized
    return square


def to_square(boxes: npt.NDArray[np.float64], size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Move boxes into the square.

    Args:
        boxes: float64 (n, 4), x0 y0 x1 y1 in pixels of the image, NaN where there is none.
        size: (height, width) of the image.

    Returns:
        float64 (n, 4), in shares of the square's side. An IoU is the same before and after, up
        to the rounding of the content to whole pixels.
    """
    top, left, height, width = _content(size)
    scale = np.array([width / size[1], height / size[0]] * 2)
    offset = np.array([left, top] * 2, np.float64)
    return np.asarray((boxes * scale + offset) / SIDE)
