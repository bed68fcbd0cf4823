"""Which part of the frames is an image of tissue, and nothing else leaves.

Machines write names, dates and numbers around the image. The Sequence of Ultrasound Regions
(0018,6011), PS3.3 C.8.5.5, says which rectangles hold what. Only rectangles of a two-dimensional
image (Region Spatial Format 1) of tissue (Region Data Type 1) are kept; the rest of a frame is
never copied. Where the sequence is absent or makes no sense, the file waits for a person; a rule of
the site may give the rectangle for a maker, model and frame size instead, but overrules no
contradiction and no other mode.

Region Flags (0018,6016) are not asked: bit 0 says which of two regions overwrites the other where
they overlap, and those that overlap are refused; the others are about scaling, Doppler scales and
scrolling (PS3.3 C.8.5.5.1.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, cast

import numpy as np
from pydicom.dataset import Dataset

from privacy.deidentify.colour import Pixels
from privacy.deidentify.pixel_errors import StructureError
from privacy.deidentify.pixel_values import items, unsigned, word

__all__ = [
    "LEFT_TO_RULES",
    "Kept",
    "Quarantine",
    "Reason",
    "Rectangle",
    "SiteRule",
    "blank_outside",
    "crop",
    "kept_regions",
]

_REGIONS: Final = 0x00186011
_FORMAT: Final = 0x00186012
_TYPE: Final = 0x00186014
_CORNERS: Final = (0x00186018, 0x0018601A, 0x0018601C, 0x0018601E)
_MAKER: Final = 0x00080070
_MODEL: Final = 0x00081090
_TWO_DIMENSIONAL: Final = 1
_TISSUE: Final = 1
_MOST_REGIONS: Final = 64


class Reason(StrEnum):
    """Why a file waits for a person."""

    ABSENT = "no ultrasound region is described"
    NOT_TISSUE = "no described region is a two-dimensional image of tissue"
    MALFORMED = "a described region lacks a number or has several"
    REVERSED = "a region ends before it begins"
    EMPTY = "a region has no area"
    OUTSIDE = "a region reaches out of the frame"
    WHOLE_FRAME = "a region covers nearly the whole frame, where text is written"
    OVERLAP = "a region of tissue overlaps another one"
    TOO_MANY = "more regions are described than any machine shows"


LEFT_TO_RULES: Final = frozenset({Reason.ABSENT, Reason.WHOLE_FRAME})
"""A rule of the site speaks where the file says nothing useful, never against what it says."""


@dataclass(frozen=True, slots=True, order=True)
class Rectangle:
    """Pixels of a frame: ``left <= x < right`` and ``top <= y < bottom``.

    Example:
        >>> Rectangle(2, 1, 6, 4).width, Rectangle(2, 1, 6, 4).height
        (4, 3)
    """

    left: int
    top: int
    right: int
    bottom: int

    def __post_init__(self) -> None:
        if not (0 <= self.left < self.right and 0 <= self.top < self.bottom):
            raise ValueError(f"{self!r} has no area or begins outside of a frame.")

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    def overlaps(self, other: Rectangle) -> bool:
        """Say whether there is a pixel in both."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def fits(self, rows: int, columns: int) -> bool:
        """Say whether it lies inside of a frame."""
        return self.right <= columns and self.bottom <= rows


