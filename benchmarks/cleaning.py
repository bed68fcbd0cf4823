"""How well images that carry shortcuts, or are no plain B-mode, are flagged.

    python -m benchmarks.cleaning --data FOLDER [--text ENGINE]... [--simulated N] [--seed N]

FOLDER holds BUS-BRA (``Images/`` and ``bus_data.csv``). Three tables:

1. **Labelled images.** `cleaning_labels.csv` labels 320 images, drawn without replacement by
   ``numpy.random.default_rng(2026)`` from the sorted ids. One reader, who is no physician, looked
   at contact sheets of 12 tiles with a longer edge of 356 pixels, and at 32 doubtful images once
   more at 480 pixels, before any detector had seen them. ``text`` is a word or a value,
   ``small_characters`` are numbers and letters beside calipers and on scales. ``unsure`` images are
   left out of the row. The detectors were tuned on 96 other images, of other patients, drawn by
   ``default_rng(7)``. The threshold of near-duplicates saw all pairs of views, and the engines of
   text have a benchmark of their own.
2. **Simulated images**, for what BUS-BRA has none of: the labelled images put side by side, under
   maps of colour, in tints, with pictograms, or blacked out. They say what the detectors do with
   the simulation; real ones are more varied. Rows in colour are JPEG of quality 75 to 95. How wide
   flow must be was set after a first look at simulated flow.
3. **Near-duplicates**: altered copies against all pairs of images of one patient.

Intervals are Wilson's, 95 %, as if images were independent; 21 patients have two images in the
sample. Precision is that of the sample, in which nearly every image carries something: look at the
false alarms among the negatives. ``ms`` is the mean time of one image, one thread.
"""

from __future__ import annotations

import argparse
import csv
import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from scipy import ndimage

from audits.statistics.intervals import wilson
from bussynth.cleaning.body_marks import find_body_marks, find_logos
from bussynth.cleaning.calipers import find_calipers
from bussynth.cleaning.dual_view import find_seam
from bussynth.cleaning.duplicates import near_duplicates, signature
from bussynth.cleaning.flags import Flag, find_flags
from bussynth.cleaning.invalid import find_invalidity
from bussynth.cleaning.text import find_text
from privacy.deidentify.colour_marks import colour_finding
from privacy.deidentify.text import TextDetector, available, open_detector

__all__ = ["main"]

Gray = npt.NDArray[np.uint8]
Random = np.random.Generator

LABELS = Path(__file__).with_name("cleaning_labels.csv")
COLUMNS = ("calipers", "text", "body_mark_or_logo", "dual_view", "invalid")
MAP = ((0, 0, 160), (0, 120, 255), (0, 220, 120), (255, 230, 0), (230, 20, 0))
"""Colours of a map of stiffness, from hard to soft."""


@dataclass(frozen=True, slots=True)
class _Labelled:
    """One labelled image, its labels, and what was found in it."""

    gray: Gray
    labels: dict[str, str]


