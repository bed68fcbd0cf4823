"""Images with text drawn into them, for the benchmark of the text gate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, product
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from benchmarks.deidentify.pictures import tissue
from bussynth.cohort.phantom.config import PhantomConfig
from bussynth.cohort.phantom.patient import simulate_patient

__all__ = [
    "AWAY",
    "STYLES",
    "Gray",
    "Mask",
    "Page",
    "Text",
    "folder_images",
    "pages",
    "phantoms",
    "speckle",
]

Gray = npt.NDArray[np.uint8]
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont
Mask = npt.NDArray[np.bool_]

SIDE = 512
TEXTS = 3
"""Texts an image."""
SIZES = (8, 10, 12, 16, 24, 32)
STYLES: dict[str, int | None] = {
    "+30": 30,
    "+60": 60,
    "+100": 100,
    "+160": 160,
    "-60": -60,
    "-100": -100,
    "outlined": None,
}
AWAY = 12
"""Pixels from a glyph at which a box is no part of its text any more."""
SPREAD = 55
"""Largest standard deviation of the tissue below a text."""
LATIN = ("NGUYEN THI MAI", "Mueller, Hans", "O'Connor A.", "Smith^Jane", "St. Mary Hospital")
DIGITS = ("12/03/1961", "1987-11-30", "ID 00382915", "14:52:07", "ACC 7720418", "58Y F")
OTHERS = ("Иванова Анна", "Παπαδοπούλου")
OTHER_FONT = "DejaVuSans.ttf"


@dataclass(frozen=True, kw_only=True, eq=False)
class Text:
    """One text that was drawn: what it is, and its glyph pixels as rows and columns."""

    size: int
    style: str
    script: str
    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class Page:
    """An image with texts, before any compression."""

    image: Gray
    texts: tuple[Text, ...]


def phantoms(seed: int) -> Iterator[Gray]:
    """Yield images of phantoms, each of another patient."""
    config = PhantomConfig(image_size=SIDE, seed=seed, min_views=1, max_views=1)
    for number in count():
        yield simulate_patient(number, config)[0].image


def speckle(seed: int) -> Iterator[Gray]:
    """Yield tissue of another kind: layers of fine speckle, as in `benchmarks.deidentify`."""
    random = np.random.default_rng(seed)
    while True:
        yield tissue(random, SIDE, SIDE)


def folder_images(folder: Path, seed: int) -> Iterator[Gray]:
    """Yield the images of a folder in random order, again and again."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in {".png", ".jpg"})
    if not files:
        raise SystemExit("The folder holds no PNG or JPEG files.")
    random = np.random.default_rng(seed)
    while True:
        for number in random.permutation(len(files)):
            with Image.open(files[number]) as image:
                yield np.asarray(image.convert("L"))


def scripts(font: Path | None, words: str) -> dict[str, Callable[[int], tuple[list[str], Font]]]:
    """Say what is written by script: words and font at a size."""
    found: dict[str, Callable[[int], tuple[list[str], Font]]] = {
        "Latin": lambda size: (list(LATIN), ImageFont.load_default(size)),
        "digits": lambda size: (list(DIGITS), ImageFont.load_default(size)),
    }
    try:
        ImageFont.truetype(OTHER_FONT, 12)
        found["Cyrillic, Greek"] = lambda size: (
            list(OTHERS),
            ImageFont.truetype(OTHER_FONT, size),
        )
    except OSError:
        pass
    if font is not None:
        found["own font"] = lambda size: (words.split(";"), ImageFont.truetype(font, size))
    return found


def _ink(text: str, font: Font, outline: int) -> tuple[npt.NDArray[np.float64], Mask, Mask]:
    """Draw a text: share of ink, glyph pixels, and pixels of the outline."""
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).textbbox(
        (0, 0), text, font=font, stroke_width=outline
    )
    size = (int(right - left) + 2, int(bottom - top) + 2)
    place = (1 - left, 1 - top)
    layers = []
    for width in (0, outline):
        layer = Image.new("L", size)
        ImageDraw.Draw(layer).text(place, text, fill=255, font=font, stroke_width=width)
        layers.append(np.asarray(layer) / 255)
    return layers[0], layers[0] > 0.3, layers[1] > 0.3


def _draw(
    image: Gray,
    taken: Mask,
    text: Text,
    ink: tuple[npt.NDArray[np.float64], Mask, Mask],
    random: np.random.Generator,
) -> Text | None:
    """Draw a text where there is room and the tissue allows its contrast; None if nowhere."""
    share, glyph, outline = ink
    height, width = share.shape
    difference = STYLES[text.style]
    if height + 4 > image.shape[0] or width + 4 > image.shape[1]:
        return None
    for _ in range(200):
        y = int(random.integers(2, image.shape[0] - height - 1))
        x = int(random.integers(2, image.shape[1] - width - 1))
        place = np.s_[y : y + height, x : x + width]
        around = np.s_[max(y - AWAY, 0) : y + height + AWAY, max(x - AWAY, 0) : x + width + AWAY]
        under = image[place].astype(np.float64)
        mean = float(under.mean())
        level = 255.0 if difference is None else mean + difference
        # Across an edge of the image or of a layer the difference would be no difference.
        if taken[around].any() or under.std() > SPREAD or mean < 10 or not 0 <= level <= 255:
            continue
        if difference is None:
            under[outline] = 0
        image[place] = np.rint(under * (1 - share) + level * share).astype(np.uint8)
        taken[place] = True
        rows, columns = np.nonzero(glyph)
        return Text(
            size=text.size, style=text.style, script=text.script, rows=rows + y, columns=columns + x
        )
    return None


def pages(
    source: Iterator[Gray], texts: int, seed: int, font: Path | None = None, words: str = ""
) -> Iterator[Page]:
    """Yield images with texts; every size meets every style equally often, as far as there is room.

    Args:
        source: Images without text.
        texts: How many to draw of each size and style.
        seed: Of everything random.
        font: A further font.
        words: What it writes.
    """
    random = np.random.default_rng(seed)
    known = scripts(font, words)
    wanted = [cell for cell in product(SIZES, STYLES) for _ in range(texts)]
    order = random.permutation(len(wanted)).tolist()
    while order:
        image = next(source).copy()
        taken = np.zeros(image.shape, np.bool_)
        done = []
        for number in order[:TEXTS]:
            size, style = wanted[number]
            script = list(known)[int(random.integers(len(known)))]
            choices, face = known[script](size)
            line = choices[int(random.integers(len(choices)))]
            none = np.zeros(0, np.intp)
            text = Text(size=size, style=style, script=script, rows=none, columns=none)
            drawn = _draw(image, taken, text, _ink(line, face, int(STYLES[style] is None)), random)
            if drawn is not None:
                done.append(drawn)
        order = order[TEXTS:]
        yield Page(image=image, texts=tuple(done))