@dataclass(frozen=True, slots=True)
class SiteRule:
    """A rectangle that a person of the site found right for all files of a machine.

    Attributes:
        maker: Manufacturer (0008,0070); letter case and outer blanks do not matter.
        model: Manufacturer's Model Name (0008,1090), likewise.
        rows: Height of the frames.
        columns: Width of the frames.
        rectangle: What is kept.
    """

    maker: str
    model: str
    rows: int
    columns: int
    rectangle: Rectangle

    def __post_init__(self) -> None:
        if not self.maker.strip() or not self.model.strip():
            raise ValueError("A rule names a maker and a model.")
        if not self.rectangle.fits(self.rows, self.columns):
            raise ValueError("The rectangle of a rule lies inside of its frames.")

    def matches(self, dataset: Dataset, rows: int, columns: int) -> bool:
        """Say whether a file is of this machine and size."""
        try:
            names = (word(dataset, _MAKER), word(dataset, _MODEL))
        except StructureError:
            return False
        wanted = (self.maker, self.model)
        return (rows, columns) == (self.rows, self.columns) and all(
            found is not None and found.strip().casefold() == name.strip().casefold()
            for found, name in zip(names, wanted, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of every frame of a file.

    Attributes:
        rectangles: One, or several that do not overlap (two views side by side), from left to
            right.
        by_rule: A rule of the site gave it, not the file.
    """

    rectangles: tuple[Rectangle, ...]
    by_rule: bool = False


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Nothing is kept until a person has decided.

    Attributes:
        reason: Why.
    """

    reason: Reason


def kept_regions(
    dataset: Dataset,
    rows: int,
    columns: int,
    rules: Sequence[SiteRule] = (),
    *,
    largest_share: float = 0.98,
) -> Kept | Quarantine:
    """Decide what is kept of the frames of a file.

    The corner (x1, y1) belongs to the region: the lower right corner of an image of that size is
    (columns - 1, rows - 1) in PS3.3 C.8.5.5.1.14. Machines that write the column or row behind the
    last one mean the same edge of the frame and are read so. A region of one column or row would be
    legal, but is none that a machine shows, and is refused as empty.

    Args:
        dataset: The elements of the file.
        rows: Height of its frames.
        columns: Width of its frames.
        rules: Rectangles of the site, for files that describe no region or the whole frame.
        largest_share: A region that covers more of the frame is not believed.

    Returns:
        The rectangles, or the reason why a person must look.
    """
    found = _described(dataset, rows, columns, largest_share)
    if isinstance(found, Quarantine) and found.reason in LEFT_TO_RULES:
        matching = {rule.rectangle for rule in rules if rule.matches(dataset, rows, columns)}
        if len(matching) == 1:
            return Kept((matching.pop(),), by_rule=True)
    return found


def crop(frame: Pixels, rectangle: Rectangle) -> Pixels:
    """Copy a rectangle out of a frame; the copy holds no other pixel of it.

    Raises:
        ValueError: The rectangle does not lie inside of the frame.
    """
    if not rectangle.fits(*frame.shape[:2]):
        raise ValueError(f"{rectangle!r} does not lie inside of the frame.")
    return cast(Pixels, np.array(_part(frame, rectangle), order="C"))


def blank_outside(frame: Pixels, rectangles: Sequence[Rectangle]) -> Pixels:
    """Make a black frame and copy rectangles into it: where they are not there is nothing.

    Raises:
        ValueError: A rectangle does not lie inside of the frame.
    """
    out = np.zeros(frame.shape, frame.dtype)
    for rectangle in rectangles:
        if not rectangle.fits(*frame.shape[:2]):
            raise ValueError(f"{rectangle!r} does not lie inside of the frame.")
        _part(out, rectangle)[...] = _part(frame, rectangle)
    return out


def _part(frame: Pixels, rectangle: Rectangle) -> Pixels:
    return frame[rectangle.top : rectangle.bottom, rectangle.left : rectangle.right]


def _described(
    dataset: Dataset, rows: int, columns: int, largest_share: float
) -> Kept | Quarantine:
    try:
        described = items(dataset, _REGIONS)
    except StructureError:
        return Quarantine(Reason.MALFORMED)
    if not described:
        return Quarantine(Reason.ABSENT)
    if len(described) > _MOST_REGIONS:
        return Quarantine(Reason.TOO_MANY)
    tissue: set[Rectangle] = set()
    others: set[Rectangle] = set()
    for item in described:
        read = _region(item, rows, columns)
        if isinstance(read, Reason):
            return Quarantine(read)
        (tissue if read[1] else others).add(read[0])
    kept = sorted(tissue)
    if not kept:
        return Quarantine(Reason.NOT_TISSUE)
    for number, one in enumerate(kept):
        if any(one.overlaps(other) for other in (*others, *kept[number + 1 :])):
            return Quarantine(Reason.OVERLAP)
    if any(one.width * one.height > largest_share * rows * columns for one in kept):
        return Quarantine(Reason.WHOLE_FRAME)
    return Kept(tuple(kept))


def _region(item: Dataset, rows: int, columns: int) -> tuple[Rectangle, bool] | Reason:
    """Read one region: its rectangle, and whether it is a two-dimensional image of tissue."""
    try:
        form = unsigned(item, _FORMAT, width=2)
        kind = unsigned(item, _TYPE, width=2)
        corners = [unsigned(item, tag, width=4) for tag in _CORNERS]
    except StructureError:
        return Reason.MALFORMED
    if form is None or kind is None or None in corners:
        return Reason.MALFORMED
    left, top, last_x, last_y = (corner or 0 for corner in corners)
    if last_x < left or last_y < top:
        return Reason.REVERSED
    if last_x == left or last_y == top:
        return Reason.EMPTY
    if left < 0 or top < 0 or last_x > columns or last_y > rows:
        return Reason.OUTSIDE
    right, bottom = min(last_x + 1, columns), min(last_y + 1, rows)
    return Rectangle(left, top, right, bottom), (form, kind) == (_TWO_DIMENSIONAL, _TISSUE)
