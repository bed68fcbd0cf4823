"""How much burned-in text the text gate finds, and how much tissue it takes with it.

    python -m benchmarks.pixel_text [--texts N] [--clean N] [--engine NAME]...
        [--font FILE --words "A;B"] [--tissue speckle] [--images FOLDER] [--seed N]

Text is drawn into phantoms, into finer speckle of another formula (``--tissue speckle``), or into
``--images``: names, dates and numbers, and, if a font is there, names in Cyrillic and Greek;
``--font`` adds one more font and ``--words`` what it writes. Every size meets every style; every
second image is compressed by JPEG of quality 75 afterwards. A style is a difference in gray to the
tissue around the text (minus: darker), or white with a black outline.

A text counts as **found** if at least 90 % of its glyph pixels lie in boxes, so that blanking the
boxes leaves nothing to read. Intervals are Wilson's, 95 %, as if the texts of one image were
independent. **Clean images marked** is the share of images without text that have a box, **clean
area marked** the mean share of their pixels in boxes, **area marked** the same for images with
texts, away from them. Images without text are never those of a folder, for they may carry text of
their own; that also counts as area marked. **ms** is the median time of a clean image of
512 x 512 pixels, one thread.
"""

from __future__ import annotations

import argparse
import io
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from audits.statistics.intervals import wilson
from benchmarks.pixel_pages import (
    AWAY,
    STYLES,
    Gray,
    Mask,
    Page,
    folder_images,
    pages,
    phantoms,
    speckle,
)
from privacy.deidentify.text import TextBox, available, open_detector

__all__ = ["main"]

QUALITIES = (None, 75)
TISSUES = {"phantoms": phantoms, "speckle": speckle}
FOUND = 0.9


def compressed(image: Gray, quality: int | None) -> Gray:
    """Return an image after JPEG, or as it is."""
    if quality is None:
        return image
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=quality)
    return np.asarray(Image.open(out))


def covered(boxes: Iterable[TextBox], shape: tuple[int, ...]) -> Mask:
    """Mark the pixels of boxes."""
    mask = np.zeros(shape, np.bool_)
    for box in boxes:
        place = box.rectangle
        mask[place.top : place.bottom, place.left : place.right] = True
    return mask


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one engine did to one text."""

    size: int
    style: str
    script: str
    quality: str
    found: bool


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one engine did to all images.

    Attributes:
        name: Engine, version and model.
        seen: Its texts.
        marked: Shares of the area away from texts that it marked, one an image with texts.
        clean: Shares of the area that it marked, one an image without text.
        seconds: Times, one an image without text.
    """

    name: str
    seen: tuple[Seen, ...]
    marked: tuple[float, ...]
    clean: tuple[float, ...]
    seconds: tuple[float, ...]


def away(page: Page) -> Mask:
    """Mark the pixels that belong to no text nor to its surroundings."""
    near = np.zeros(page.image.shape, np.bool_)
    for text in page.texts:
        top, bottom = max(int(text.rows.min()) - AWAY, 0), int(text.rows.max()) + AWAY + 1
        left, right = max(int(text.columns.min()) - AWAY, 0), int(text.columns.max()) + AWAY + 1
        near[top:bottom, left:right] = True
    return ~near


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """What one engine alone sees in all images.

    Attributes:
        name: Engine, version and model.
        boxes: Of each image.
        seconds: Of each image.
    """

    name: str
    boxes: tuple[tuple[TextBox, ...], ...]
    seconds: tuple[float, ...]


def look(engine: str, images: Iterable[Gray]) -> Look:
    """Run one engine over all images."""
    detector = open_detector(engine)
    boxes, seconds = [], []
    for image in images:
        start = time.perf_counter()
        boxes.append(detector.find(image))
        seconds.append(time.perf_counter() - start)
    return Look(name=detector.name, boxes=tuple(boxes), seconds=tuple(seconds))


def measure(looks: Sequence[Look], written: list[Page], clean: list[Gray]) -> Result:
    """Judge one engine, or the union of several, over images with and without text."""
    every = [
        [box for part in parts for box in part]
        for parts in zip(*(one.boxes for one in looks), strict=True)
    ]
    seconds = [sum(parts) for parts in zip(*(one.seconds for one in looks), strict=True)]
    seen, marked = [], []
    for number, page in enumerate(written):
        quality = QUALITIES[number % 2]
        mask = covered(every[number], page.image.shape)
        far = away(page)
        marked.append(float(mask[far].mean()) if far.any() else 0.0)
        seen += [
            Seen(
                size=text.size,
                style=text.style,
                script=text.script,
                quality="lossless" if quality is None else f"JPEG {quality}",
                found=bool(mask[text.rows, text.columns].mean() >= FOUND),
            )
            for text in page.texts
        ]
    rest = every[len(written) :]
    return Result(
        name="; ".join(one.name for one in looks),
        seen=tuple(seen),
        marked=tuple(marked),
        clean=tuple(
            float(covered(boxes, image.shape).mean())
            for boxes, image in zip(rest, clean, strict=True)
        ),
        seconds=tuple(seconds[len(written) :]),
    )