def main(arguments: list[str] | None = None) -> None:
    """Measure and print the three tables."""
    options = _parser().parse_args(arguments)
    labelled = list(_labelled(options.data))
    print("| flag | text by | positives | found | recall | negatives | false | precision | ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    for engine in options.text or ["strokes"]:
        _print_labelled(labelled, engine)
    bases = [one.gray for one in labelled]
    print("\n| simulated | images | flagged as it should be | other flags |\n|---|---|---|---|")
    for name, flag, make in _simulations():
        _print_simulated(name, flag, make, bases, options.simulated, options.seed)
    print("\n| near-duplicates | pairs | grouped |\n|---|---|---|")
    _print_duplicates(options.data, bases, options.seed)


def _print_labelled(labelled: Sequence[_Labelled], engine: str) -> None:
    detector = open_detector(engine)
    found: dict[str, list[bool]] = {column: [] for column in COLUMNS}
    seconds = dict.fromkeys(COLUMNS, 0.0)
    for one in labelled:
        for column, result, spent in _detect(one.gray, detector):
            found[column].append(result)
            seconds[column] += spent
    rows = [(column, column, [one.labels[column] for one in labelled]) for column in COLUMNS]
    written = [_any(one.labels["text"], one.labels["small_characters"]) for one in labelled]
    words = [
        "yes" if one.labels["text"] == "yes" else "no" if any_text == "no" else "unsure"
        for one, any_text in zip(labelled, written, strict=True)
    ]
    rows[1:2] = [("text", "text or small characters", written), ("text", "text", words)]
    for column, name, truth in rows:
        pairs = list(zip(truth, found[column], strict=True))
        positive = [hit for label, hit in pairs if label == "yes"]
        negative = [hit for label, hit in pairs if label == "no"]
        hits, false = sum(positive), sum(negative)
        print(
            f"| {name} | {engine} | {len(positive)} | {hits} | {_share(hits, len(positive))} "
            f"| {len(negative)} | {false} | {_share(hits, hits + false)} "
            f"| {1000 * seconds[column] / len(labelled):.0f} |"
        )


def _detect(gray: Gray, detector: TextDetector) -> Iterator[tuple[str, bool, float]]:
    """Run the detectors one by one; the time of text is that of its engine."""
    start = time.process_time()
    boxes = find_text(gray, detector=detector)
    spent = time.process_time() - start
    yield "text", bool(boxes), spent
    works: dict[str, Callable[[], object]] = {
        "calipers": lambda: find_calipers(gray, text_boxes=boxes),
        "body_mark_or_logo": lambda: find_body_marks(gray) or find_logos(gray, text_boxes=boxes),
        "dual_view": lambda: find_seam(gray) is not None,
        "invalid": lambda: find_invalidity(gray) is not None,
    }
    for column, work in works.items():
        start = time.process_time()
        result = bool(work())
        yield column, result, time.process_time() - start


def _any(*labels: str) -> str:
    return "yes" if "yes" in labels else "unsure" if "unsure" in labels else "no"


def _share(part: int, whole: int) -> str:
    if not whole:
        return "none"
    interval = wilson(part, whole)
    return f"{part / whole:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _simulations() -> Iterator[tuple[str, Flag | None, Callable[[Sequence[Gray], Random], Gray]]]:
    """Name, the flag it should have, and what makes one image, gray or in colour."""
    for gap, level, name in (
        (0, 0, "no gap"),
        (1, 0, "dark line of 1 pixel"),
        (1, 220, "bright line of 1 pixel"),
        (12, 0, "dark gap of 12 pixels"),
    ):
        yield f"two views, {name}", Flag.DUAL_VIEW, partial(_side_by_side, gap=gap, level=level)
    yield (
        "gray, stored as RGB",
        None,
        lambda bases, random: _compressed(_rgb(_one(bases, random)), random),
    )
    for width in (3, 6, 10):
        yield (
            f"colour Doppler, vessels of {width} pixels",
            Flag.DOPPLER,
            partial(_flow, width=width),
        )
    yield "power Doppler, vessels of 6 pixels", Flag.DOPPLER, partial(_flow, width=6, power=True)
    yield "elastography, opaque", Flag.ELASTOGRAPHY, partial(_stiffness, opacity=1.0)
    yield "elastography, half transparent", Flag.ELASTOGRAPHY, partial(_stiffness, opacity=0.5)
    yield "coloured calipers", Flag.COLOUR_MARKS, _coloured_marks
    yield "tint", Flag.TINT, _tint
    yield "pictogram, closed circle", Flag.BODY_MARK, partial(_pictogram, end=360)
    yield "pictogram, open arc", Flag.BODY_MARK, partial(_pictogram, end=300)
    yield "four fifths black", Flag.INVALID, _blacked_out
    yield "form", Flag.INVALID, _form


def _print_simulated(
    name: str,
    flag: Flag | None,
    make: Callable[[Sequence[Gray], Random], Gray],
    bases: Sequence[Gray],
    count: int,
    seed: int,
) -> None:
    """Flag simulated images; what the labelled images carry anyway is not looked at."""
    looked_at = set(Flag) - {Flag.CALIPERS, Flag.TEXT}
    if flag is not Flag.BODY_MARK:
        looked_at.discard(Flag.BODY_MARK)
    hits, others = 0, 0
    for number in range(count):
        image = make(bases, np.random.default_rng((seed, number)))
        if flag is Flag.BODY_MARK:
            # Logos of the images below do not count.
            found = {Flag.BODY_MARK} if find_body_marks(image) else set()
        else:
            gray = image if image.ndim == 2 else np.asarray(Image.fromarray(image).convert("L"))
            colour = None if image.ndim == 2 else colour_finding(image)
            found = set(find_flags(gray, colour=colour, text_boxes=())) & looked_at
        hits += not found if flag is None else flag in found
        others += bool(found - {flag})
    print(f"| {name} | {count} | {_share(hits, count)} | {others} |")


def _one(bases: Sequence[Gray], random: Random) -> Gray:
    return bases[int(random.integers(len(bases)))]


def _rgb(gray: Gray) -> Gray:
    return np.repeat(gray[..., None], 3, axis=2)


def _compressed(image: Gray, random: Random) -> Gray:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=int(random.integers(75, 96)))
    return np.asarray(Image.open(out))


