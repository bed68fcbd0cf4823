"""Lesion boxes as tables write them, and as the cohort wants them.

The cohort's form is ``(x0, y0, x1, y1)`` in continuous pixel coordinates from the top left corner,
edges half-open: a lesion that covers pixel columns 3, 4 and 5 spans [3, 6). Tables count from 0
or from 1, give a size or a last corner, and mean the last pixel or the one after it.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bussynth.errors import DataError
from bussynth.ingest.geometry import Box

__all__ = ["FORMATS", "BoxConvention", "boxes_differ", "clip_box", "mask_box", "parse_box"]

FORMATS = ("xywh", "xyxy")
_AGREE_PIXELS = 2.0


@dataclass(frozen=True, slots=True)
class BoxConvention:
    """How four numbers of the table make a box.

    Attributes:
        format: ``"xywh"`` (corner and size) or ``"xyxy"`` (two corners).
        origin: The coordinate of the first pixel: 0, or 1 as in MATLAB and R.
        inclusive: Whether the last corner (given, or corner plus size) is the last pixel of the
            lesion rather than the one after it.
    """

    format: str = "xyxy"
    origin: int = 0
    inclusive: bool = False

    def box(self, numbers: tuple[float, float, float, float]) -> Box:
        """Return the half-open box, unchecked."""
        x0, y0 = numbers[0] - self.origin, numbers[1] - self.origin
        if self.format == "xywh":
            x1, y1 = x0 + numbers[2], y0 + numbers[3]
        else:
            x1, y1 = numbers[2] - self.origin, numbers[3] - self.origin
        last = 1.0 if self.inclusive else 0.0
        return x0, y0, x1 + last, y1 + last


def parse_box(cells: list[str], *, what: str) -> tuple[float, float, float, float]:
    """Read four finite numbers from one cell such as ``[91,24,103,79]``, or from four cells.

    Args:
        cells: The cell, or the four cells. In one cell, numbers are separated by commas,
            semicolons or spaces, and brackets around them are ignored.
        what: How error messages refer to the row.

    Returns:
        The four numbers.

    Raises:
        DataError: If there are not exactly four finite numbers.
    """
    words = cells
    if len(cells) == 1:
        inner = re.fullmatch(r"[\[(]?\s*([^\[\]()]*?)\s*[\])]?", cells[0])
        words = re.split(r"\s*[,;]\s*|\s+", inner[1]) if inner else []
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not all(math.isfinite(number) for number in numbers):
        raise DataError(f"{what}: the box is not four finite numbers.")
    return numbers[0], numbers[1], numbers[2], numbers[3]


def clip_box(box: Box, size: tuple[int, int], *, tolerance: float, what: str) -> Box:
    """Check a box against its image and clip what overhangs by no more than the tolerance.

    Args:
        box: Half-open box.
        size: Width and height of the image.
        tolerance: Pixels by which an edge may lie outside.
        what: How error messages refer to the row.

    Returns:
        A box inside the image.

    Raises:
        DataError: If the box is inverted, empty, or further outside.
    """
    x0, y0, x1, y1 = box
    width, height = size
    if not (x0 < x1 and y0 < y1):
        raise DataError(f"{what}: the box is empty or inverted.")
    overhang = max(-x0, -y0, x1 - width, y1 - height)
    clipped = (max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height)))
    if overhang > tolerance or clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        raise DataError(
            f"{what}: the box reaches {overhang:g} pixels out of the image; check format, origin "
            "and inclusive in [box], or allow a tolerance."
        )
    return clipped


def mask_box(mask: NDArray[np.bool_]) -> Box | None:
    """Return the half-open box around the set pixels of a mask (H, W), None if there are none."""
    columns = np.flatnonzero(mask.any(axis=0))
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def boxes_differ(first: Box, second: Box) -> bool:
    """Tell whether any edge of two boxes differs by more than two pixels of the source."""
    return any(abs(a - b) > _AGREE_PIXELS for a, b in zip(first, second, strict=True))
