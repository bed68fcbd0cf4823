"""What colour there is in a frame: a tint, drawn marks, or a map of flow or stiffness on top.

A gray frame that was stored as RGB or YBR has almost no colour; what is left is rounding. Machines
also paint the whole gray scale through a map of colour (sepia, blue), draw calipers and letters in
colour, and lay maps over the image: colour and power Doppler, elastography. They are told apart in
two steps:

1. *Is colour a function of brightness?* Then it is a tint, and it is taken away before the rest is
   looked at. A map that is laid over part of the image breaks the function.
2. *How wide is what remains?* Strokes are a few pixels wide, maps are not.

A frame that was turned gray before it was stored says nothing of what it was, and neither does a
map of stiffness in gray. Where a tint and a map meet, the map is what is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from privacy.deidentify.colour import COLOUR_TOLERANCE

__all__ = ["ColourFinding", "ColourKind", "colour_finding"]

Difference = NDArray[np.int16]

# Red less green, or blue less green, of a gray pixel that went through YBR: half a step of Cb and
# Cr makes 0.9 and 0.7, rounding of the result a half for each channel. Quality 75 of JPEG keeps
# the mean chroma of a block to half of 9/8, which is another 1. Together less than 4; a frame that
# never exceeds it is gray, and a tint must exceed twice that.
_ROUNDING: Final = 4
_TINT: Final = 8
# Near black and near white no map of colour has room for colour.
_DARK: Final = 24
_LIGHT: Final = 232
_BINS: Final = 32
# So much of the shades in between must be tinted, and follow the function.
_TINTED_SHARE: Final = 0.6
_FOLLOWING_SHARE: Final = 0.8
# The function is fitted to about so many pixels on a grid; more change no median.
_SAMPLES: Final = 24_000
# Fewer coloured pixels than the smallest caliper has are flaws.
_FEWEST: Final = 12
# Halved chroma widens strokes by a fading rim. What has more than this share of the strongest
# colours (their 95th percentile) is core; the core of a stroke of 3 pixels hardly holds a square
# of 4, through JPEG of quality 75 too.
_CORE: Final = 0.6
_WIDTH: Final = 4
# Squares of 4 fit into a filled marker of 15 pixels 144 times, into vessels of 6 pixels and a
# length of 100 some 200 times. Large frames have large marks.
_SQUARES: Final = 160
_SQUARES_SHARE: Final = 1 / 2500
# Cores of drawn marks and the frame of a region hardly cover this share of an image.
_CORE_SHARE: Final = 0.04


class ColourKind(StrEnum):
    """What the colour of a frame is.

    Attributes:
        GRAY: There is none beyond rounding and lossy compression.
        TINT: The gray scale itself is coloured.
        MARKS: Few and narrow: calipers, letters, markers, the frame of a region.
        OVERLAY: Coherent coloured areas: colour or power Doppler, elastography, a bar of colours.
    """

    GRAY = "gray"
    TINT = "tint"
    MARKS = "marks"
    OVERLAY = "overlay"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ColourFinding:
    """The colour of one frame.

    Attributes:
        kind: What it is.
        mask: bool (H, W), the coloured pixels: none of a gray frame, all tinted ones of a tint,
            and only what departs from the gray scale, tinted or not, otherwise.
        share: Share of the pixels in the mask, 0 to 1.
    """

    kind: ColourKind
    mask: NDArray[np.bool_]
    share: float


def colour_finding(image: NDArray[np.uint8]) -> ColourFinding:
    """Say what the colour of a frame is, and where.

    Args:
        image: RGB (H, W, 3), best cropped to the image: the surroundings of a screen are coloured.

    Returns:
        Kind, mask and share.

    Raises:
        ValueError: The image is of another kind.

    Example:
        >>> frame = np.full((60, 80, 3), 90, np.uint8)
        >>> frame[20, 10:40] = (255, 255, 0)
        >>> finding = colour_finding(frame)
        >>> finding.kind, int(finding.mask.sum())
        (<ColourKind.MARKS: 'marks'>, 30)
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ValueError("Colour is looked for in RGB images of 8 bits.")
    red, green, blue = (image[..., channel].astype(np.int16) for channel in range(3))
    first, second = red - green, blue - green
    chroma = _chroma(first, second)
    if int(chroma.max()) <= _ROUNDING:
        return _finding(ColourKind.GRAY, np.zeros(chroma.shape, np.bool_))
    # BT.601 in 256ths, as bins of 8 shades: 255 * 256 fits into 16 bits.
    luma = 77 * red.view(np.uint16) + 150 * green.view(np.uint16) + 29 * blue.view(np.uint16)
    shade = (luma >> 11).astype(np.uint8)
    tint = _fit_tint(first, second, shade)
    if tint is not None:
        # Halved chroma lags behind the shades of speckle, by up to half of what the tint spans.
        limit = COLOUR_TOLERANCE + int(_chroma(*tint).max()) // 2
        excess = _chroma(first - tint.first[shade], second - tint.second[shade])
    else:
        limit, excess = COLOUR_TOLERANCE, chroma
    off = excess > limit
    if np.count_nonzero(off) >= _FEWEST:
        return _finding(ColourKind.OVERLAY if _is_wide(excess, off) else ColourKind.MARKS, off)
    if tint is not None:
        return _finding(ColourKind.TINT, chroma > _ROUNDING)
    return _finding(ColourKind.GRAY, np.zeros(off.shape, np.bool_))


