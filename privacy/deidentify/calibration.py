"""The size of a pixel in the part of a frame that is kept, if the source says it in centimetres."""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset

from privacy.deidentify.elements import number
from privacy.deidentify.frame_data import Calibration
from privacy.deidentify.pixel_errors import StructureError
from privacy.deidentify.pixel_values import items, unsigned
from privacy.deidentify.regions import Rectangle

__all__ = ["pixel_size", "whole_frame"]

_REGIONS: Final = 0x00186011
_CORNERS: Final = (0x00186018, 0x0018601A, 0x0018601C, 0x0018601E)
_UNITS: Final = (0x00186024, 0x00186026)
_CENTIMETRE: Final = 3
_MOST: Final = 1.0


def pixel_size(dataset: Dataset, rectangle: Rectangle) -> tuple[float, float] | None:
    """Read the size of a pixel of a kept region (PS3.3 C.8.5.5).

    Args:
        dataset: The elements of the file.
        rectangle: What is kept, as :func:`privacy.deidentify.regions.kept_regions` gave it.

    Returns:
        Centimetres a column and a row, or None if no region says so or several disagree.
    """
    found = set()
    for item in items(dataset, _REGIONS):
        try:
            left, top, last_x, last_y = (unsigned(item, tag, width=4) for tag in _CORNERS)
            units = [unsigned(item, tag, width=2) for tag in _UNITS]
        except StructureError:
            continue
        if (left, top) != (rectangle.left, rectangle.top) or units != [_CENTIMETRE] * 2:
            continue
        # A last corner behind the edge of the frame was read as the edge.
        if last_x is None or last_y is None:
            continue
        if not (0 <= last_x + 1 - rectangle.right <= 1 and 0 <= last_y + 1 - rectangle.bottom <= 1):
            continue
        deltas = number(item, "PhysicalDeltaX"), number(item, "PhysicalDeltaY")
        if all(delta is not None and 0 < delta <= _MOST for delta in deltas):
            found.add(deltas)
    if len(found) != 1:
        return None
    across, down = found.pop()
    return None if across is None or down is None else (across, down)


def whole_frame(
    size: tuple[float, float] | None, rows: int, columns: int
) -> tuple[Calibration, ...]:
    """Describe frames that hold one region and nothing else.

    Args:
        size: From :func:`pixel_size`.
        rows: Height of the frames.
        columns: Width of the frames.

    Returns:
        One calibrated region, or none if the size is not known.
    """
    if size is None:
        return ()
    return (Calibration(0, 0, columns - 1, rows - 1, *size),)
