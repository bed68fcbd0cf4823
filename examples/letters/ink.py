"""Lines of text to draw: random words, dates, numbers and lone letters, in many letterings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from tissue import SIDE, Square

__all__ = ["write"]

FONTS = sorted(Path("/usr/share/fonts/truetype/dejavu").glob("*.ttf"))
LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
OTHERS = (
    "АБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЩЭЮЯабвгдежзийклмнопрстуфхцчшщэюя"
    "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩαβγδεζηθικλμνξοπρστυφχψω"
)
# Letters of single strokes, as old machines draw them; they know Latin alone.
STROKES = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_DUPLEX)
Rng = np.random.Generator
Gray = NDArray[np.float32]


@dataclass(frozen=True)
class Ink:
    """A line of text: all that it covers, its letters alone, and whether the rest is an outline."""

    cover: Gray
    letters: Gray
    outlined: bool


def words(rng: Rng) -> str:
    """Make up what is written."""
    kind = rng.random()
    if kind < 0.16:
        return "".join(rng.choice(list("0123456789"), rng.integers(2, 10)))
    if kind < 0.32:
        mark = rng.choice(list("./-:"))
        return f"{rng.integers(1, 29):02d}{mark}{rng.integers(1, 13):02d}{mark}" + str(
            rng.integers(1940, 2026)
        )
    letters = list(LATIN if kind < 0.85 else OTHERS)
    made = []
    for _ in range(rng.integers(1, 4)):
        word = "".join(rng.choice(letters, rng.integers(2, 9)))
        made.append(word.upper() if rng.random() < 0.5 else word.capitalize())
    return str(rng.choice([" ", ", ", "^", " "])).join(made)


def _strokes(text: str, size: int, rng: Rng) -> Gray:
    """Draw with a font of strokes."""
    font = STROKES[rng.integers(len(STROKES))]
    thick = 1 if size < 18 else int(rng.integers(1, 3))
    scale = size / cv2.getTextSize("Ag", font, 1.0, 1)[0][1] * 0.75
    (wide, tall), base = cv2.getTextSize(text, font, scale, thick)
    canvas = np.zeros((tall + base + 4, wide + 4), np.uint8)
    line = cv2.LINE_AA if rng.random() < 0.6 else cv2.LINE_8
    cv2.putText(canvas, text, (2, tall + 2), font, scale, 255, thick, line)
    return canvas.astype(np.float32) / 255


def _dots(text: str, size: int) -> Gray:
    """Draw with a font of pixels, enlarged without smoothing."""
    font = ImageFont.load_default_imagefont()
    left, top, right, bottom = font.getbbox(text)
    canvas = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2))
    ImageDraw.Draw(canvas).text((1 - left, 1 - top), text, fill=255, font=font)
    times = max(round(size / 11), 1)
    return np.kron(np.asarray(canvas, np.float32) / 255, np.ones((times, times), np.float32))


def _glyphs(text: str, size: int, stroke: int, rng: Rng) -> tuple[Gray, Gray]:
    """Draw with a font of outlines: letters with the stroke around them, and without."""
    if rng.random() < 0.35 or not FONTS:
        font = ImageFont.load_default(size)
    else:
        font = ImageFont.truetype(str(FONTS[rng.integers(len(FONTS))]), size)
    left, top, right, bottom = font.getbbox(text, stroke_width=stroke)
    drawn = []
    for width in (stroke, 0):
        canvas = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2))
        place = (1 - left, 1 - top)
        ImageDraw.Draw(canvas).text(place, text, fill=255, font=font, stroke_width=width)
        drawn.append(np.asarray(canvas, np.float32) / 255)
    return drawn[0], drawn[1]


def _ink(text: str, size: int, rng: Rng) -> Ink:
    """Draw a line of text in a random lettering."""
    kind, stroke = rng.random(), 0
    latin = text.isascii()
    if latin and kind < 0.15:
        cover = letters = _strokes(text, size, rng)
    elif latin and kind < 0.25:
        cover = letters = _dots(text, size)
    else:
        stroke = int(rng.random() < 0.18) * max(1, size // 12)
        cover, letters = _glyphs(text, size, stroke, rng)
    if rng.random() < 0.3:
        wide = max(round(cover.shape[1] * rng.uniform(0.7, 1.35)), 4)
        cover, letters = (
            np.asarray(Image.fromarray(one).resize((wide, one.shape[0])), np.float32)
            for one in (cover, letters)
        )
    if rng.random() < 0.25:
        cover = ndimage.gaussian_filter(cover, rng.uniform(0.3, 0.8))
        letters = ndimage.gaussian_filter(letters, 0.5) if stroke else cover
    return Ink(cover, letters, bool(stroke))


def write(one: Square, rng: Rng) -> None:
    """Write a line of text, perhaps partly beyond the edge, and mark it as such.

    It stands out of what is around it by at least 22 grays and two thirds of its spread; fainter
    writing cannot be told from speckle.
    """
    size = int(np.exp(rng.uniform(np.log(7), np.log(40))))
    lone = size >= 10 and rng.random() < 0.12
    ink = _ink(str(rng.choice(list(LATIN))) if lone else words(rng), size, rng)
    height, width = ink.cover.shape
    if height < 5 or width < 3:
        return
    x = int(rng.integers(-(width // 3), max(SIDE - width * 2 // 3, 1)))
    y = int(rng.integers(-2, SIDE - height // 2))
    rows, columns = slice(max(y, 0), min(y + height, SIDE)), slice(max(x, 0), min(x + width, SIDE))
    if rows.stop - rows.start < 4 or columns.stop - columns.start < 3:
        return
    inside = (
        slice(rows.start - y, rows.stop - y),
        slice(columns.start - x, columns.stop - x),
    )
    cover, letters = ink.cover[inside], ink.letters[inside]
    if rng.random() < 0.12:  # on a ground of its own
        around = (
            slice(max(rows.start - 2, 0), rows.stop + 2),
            slice(max(columns.start - 3, 0), columns.stop + 3),
        )
        one.gray[around] = 0 if rng.random() < 0.5 else rng.uniform(0, 200)
    under = one.gray[rows, columns]
    least = max(60.0 if lone else 22.0, 0.66 * float(under.std()))
    gray = np.exp(rng.uniform(np.log(least), np.log(max(200.0, least))))
    gray *= 1 if rng.random() < 0.75 else -1
    if not 0 <= under.mean() + 0.7 * gray <= 255:
        gray = -gray
    if ink.outlined:
        bright, dark = (255, 0) if rng.random() < 0.85 else (0, 255)
        kept = under * (1 - cover) + dark * np.maximum(cover - letters, 0)
        one.gray[rows, columns] = np.clip(kept + bright * letters, 0, 255)
    elif rng.random() < 0.6:
        one.gray[rows, columns] = under * (1 - cover) + np.clip(under.mean() + gray, 0, 255) * cover
    else:
        one.gray[rows, columns] = np.clip(under + gray * cover, 0, 255)
    seen = np.argwhere(cover > 0.3)
    if seen.size:
        (top, left), (bottom, right) = seen.min(axis=0), seen.max(axis=0) + 1
        one.target[rows, columns][top:bottom, left:right] = 1
        one.known[rows, columns] = True