class _Tint(NamedTuple):
    """Red less green and blue less green, by shade."""

    first: Difference
    second: Difference


def _fit_tint(first: Difference, second: Difference, shade: NDArray[np.uint8]) -> _Tint | None:
    """Fit the colour of each shade; None where the shades are gray or no function fits."""
    step = max(1, int(np.sqrt(shade.size / _SAMPLES)))
    grid = (slice(step // 2, None, step), slice(step // 2, None, step))
    reds, blues, shades = (values[grid].ravel() for values in (first, second, shade))
    order = np.argsort(shades, kind="stable")
    cuts = np.searchsorted(shades[order], np.arange(1, _BINS))
    # The median of a shade: marks and small maps do not move it.
    tint = _Tint(*(_medians(np.split(values[order], cuts)) for values in (reds, blues)))
    between = (shades >= _DARK // 8) & (shades < _LIGHT // 8)
    if not between.any():
        return None
    reds, blues, shades = reds[between], blues[between], shades[between]
    tinted = _chroma(tint.first[shades], tint.second[shades]) > _TINT
    rest = _chroma(reds - tint.first[shades], blues - tint.second[shades])
    follows = rest <= COLOUR_TOLERANCE
    if tinted.mean() < _TINTED_SHARE or follows.mean() < _FOLLOWING_SHARE:
        return None
    return tint


def _medians(parts: list[Difference]) -> Difference:
    middles = [float(np.median(part.astype(np.float64))) if part.size else 0.0 for part in parts]
    return np.array(middles, np.int16)


def _chroma(first: Difference, second: Difference) -> Difference:
    """Greatest less smallest channel, from their differences to green."""
    high = np.maximum(first, second)
    low = np.minimum(first, second)
    spread: Difference = np.maximum(high, 0) - np.minimum(low, 0)
    return spread


def _is_wide(excess: Difference, off: NDArray[np.bool_]) -> bool:
    """Say whether colour is wider than strokes, or more than marks are together."""
    colours = excess[off]
    colours = colours[:: max(1, colours.size // 4096)].astype(np.float64)
    strongest = float(np.percentile(colours, 95))
    core = off & (excess > _CORE * strongest)
    squares = np.count_nonzero(_eroded(core))
    return bool(
        squares >= max(_SQUARES, _SQUARES_SHARE * core.size)
        or np.count_nonzero(core) > _CORE_SHARE * core.size
    )


def _eroded(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the corners of squares that lie in the mask as a whole."""
    if min(mask.shape) < _WIDTH:
        return np.zeros((0, 0), np.bool_)
    # Runs of 2 and 4 along one axis, then along the other.
    for axis in (0, 1):
        for shift in (1, _WIDTH - 2):
            length = mask.shape[axis] - shift
            ahead = mask[shift:] if axis == 0 else mask[:, shift:]
            mask = (mask[:length] if axis == 0 else mask[:, :length]) & ahead
    return mask


def _finding(kind: ColourKind, mask: NDArray[np.bool_]) -> ColourFinding:
    return ColourFinding(kind=kind, mask=mask, share=float(np.mean(mask)))
