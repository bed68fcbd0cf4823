"""Bright strokes inside the image: letters, calipers, logos. Found without reading them.

Two marks tell what a machine draws from what an ultrasound beam paints:

* *Levels.* Tissue has a smooth histogram; a drawing puts many pixels on one exact gray value.
  Pixels of such a level that stand out from their surroundings are strokes, however faint. Lossy
  compression destroys this mark.
* *Brightness.* A stroke is much brighter than the median around it. This survives compression and
  small letters, but speckle at its brightest looks the same, so some tissue is marked with it.

Either must come in groups. **This is a detector, not a proof.** Faint small letters under lossy
compression are not found, nor is text darker than the tissue. Recall and falsely marked tissue are
measured by the tests on simulated tissue only: a site looks at its own images before it relies on
them. The mask says where a person or a reader of text should look; it is the crop to the region of
tissue that removes identifiers.

Every look at the surroundings is a few passes of minimum, maximum, comparison or addition over
bytes, which is many times faster than filters of general form and gives the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["StrokeSettings", "stroke_mask"]

_NEAR: Final = (11, 21)
_MEDIAN: Final = 7
_WIDE: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class StrokeSettings:
    """How strokes are told from tissue.

    Attributes:
        brightness: A pixel this much above the median of the 7 x 7 pixels around it is bright.
        contrast: A pixel of a drawn level counts when it is this much above what is wider than 9
            pixels.
        lowest_level: Levels below this gray are not searched.
        group: So many marked pixels within 11 x 21 make a drawing.
        margin: Pixels that are marked around a stroke, above and below; half as many more beside.
    """

    brightness: int = 70
    contrast: int = 32
    lowest_level: int = 96
    group: int = 8
    margin: int = 3

    def __post_init__(self) -> None:
        if min(self.brightness, self.contrast, self.lowest_level, self.group) < 1:
            raise ValueError("Settings of strokes are at least 1.")
        if self.margin < 0:
            raise ValueError(f"margin={self.margin!r} must not be negative.")


def stroke_mask(
    image: NDArray[np.uint8], settings: StrokeSettings | None = None
) -> NDArray[np.bool_]:
    """Mark what looks drawn.

    Args:
        image: Gray (H, W), the part that is kept.
        settings: How strokes are told from tissue.

    Returns:
        bool (H, W): strokes and a margin around them.

    Raises:
        ValueError: The image is of another kind.
    """
    if image.dtype != np.uint8 or image.ndim != 2 or not image.size:
        raise ValueError("Strokes are looked for in gray images of 8 bits.")
    settings = settings or StrokeSettings()
    bright = _bright(image, settings.brightness)
    drawn = _drawn(image, settings)
    found = _grouped(bright, settings.group) | _grouped(drawn, settings.group)
    for axis, size in enumerate((2 * settings.margin + 1, 2 * (settings.margin * 3 // 2) + 1)):
        found = _windows(found, size, axis, np.logical_or, fill=False)
    return found


def _bright(image: NDArray[np.uint8], brightness: int) -> NDArray[np.bool_]:
    """Mark pixels that are so much above the median of the 7 x 7 around them."""
    rows, columns = image.shape
    around = np.pad(image, _MEDIAN // 2, mode="symmetric")
    least = np.maximum(image, min(brightness, 255)) - np.uint8(min(brightness, 255))
    # The median is at most `least` where more than half of the pixels are: no sorting.
    count = np.zeros(image.shape, np.uint8)
    for row in range(_MEDIAN):
        for column in range(_MEDIAN):
            count += around[row : row + rows, column : column + columns] <= least
    above: NDArray[np.bool_] = (image >= brightness) & (count > _MEDIAN**2 // 2)
    return above


def _drawn(image: NDArray[np.uint8], settings: StrokeSettings) -> NDArray[np.bool_]:
    """Mark pixels of a drawn level that stand out from what is wider than a stroke."""
    levels = _levels(image, settings.lowest_level)
    if not levels.any():
        return np.zeros(image.shape, np.bool_)
    wide = image
    for pick, fill in ((np.minimum, 255), (np.maximum, 0)):
        for axis in (0, 1):
            wide = _windows(wide, _WIDE, axis, pick, fill=fill)
    # An opening is nowhere above the image.
    hit = levels[image] & (image - wide >= settings.contrast)
    # Strokes hold together; single pixels of the level are tissue.
    touching = hit.view(np.uint8)
    for axis in (0, 1):
        touching = _windows(touching, 3, axis, np.add, fill=0)
    together: NDArray[np.bool_] = hit & (touching >= 2)
    return together


def _levels(image: NDArray[np.uint8], lowest: int) -> NDArray[np.bool_]:
    """Mark gray values, bool (256,), that occur far more often than their neighbours do."""
    counts = np.bincount(image.ravel(), minlength=256)
    padded = np.pad(counts, 6, mode="edge").astype(np.float64)
    # Six values on each side, without the level and the two next to it.
    around = np.delete(np.lib.stride_tricks.sliding_window_view(padded, 13), [5, 6, 7], axis=1)
    usual = np.median(around, axis=1)
    # Four standard deviations of a count, and enough pixels for a letter.
    often = counts > np.maximum(1.5 * usual, usual + 4 * np.sqrt(usual + 1) + 8)
    return np.asarray(often & (np.arange(256) >= lowest), np.bool_)


def _grouped(hit: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Keep marked pixels that have enough others around them."""
    counts = hit.view(np.uint8)
    for axis, size in enumerate(_NEAR):  # 11 x 21 is less than 256
        counts = _windows(counts, size, axis, np.add, fill=None)
    kept: NDArray[np.bool_] = hit & (counts >= least)
    return kept


def _windows(
    values: NDArray[Any],
    size: int,
    axis: int,
    join: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
    *,
    fill: int | bool | None,
) -> NDArray[Any]:
    """Join the values of a window of odd size around each place, along an axis.

    Windows double in size: one of 9 is one of 8 and one more. Behind the borders is ``fill``, or,
    if None, the mirror image.
    """
    margins = [(0, 0), (0, 0)]
    margins[axis] = (size // 2, size // 2)
    if fill is None:
        part = np.pad(values, margins, mode="symmetric")
    else:
        part = np.pad(values, margins, constant_values=fill)
    length = values.shape[axis]
    out: NDArray[Any] | None = None
    done, width = 0, 1
    while True:
        if size & width:
            piece = _from(part, done, length, axis)
            out = piece if out is None else join(out, piece)
            done += width
        if done == size:
            return out if out is not None else values
        part = join(
            _from(part, 0, part.shape[axis] - width, axis),
            _from(part, width, part.shape[axis] - width, axis),
        )
        width *= 2


def _from(values: NDArray[Any], start: int, length: int, axis: int) -> NDArray[Any]:
    return values[start : start + length] if axis == 0 else values[:, start : start + length]
