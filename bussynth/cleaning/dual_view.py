"""Two images side by side, as of two planes, or of B-mode beside a map of stiffness.

Speckle is smeared along the beam's width, so neighbouring columns of one image resemble each other.
Across the seam of two images they do not, nor across a gap. So the columns a little apart are
correlated along the whole height; where the correlation falls to about nothing near the middle,
and there is an image on both sides, two views were put together. A line on top of one image does
not break it, since the columns beside the line still resemble each other.

Views one above the other, three or more views, and seams outside of the middle are missed. The
edge of an opaque map of stiffness near the middle is sometimes taken for a seam.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["DualViewSettings", "find_seam"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DualViewSettings:
    """How a seam is told from a shadow; the defaults were chosen on 96 images of BUS-BRA.

    Attributes:
        correlation: Columns that correlate less are not of one image. Single images did not fall
            below 0.46, two put together did not exceed 0.21.
        middle: The seam lies within this share of the width on either side of the middle.
        black: Gray values up to this are no image.
        content: Each side shows an image in this share of its pixels, at least.
    """

    correlation: float = 0.33
    middle: float = 0.2
    black: int = 12
    content: float = 0.15

    def __post_init__(self) -> None:
        if not (0 < self.correlation < 1 and 0 < self.middle < 0.5 and 0 <= self.content <= 1):
            raise ValueError("correlation, middle and content are shares.")


# Columns so far apart are compared. Two such pairs step over each border of columns; where a line
# is drawn, one of them ends on it and resembles nothing, but the other does.
_LAG: Final = 2
# What is slower than this along a column is no speckle, in pixels.
_DETAIL: Final = 41
_BESIDE: Final = 31
# Values are cut at one standard deviation, so that no letter decides.
_CUT: Final = 1.0
# Less contrast than this is noise, in gray values.
_NOISE: Final = 2.0
# Narrower images have no room for two views.
_NARROWEST: Final = 64


def find_seam(gray: NDArray[np.uint8], settings: DualViewSettings | None = None) -> int | None:
    """Find where two views meet.

    Args:
        gray: Image (H, W).
        settings: How a seam is told from a shadow.

    Returns:
        The column of the seam; None where there is one view.

    Raises:
        ValueError: The image is of another kind.
    """
    from scipy import ndimage

    if gray.dtype != np.uint8 or gray.ndim != 2 or not gray.size:
        raise ValueError("Seams are looked for in gray images of 8 bits.")
    settings = settings or DualViewSettings()
    width = int(gray.shape[1])
    if width < _NARROWEST:
        return None
    detail = gray.astype(np.float32)
    detail -= ndimage.uniform_filter1d(detail, _DETAIL, axis=0)
    # Running sums leave a little below zero where nothing is.
    power = np.maximum(ndimage.uniform_filter(detail * detail, (_DETAIL, _BESIDE)), 0)
    spread = np.sqrt(power)
    detail = np.clip(detail / (spread + _NOISE), -_CUT, _CUT)
    alike = _alike(detail)
    low, high = (int((0.5 + side * settings.middle) * width) for side in (-1, 1))
    seam = low + int(np.argmin(alike[low:high]))
    if float(alike[seam]) >= settings.correlation:
        return None
    shown = gray > settings.black
    if min(shown[:, :seam].mean(), shown[:, seam:].mean()) < settings.content:
        return None
    return seam


def _alike(detail: NDArray[np.float32]) -> NDArray[np.float32]:
    """How much the columns on both sides of each column's left border resemble each other."""
    energy = np.mean(detail * detail, axis=0)
    shared = np.mean(detail[:, :-_LAG] * detail[:, _LAG:], axis=0)
    # An empty column resembles nothing.
    pairs = shared / np.sqrt(energy[:-_LAG] * energy[_LAG:] + np.float32(1e-4))
    # Pairs (x - 2, x) and (x - 1, x + 1) for column x; none at the edges.
    borders = np.pad(np.maximum(pairs[:-1], pairs[1:]), (_LAG, 1), constant_values=1)
    return np.asarray(borders, np.float32)
