"""Burned-in text, calipers and marks, found by their look and filled from around.

Devices and users draw on images: annotations, crosses and dotted lines for measuring, scales,
logos. Such marks differ between two copies of one picture and agree between pictures of strangers.
They are bright, sharp and thin, and a mark is found by just that, image by image: nothing is
learned from the images, roles play no part, and synthetic, train, control and planted images are
treated alike.

A mark vanishes under a small square opening (it is thin) and under a long horizontal opening (it
is broken into letters or dots), unlike the tissue layers that run across every breast. What
vanishes is the white top-hat (Meyer 1979; Serra, "Image analysis and mathematical morphology",
1982). It must be high in itself, high against the top-hats around, which are speckle, and the pixel
near the image's brightest. Strong noise passes all that; but its peaks lie scattered, and marks are
strokes, so an image whose marked pixels are mostly scattered is left alone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audits.features.base import FloatArray

__all__ = ["mask_overlays"]

Images = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]

_THIN = 0.08
"""Side of the square opening as a share of the shorter side: thicker marks stay."""
_LONG = 0.17
"""Length of the horizontal opening as a share of the shorter side: longer runs are tissue."""
_AROUND = 0.23
"""Side of the surround whose top-hats count as speckle."""
_HIGH = 90
"""Least top-hat of a mark, in grey values."""
_TIMES = 3.0
"""Least top-hat of a mark, as a multiple of the surround's mean."""
_BRIGHT = 0.7
"""Least grey value of a mark, as a share of the image's brightest."""
_STROKE = 5
"""Marked pixels within 5 x 5, at least, where a stroke passes: noise seldom gathers so many."""
_STROKES = 0.5
"""Share of an image's marked pixels on strokes, at least, or it is noisy and left alone."""
_EDGE = 1 / 3
"""Neighbours of a mark with this share of its top-hat are its blurred edge."""
_BLOCK = 128


def _odd(share: float, side: int) -> int:
    """The odd number nearest to a share of the side, at least 3."""
    return max(3, 2 * round((share * side - 1) / 2) + 1)


def _box(values: FloatArray, side: int) -> FloatArray:
    from scipy.ndimage import uniform_filter

    result: FloatArray = uniform_filter(values, (0, side, side), mode="nearest")
    return result


def _opening(images: Images) -> Images:
    """What is left without thin marks; it never exceeds the image."""
    from scipy.ndimage import grey_opening

    shorter = min(images.shape[1:])
    thin, long = _odd(_THIN, shorter), _odd(_LONG, shorter)
    square = grey_opening(images, (1, thin, thin), mode="nearest")
    result: Images = np.maximum(square, grey_opening(images, (1, 1, long), mode="nearest"))
    # At the border an opening may exceed what it opens.
    return np.minimum(result, images)


def _marks(images: Images, opened: Images) -> Bools:
    from scipy.ndimage import maximum_filter

    hat = (images - opened).astype(np.float32)
    # Marks must not raise the measure of speckle that they are held against.
    capped = np.minimum(hat, 4.0 * hat.mean(axis=(1, 2), keepdims=True) + 8.0)
    speckle = _box(capped, _odd(_AROUND, min(images.shape[1:])))
    bright = images >= _BRIGHT * images.max(axis=(1, 2), keepdims=True)
    high = (hat > _HIGH) & (hat > _TIMES * speckle) & bright
    strokes = high & (25 * _box(high.astype(np.float32), 5) > _STROKE - 0.5)
    drawn_on = strokes.sum(axis=(1, 2)) >= _STROKES * high.sum(axis=(1, 2))
    cores = np.where(high & drawn_on[:, None, None], hat, np.float32(0))
    highest = maximum_filter(cores, (1, 3, 3), mode="constant")
    marks: Bools = (highest > 0) & (hat > _EDGE * highest)
    return marks


def mask_overlays(images: Images) -> Images:
    """Fill marks with the mean of the unmarked pixels around, leaving all others alone.

    Filled plates (logos) and marks thicker than 8 % of the side are not found.

    Args:
        images: uint8 (n, H, W), at least 8 x 8.

    Returns:
        uint8 (n, H, W), a new array. Image i depends on image i alone.
    """
    out = images.copy()
    for begin in range(0, len(images), _BLOCK):
        block = images[begin : begin + _BLOCK]
        opened = _opening(block)
        marks = _marks(block, opened)
        touched = np.flatnonzero(marks.any(axis=(1, 2)))
        part, marked = block[touched], marks[touched]
        kept = (~marked).astype(np.float32)
        around = _odd(0.11, min(images.shape[1:]))
        share = _box(kept, around)
        mean = _box(part * kept, around) / np.maximum(share, np.float32(0.02))
        # Deep inside a wide mark there is nothing around; the opened image has lost it too.
        filled = np.where(share > 0.02, mean, opened[touched])
        out[begin + touched] = np.where(marked, np.rint(np.clip(filled, 0, 255)), part)
    return out
