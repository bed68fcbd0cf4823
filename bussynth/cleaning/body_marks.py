"""Pictograms of a breast with the transducer on it, and logos of makers.

Two things are looked for:

* *Pictograms* are drawn with thin bright lines that enclose an area: a circle, a torso, an axilla.
  Bright layers of tissue are thin too, but they do not close around a dark area.
* *Logos* stand alone in a top corner, where machines put them: strokes as high as letters or a box
  of text, no wider than a fifth of the image.

Open pictograms, such as one that the crop has cut, are missed, and so are logos elsewhere. A short
word in a top corner looks like a logo and is reported as one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privacy.deidentify.regions import Rectangle

__all__ = ["BodyMarkSettings", "find_body_marks", "find_logos"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyMarkSettings:
    """How drawings are told from tissue; the defaults were chosen on 96 images of BUS-BRA.

    Attributes:
        contrast: A line is so many gray values above what is wider than it.
        line: Lines are narrower than this, in pixels.
        smallest: Least width and height of a pictogram, in pixels.
        largest: Greatest width and height of a pictogram, in pixels.
        enclosed: A pictogram encloses so many pixels in one piece: letters enclose fewer.
        corner_height: Logos have their centre in this upper share of the image.
        corner_width: Logos have their centre in this outer share, left or right.
        logo_width: Least width of a logo, in pixels.
        logo_height: Least height of a logo, in pixels.
    """

    contrast: int = 50
    line: int = 7
    smallest: int = 20
    largest: int = 120
    enclosed: int = 150
    corner_height: float = 0.07
    corner_width: float = 0.22
    logo_width: int = 12
    logo_height: int = 9

    def __post_init__(self) -> None:
        sizes = (self.contrast, self.line, self.smallest, self.enclosed)
        if min(*sizes, self.logo_width, self.logo_height) < 1 or self.largest < self.smallest:
            raise ValueError("Sizes are at least 1, and the largest not below the smallest.")
        if not (0 < self.corner_height <= 0.5 and 0 < self.corner_width <= 0.5):
            raise ValueError("Corners take more than 0 and at most half of an edge.")


# A logo is at most so wide, as a share of the image, and so many times as wide as high.
_LOGO_SHARE: Final = 0.2
_LOGO_ASPECTS: Final = (0.6, 3.5)
# Strokes of one logo are at most so far apart, in rows and columns.
_JOIN: Final = (7, 9)


def find_body_marks(
    gray: NDArray[np.uint8], settings: BodyMarkSettings | None = None
) -> tuple[Rectangle, ...]:
    """Find drawings of bright lines that enclose an area.

    Args:
        gray: Image (H, W) at the resolution of the machine.
        settings: How drawings are told from tissue.

    Returns:
        Boxes around them, from top to bottom.

    Raises:
        ValueError: The image is of another kind.
    """
    from scipy import ndimage

    _check(gray)
    settings = settings or BodyMarkSettings()
    opened = ndimage.grey_opening(gray, size=(settings.line, settings.line))
    # An opening never exceeds its image, so that this does not wrap.
    lines = np.pad(gray - opened >= settings.contrast, 2)
    lines = ndimage.binary_closing(lines, np.ones((3, 3)))[2:-2, 2:-2]
    labels, _ = ndimage.label(lines, np.ones((3, 3)))
    found = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        box = Rectangle(columns.start, rows.start, columns.stop, rows.stop)
        sizes = (box.width, box.height)
        if min(sizes) < settings.smallest or max(sizes) > settings.largest:
            continue
        drawing = labels[rows, columns] == number
        holes, count = ndimage.label(ndimage.binary_fill_holes(drawing) & ~drawing)
        if count and np.bincount(holes.ravel())[1:].max() >= settings.enclosed:
            found.append(box)
    return tuple(sorted(found, key=lambda box: (box.top, box.left)))


def find_logos(
    gray: NDArray[np.uint8],
    *,
    text_boxes: Iterable[Rectangle] = (),
    settings: BodyMarkSettings | None = None,
) -> tuple[Rectangle, ...]:
    """Find what stands alone in a top corner.

    Args:
        gray: Image (H, W) at the resolution of the machine.
        text_boxes: Where text was found: most logos are letters.
        settings: What a corner is, and how large logos are.

    Returns:
        Boxes around them, from top to bottom; strokes and text of one logo give one box each.

    Raises:
        ValueError: The image is of another kind.
    """
    _check(gray)
    settings = settings or BodyMarkSettings()
    boxes = [*text_boxes, *_stroke_boxes(gray, settings)]
    logos = {box for box in boxes if _is_logo(box, gray.shape, settings)}
    return tuple(sorted(logos, key=lambda box: (box.top, box.left, box.bottom, box.right)))


def _stroke_boxes(gray: NDArray[np.uint8], settings: BodyMarkSettings) -> list[Rectangle]:
    """Boxes around groups of strokes that touch no edge, in the upper part of the image."""
    from scipy import ndimage

    from privacy.deidentify.strokes import StrokeSettings, stroke_mask

    # Levels are counted over the whole image, so all of it is searched.
    strokes = stroke_mask(gray, StrokeSettings(margin=0))
    strokes = np.pad(strokes[: max(1, 2 * round(settings.corner_height * gray.shape[0]))], 8)
    strokes = ndimage.binary_closing(strokes, np.ones(_JOIN))[8:-8, 8:-8]
    labels, _ = ndimage.label(strokes, np.ones((3, 3)))
    boxes = []
    for rows, columns in ndimage.find_objects(labels):
        # A word or a scale that the crop has cut touches the edge.
        if columns.start > 0 and columns.stop < gray.shape[1]:
            boxes.append(Rectangle(columns.start, rows.start, columns.stop, rows.stop))
    return boxes


def _is_logo(box: Rectangle, shape: tuple[int, ...], settings: BodyMarkSettings) -> bool:
    middle = (box.top + box.bottom) / 2 / shape[0]
    beside = min(box.left + box.right, 2 * shape[1] - box.left - box.right) / 2 / shape[1]
    low, high = _LOGO_ASPECTS
    return (
        middle <= settings.corner_height
        and beside <= settings.corner_width
        and settings.logo_width <= box.width <= _LOGO_SHARE * shape[1]
        and box.height >= settings.logo_height
        and low <= box.width / box.height <= high
    )


def _check(gray: NDArray[np.uint8]) -> None:
    if gray.dtype != np.uint8 or gray.ndim != 2 or not gray.size:
        raise ValueError("Body marks are looked for in gray images of 8 bits.")