def percent(hits: int, trials: int) -> str:
    """Write a share with its interval."""
    if not trials:
        return "none"
    between = wilson(hits, trials)
    return f"{hits / trials:.1%} ({between.low:.1%} to {between.high:.1%})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table in markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summary(results: dict[str, Result]) -> str:
    """Write what each engine finds and takes, all texts together."""
    rows = []
    for engine, result in results.items():
        hits = sum(one.found for one in result.seen)
        boxed = sum(share > 0 for share in result.clean)
        rows.append(
            [
                engine,
                percent(hits, len(result.seen)),
                percent(boxed, len(result.clean)),
                f"{np.mean(result.clean):.2%}" if result.clean else "none",
                f"{np.mean(result.marked):.2%}",
                f"{1000 * statistics.median(result.seconds):.0f}" if result.seconds else "none",
            ]
        )
    head = ["engine", "found", "clean images marked", "clean area marked", "area marked", "ms"]
    return table(head, rows)


def crossed(seen: Iterable[Seen], by: Callable[[Seen], str], across: Callable[[Seen], str]) -> str:
    """Write the shares found, one kind by row and one by column."""
    cells: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for one in seen:
        cells[by(one), across(one)].append(one.found)
        cells[by(one), "all"].append(one.found)
    columns = [*dict.fromkeys(across(one) for one in seen), "all"]
    rows = [
        [row, *(percent(sum(cells[row, column]), len(cells[row, column])) for column in columns)]
        for row in dict.fromkeys(by(one) for one in seen)
    ]
    return table(["", *columns], rows)


def report(results: dict[str, Result]) -> Iterator[str]:
    """Write all tables."""
    yield summary(results)
    for engine, result in results.items():
        seen = sorted(result.seen, key=lambda one: (one.size, list(STYLES).index(one.style)))
        yield f"**{engine}** ({result.name}), found by size in pixels and style"
        yield crossed(seen, lambda one: str(one.size), lambda one: one.style)
        yield f"**{engine}**, found by compression and style"
        yield crossed(seen, lambda one: one.quality, lambda one: one.style)
        yield f"**{engine}**, found by script and size"
        yield crossed(seen, lambda one: one.script, lambda one: str(one.size))


def main() -> None:
    """Parse the arguments and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=12, help="of each size and style")
    parser.add_argument("--clean", type=int, default=60, help="images without text")
    parser.add_argument("--engine", action="append", help="joined by a plus sign for the union")
    parser.add_argument("--font", type=Path, help="one more font")
    parser.add_argument("--words", default="", help="what it writes, separated by semicolons")
    parser.add_argument("--tissue", choices=TISSUES, default="phantoms")
    parser.add_argument("--images", type=Path, help="draw into images of this folder instead")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if (given.font is None) != (not given.words):
        parser.error("--font and --words go together")
    engines = given.engine
    if not engines:
        engines = [engine for engine in available() if engine != "none"]
        if {"rapidocr", "strokes"} <= set(engines):
            engines.append("rapidocr+strokes")
    plain = TISSUES[given.tissue]
    tissue = plain if given.images is None else partial(folder_images, given.images)
    written = list(pages(tissue(given.seed), given.texts, given.seed, given.font, given.words))
    clean = list(islice(plain(given.seed + 1), given.clean))
    print(f"{sum(len(page.texts) for page in written)} texts in {len(written)} images")
    images = [
        compressed(image, QUALITIES[number % 2])
        for group in ([page.image for page in written], clean)
        for number, image in enumerate(group)
    ]
    looks = {}
    for engine in dict.fromkeys(name for joined in engines for name in joined.split("+")):
        looks[engine] = look(engine, images)
        print(f"{engine} done", file=sys.stderr, flush=True)
    results = {
        joined: measure([looks[name] for name in joined.split("+")], written, clean)
        for joined in engines
    }
    for part in report(results):
        print(part, end="\n\n", flush=True)


if __name__ == "__main__":
    main()