def _side_by_side(bases: Sequence[Gray], random: Random, *, gap: int, level: int) -> Gray:
    left, right = _one(bases, random), _one(bases, random)
    # The narrower one may be narrower by a third at most, so that the seam is near the middle.
    while not 2 / 3 <= left.shape[1] / right.shape[1] <= 3 / 2:
        right = _one(bases, random)
    rows = min(len(left), len(right))
    between = np.full((rows, gap), level, np.uint8)
    return np.concatenate([left[:rows], between, right[:rows]], axis=1)


def _field(shape: tuple[int, ...], smooth: float, random: Random) -> npt.NDArray[np.float64]:
    field = ndimage.gaussian_filter(random.normal(size=shape), smooth)
    return np.asarray(field / field.std())


def _inner_box(shape: tuple[int, ...], random: Random) -> tuple[slice, slice]:
    """A box of a third to two thirds of each edge."""
    parts = []
    for size in shape:
        length = int(size * random.uniform(1 / 3, 2 / 3))
        first = int(random.integers(0, size - length))
        parts.append(slice(first, first + length))
    return parts[0], parts[1]


def _flow(bases: Sequence[Gray], random: Random, *, width: int, power: bool = False) -> Gray:
    """Six bent vessels within a box, red and blue, or from red to yellow."""
    gray = _one(bases, random)
    image, box = _rgb(gray).astype(np.float64), _inner_box(gray.shape, random)
    rows, columns = gray[box].shape
    vessels = Image.new("1", (columns, rows))
    pen = ImageDraw.Draw(vessels)
    for _ in range(6):
        steps = 6 * np.cumsum(np.cumsum(random.normal(size=(12, 2)), axis=0) / 2, axis=0)
        path = steps + random.uniform(0.2, 0.8, 2) * (columns, rows)
        pen.line([tuple(place) for place in path.tolist()], fill=1, width=width, joint="curve")
    flow = np.asarray(vessels)
    speed = _field((rows, columns), 10, random)
    strength = np.clip(0.55 + 0.25 * np.abs(speed), 0, 1)[..., None]
    if power:
        colour = strength * np.array((255, 128, 12))
    else:
        colour = strength * np.where(speed[..., None] > 0, (235, 40, 20), (30, 70, 240))
    image[box][flow] = colour[flow]
    return _compressed(np.rint(image).astype(np.uint8), random)


def _stiffness(bases: Sequence[Gray], random: Random, *, opacity: float) -> Gray:
    gray = _one(bases, random)
    image, box = _rgb(gray).astype(np.float64), _inner_box(gray.shape, random)
    place = np.clip(2 + _field(gray[box].shape, random.uniform(8, 20), random), 0, 4)
    colour = np.stack([np.interp(place, range(5), [c[k] for c in MAP]) for k in range(3)], axis=2)
    image[box] = (1 - opacity) * image[box] + opacity * colour
    return _compressed(np.rint(image).astype(np.uint8), random)


def _coloured_marks(bases: Sequence[Gray], random: Random) -> Gray:
    image = Image.fromarray(_rgb(_one(bases, random)))
    pen = ImageDraw.Draw(image)
    colour = ((255, 255, 0), (0, 255, 0), (0, 255, 255), (255, 130, 0))[int(random.integers(4))]
    for _ in range(4):
        x, y = (int(random.integers(10, size - 10)) for size in image.size)
        pen.line((x - 5, y, x + 5, y), fill=colour, width=2)
        pen.line((x, y - 5, x, y + 5), fill=colour, width=2)
    return _compressed(np.asarray(image), random)


def _tint(bases: Sequence[Gray], random: Random) -> Gray:
    middle = np.array(((160, 125, 90), (150, 128, 105), (110, 130, 160)))[random.integers(3)]
    table = [np.interp(range(256), (0, 128, 255), (0, value, 255)) for value in middle]
    return _compressed(np.stack(table, 1).astype(np.uint8)[_one(bases, random)], random)


