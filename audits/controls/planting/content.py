"""Copies whose content is altered: drawn over, mixed with another patient, made by the generator.

Where the generator itself is at hand, train images are noised in part and denoised by it. Methods
that find altered real images have been seen to miss such near-copies (arXiv:2510.01793).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from audits.controls.planting.base import Alteration, Images, Planting, to_pixels
from audits.controls.planting.geometry import resample

if TYPE_CHECKING:
    from PIL import ImageDraw

__all__ = ["blend", "exact", "halves", "lesion_pasted", "overlay", "renoised"]

_SEGMENTS = (
    "abcdef",
    "bc",
    "abged",
    "abgcd",
    "fgbc",
    "afgcd",
    "afgedc",
    "abc",
    "abcdefg",
    "abcdfg",
)
"""Strokes of the digits on a seven-segment display."""
_STROKES = {
    "a": (0, 0, 1, 0),
    "b": (1, 0, 1, 1),
    "c": (1, 1, 1, 2),
    "d": (0, 2, 1, 2),
    "e": (0, 1, 0, 2),
    "f": (0, 0, 0, 1),
    "g": (0, 1, 1, 1),
}
_MARGIN = 0.25
_FEATHER = 0.15


def exact(planting: Planting) -> Images:
    """The same pixels."""
    return planting.images.copy()


def overlay(*, calipers: int = 0, lines: int = 0, logo: bool = False) -> Alteration:
    """Draw what devices and users draw: pairs of crosses, lines of digits, a logo.

    Args:
        calipers: Pairs of crosses with a dotted line between.
        lines: Lines of digits, in random corners.
        logo: Whether a filled plate with digits on it covers a corner.
    """

    def alter(planting: Planting) -> Images:
        from PIL import Image, ImageDraw

        result = np.empty_like(planting.images)
        for i, pixels in enumerate(planting.images):
            picture = Image.fromarray(pixels)
            draw = ImageDraw.Draw(picture)
            for _ in range(calipers):
                _draw_caliper(draw, picture.size, planting.rng)
            for _ in range(lines):
                _draw_line(draw, picture.size, planting.rng)
            if logo:
                _draw_logo(draw, picture.size, planting.rng)
            result[i] = np.asarray(picture)
        return result

    return alter


def _draw_caliper(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: np.random.Generator
) -> None:
    arm = max(1, round(0.03 * size[1]))
    ends = rng.uniform(0.2, 0.8, (2, 2)) * size
    for x, y in ends.round().astype(int).tolist():
        draw.line((x - arm, y, x + arm, y), fill=255)
        draw.line((x, y - arm, x, y + arm), fill=255)
    dots = max(2, int(np.hypot(*(ends[1] - ends[0])) / 3))
    for share in np.linspace(0, 1, dots):
        x, y = ends[0] + share * (ends[1] - ends[0])
        draw.point((round(x), round(y)), fill=255)


def _draw_digits(
    draw: ImageDraw.ImageDraw, left: int, top: int, half: int, digits: list[int], fill: int
) -> None:
    """Digits of twice ``half`` pixels height."""
    for place, digit in enumerate(digits):
        x = left + place * (half + max(2, half // 2))
        for name in _SEGMENTS[digit]:
            x0, y0, x1, y1 = (half * unit for unit in _STROKES[name])
            draw.line((x + x0, top + y0, x + x1, top + y1), fill=fill)


def _draw_line(draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: np.random.Generator) -> None:
    half = max(2, round(0.035 * size[1]))
    digits = rng.integers(0, 10, int(rng.integers(4, 9))).tolist()
    left = int(rng.uniform(0.02, 0.3) * size[0])
    top = int((rng.uniform(0.02, 0.15) if rng.random() < 0.5 else rng.uniform(0.8, 0.9)) * size[1])
    _draw_digits(draw, left, top, half, digits, 255)


def _draw_logo(draw: ImageDraw.ImageDraw, size: tuple[int, int], rng: np.random.Generator) -> None:
    width, height = round(0.3 * size[0]), round(0.15 * size[1])
    left = 0 if rng.random() < 0.5 else size[0] - width
    top = 0 if rng.random() < 0.5 else size[1] - height
    draw.rectangle((left, top, left + width - 1, top + height - 1), fill=220)
    half = max(2, round(0.05 * size[1]))
    _draw_digits(draw, left + 2, top + 2, half, rng.integers(0, 10, 2).tolist(), 30)


def halves(planting: Planting) -> Images:
    """Keep the left half and take the right half from another patient."""
    mixed = planting.donors.images[planting.partners]
    half = planting.images.shape[2] // 2
    mixed[:, :, :half] = planting.images[:, :, :half]
    return mixed


def blend(share: float) -> Alteration:
    """Average with an image of another patient, who gets ``1 - share``."""

    def alter(planting: Planting) -> Images:
        other = planting.donors.images[planting.partners]
        return to_pixels(share * planting.images.astype(np.float32) + (1 - share) * other)

    return alter


def lesion_pasted(*, moved: bool) -> Alteration:
    """Paste the lesion, with a margin of a quarter and soft edges, into another patient's image.

    Args:
        moved: Whether to a random place, or to the place it had.
    """

    def alter(planting: Planting) -> Images:
        boxes = planting.donors.boxes
        if boxes is None or not len(planting.rows):
            return planting.donors.images[planting.partners]
        n, height, width = planting.images.shape
        corners = np.asarray(boxes[planting.rows], np.float64)
        sides = np.maximum(corners[:, 2:] - corners[:, :2], 1.0)
        low = np.maximum(corners[:, :2] - _MARGIN * sides, 0.0)
        high = np.minimum(corners[:, 2:] + _MARGIN * sides, [width, height])
        by = np.zeros((n, 2))
        if moved:
            by = np.rint(planting.rng.uniform(-low, [width, height] - high))
        y, x = np.arange(height, dtype=np.float64), np.arange(width, dtype=np.float64)
        lesion = resample(
            planting.images,
            np.broadcast_to((y - by[:, 1:])[:, :, None], (n, height, width)),
            np.broadcast_to((x - by[:, :1])[:, None, :], (n, height, width)),
        )
        low, high = low + by, high + by
        mask = (
            _ramp(y, low[:, 1], high[:, 1])[:, :, None] * _ramp(x, low[:, 0], high[:, 0])[:, None]
        )
        return to_pixels(mask * lesion + (1 - mask) * planting.donors.images[planting.partners])

    return alter


def _ramp(
    place: npt.NDArray[np.float64], low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """One between ``low`` and ``high`` (n,), zero outside, with soft edges: (n, len(place))."""
    low, high = low[:, None], high[:, None]
    soft = np.maximum(_FEATHER * (high - low), 1.0)
    ramp: npt.NDArray[np.float64] = np.clip(
        np.minimum(place + 0.5 - low, high - place - 0.5) / soft, 0.0, 1.0
    )
    return ramp


def renoised(strength: float) -> Alteration:
    """Noise the train images in part and let the audited generator denoise them."""

    def alter(planting: Planting) -> Images:
        if planting.donors.renoise is None or not len(planting.rows):
            return planting.images.copy()
        seed = int(planting.rng.integers(2**31))
        made = planting.donors.renoise(planting.rows, strength, seed)
        if made.shape != planting.images.shape or made.dtype != np.uint8:
            raise ValueError(
                f"renoise: expected uint8 {planting.images.shape}. Got {made.dtype} {made.shape}."
            )
        return made

    return alter
