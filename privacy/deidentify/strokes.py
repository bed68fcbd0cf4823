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
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

__all__ = ["StrokeSettings", "stroke_mask"]

_WINDOW = (11, 21)


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
    bright = _bright(image, settings)
    drawn = _drawn(image, settings)
    found = _grouped(bright, settings.group) | _grouped(drawn, settings.group)
    rows, columns = 2 * settings.margin + 1, 2 * (settings.margin * 3 // 2) + 1
    return np.asarray(ndimage.binary_dilation(found, np.ones((rows, columns))), np.bool_)


def _bright(image: NDArray[np.uint8], settings: StrokeSettings) -> NDArray[np.bool_]:
    around = ndimage.median_filter(image, size=(7, 7))
    above: NDArray[np.bool_] = image.astype(np.int16) - around >= settings.brightness
    return above


def _drawn(image: NDArray[np.uint8], settings: StrokeSettings) -> NDArray[np.bool_]:
    levels = _levels(image, settings.lowest_level)
    if not levels:
        return np.zeros(image.shape, np.bool_)
    narrow = image.astype(np.int16) - ndimage.grey_opening(image, size=(9, 9))
    hit = np.isin(image, levels) & (narrow >= settings.contrast)
    # Strokes hold together; single pixels of the level are tissue.
    touching = ndimage.convolve(hit.astype(np.int16), np.ones((3, 3), np.int16), mode="constant")
    together: NDArray[np.bool_] = hit & (touching >= 2)
    return together


def _levels(image: NDArray[np.uint8], lowest: int) -> list[int]:
    """Find gray values that occur far more often than their neighbours do."""
    counts = np.bincount(image.ravel(), minlength=256)
    padded = np.pad(counts, 6, mode="edge").astype(np.float64)
    found = []
    for level in range(lowest, 256):
        # Six values on each side, without the level and the two next to it.
        around = np.delete(padded[level : level + 13], [5, 6, 7])
        usual = float(np.median(around))
        # Four standard deviations of a count, and enough pixels for a letter.
        if counts[level] > max(1.5 * usual, usual + 4 * np.sqrt(usual + 1) + 8):
            found.append(level)
    return found


def _grouped(hit: NDArray[np.bool_], least: int) -> NDArray[np.bool_]:
    """Keep marked pixels that have enough others around them."""
    counts = ndimage.convolve1d(hit.astype(np.int32), np.ones(_WINDOW[0], np.int32), axis=0)
    counts = ndimage.convolve1d(counts, np.ones(_WINDOW[1], np.int32), axis=1)
    kept: NDArray[np.bool_] = hit & (counts >= least)
    return kept