def _pictogram(bases: Sequence[Gray], random: Random, *, end: int) -> Gray:
    """A breast as a circle with a nipple, and the transducer as a bar."""
    image = Image.fromarray(_one(bases, random))
    pen, side = ImageDraw.Draw(image), int(random.integers(32, 64))
    x = int(random.integers(4, image.width - side - 4))
    y = image.height - side - int(random.integers(4, 20))
    level = int(random.integers(180, 256))
    pen.arc((x, y, x + side, y + side), 0, end, fill=level)
    pen.ellipse((x + side // 2 - 2, y + side // 2 - 2, x + side // 2 + 2, y + side // 2 + 2), level)
    pen.line((x + side // 4, y + side // 3, x + side // 2, y + side // 4), fill=level, width=2)
    return np.asarray(image)


def _blacked_out(bases: Sequence[Gray], random: Random) -> Gray:
    image = _one(bases, random).copy()
    image[len(image) // 5 :] = 0
    return image


def _form(bases: Sequence[Gray], random: Random) -> Gray:
    """A page of text with a small image on it."""
    page = Image.new("L", (800, 600), int(random.choice((0, 30, 235, 255))))
    ink = 255 if np.asarray(page)[0, 0] < 128 else 0
    pen = ImageDraw.Draw(page)
    for line in range(12):
        pen.text((40, 30 + 22 * line), "Lesion 1  12.3 mm x 8.1 mm  depth 14 mm", fill=ink)
    page.paste(Image.fromarray(_one(bases, random)).resize((160, 200)), (600, 360))
    return np.asarray(page)


def _print_duplicates(folder: Path, bases: Sequence[Gray], seed: int) -> None:
    changes: dict[str, Callable[[Gray], Gray]] = {
        "copy, gain 0.8": lambda gray: (gray * 0.8).astype(np.uint8),
        "copy, gain 1.2, cut at 255": lambda gray: np.minimum(gray * 1.2, 255).astype(np.uint8),
        "copy, gamma 0.8": lambda gray: (255 * (gray / 255) ** 0.8).astype(np.uint8),
        "copy, JPEG of quality 50": _worn,
        "copy, with calipers and text": _annotated,
        "copy, shifted by 2 pixels": lambda gray: np.roll(gray, 2, axis=1),
        "copy, shifted by 4 pixels": lambda gray: np.roll(gray, 4, axis=1),
        "copy, shifted by 8 pixels": lambda gray: np.roll(gray, 8, axis=1),
    }
    for name, change in changes.items():
        grouped = sum(
            bool(near_duplicates([signature(gray), signature(change(gray))], ["p", "p"]))
            for gray in bases
        )
        print(f"| {name} | {len(bases)} | {_share(grouped, len(bases))} |")
    by_patient: dict[str, list[str]] = {}
    for row in _rows(folder / "bus_data.csv"):
        by_patient.setdefault(row["Case"], []).append(row["ID"])
    pairs = [pair for images in by_patient.values() for pair in combinations(sorted(images), 2)]
    grouped = sum(
        bool(near_duplicates([signature(_read(folder, image)) for image in pair], ["p", "p"]))
        for pair in pairs
    )
    print(
        f"| two images of one patient, as they are | {len(pairs)} | {_share(grouped, len(pairs))} |"
    )


def _worn(gray: Gray) -> Gray:
    out = io.BytesIO()
    Image.fromarray(gray).save(out, "JPEG", quality=50)
    return np.asarray(Image.open(out))


def _annotated(gray: Gray) -> Gray:
    image = Image.fromarray(gray)
    pen = ImageDraw.Draw(image)
    pen.text((image.width // 4, image.height * 4 // 5), "LEFT BREAST 3 H", fill=255)
    for x, y in ((image.width // 3, image.height // 4), (image.width // 2, image.height // 3)):
        pen.line((x - 5, y, x + 5, y), fill=255)
        pen.line((x, y - 5, x, y + 5), fill=255)
    return np.asarray(image)


def _labelled(folder: Path) -> Iterator[_Labelled]:
    for row in _rows(LABELS):
        yield _Labelled(_read(folder, row["image"]), row)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _read(folder: Path, image: str) -> Gray:
    with Image.open(folder / "Images" / f"{image}.png") as file:
        return np.asarray(file.convert("L"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cleaning", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, required=True, help="folder of BUS-BRA")
    parser.add_argument(
        "--text", action="append", help=f"engine of text; here: {', '.join(available())}"
    )
    parser.add_argument("--simulated", type=int, default=100, help="images of each simulation")
    parser.add_argument("--seed", type=int, default=1)
    return parser


if __name__ == "__main__":
    main()
