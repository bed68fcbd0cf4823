"""What letters are drawn into: squares of tissue, real and made up, and what machines draw on it.

A network that has seen the speckle of two machines takes that of a third for text. So most squares
are made up here, with speckle of any grain, contrast and filter, far beyond what machines show, and
some are of photographs and textures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.transform import resize

from bussynth.cleaning.calipers import find_calipers
from bussynth.cohort.phantom.config import PhantomConfig
from bussynth.cohort.phantom.patient import simulate_patient
from privacy.deidentify.text import open_detector

__all__ = ["SIDE", "Square", "Tissue", "clutter", "phantoms", "photographs", "square", "textures"]

SIDE = 192
NAMES = Path(__file__).with_name("busbra.txt")
# Images that come with scikit-image and have no letters in them.
TEXTURES = (
    *("brick", "camera", "cat", "cell", "coffee", "grass", "gravel", "hubble_deep_field"),
    *("immunohistochemistry", "microaneurysms", "moon", "retina"),
)
Rng = np.random.Generator
Gray = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Tissue:
    """An image, and where in it nothing is known to be written."""

    image: NDArray[np.uint8]
    clear: Mask


@dataclass
class Square:
    """A square to draw into: grays, where it is text, and where that is known."""

    gray: Gray
    target: Gray
    known: Mask


def phantoms(count: int) -> list[Tissue]:
    """Simulate breasts."""
    config = PhantomConfig(image_size=512, seed=90001, min_views=1, max_views=1)
    images = (simulate_patient(number, config)[0].image for number in range(count))
    return [Tissue(image, np.ones(image.shape, np.bool_)) for image in images]


def photographs(folder: Path) -> list[Tissue]:
    """Read images of BUS-BRA, and mark as unknown where text, strokes or a caliper may be.

    The number beside a caliper often is not found, and must not be learned as tissue.
    """
    detector = open_detector("rapidocr+strokes")
    found = []
    for name in NAMES.read_text(encoding="utf-8").split():
        with Image.open(folder / f"{name}.png") as opened:
            image = np.asarray(opened.convert("L"))
        boxes = [one.rectangle for one in detector.find(image)]
        marks = find_calipers(image, text_boxes=boxes)
        edges = [(box.left - 3, box.top - 3, box.right + 3, box.bottom + 3) for box in boxes]
        edges += [(mark.x - 24, mark.y - 24, mark.x + 25, mark.y + 25) for mark in marks]
        clear = np.ones(image.shape, np.bool_)
        for left, top, right, bottom in edges:
            clear[max(top, 0) : bottom, max(left, 0) : right] = False
        found.append(Tissue(image, clear))
    return found


def textures() -> list[Tissue]:
    """Load the images that come with scikit-image."""
    found = []
    for name in TEXTURES:
        image = Image.fromarray(getattr(skimage.data, name)()).convert("L")
        image.thumbnail((768, 768))
        found.append(Tissue(np.asarray(image), np.ones(image.size[::-1], np.bool_)))
    return found


def square(images: Sequence[Sequence[Tissue]], shares: Sequence[float], rng: Rng) -> Square:
    """Cut a square out of an image of one kind, or make one up, and change how it looks.

    Args:
        images: Kinds of images.
        shares: How often each kind is taken; speckle is made up for the rest.
        rng: For chance.
    """
    kind = int(np.searchsorted(np.cumsum(shares), rng.random(), side="right"))
    if kind == len(images) or not images[kind]:
        gray, known = speckle(rng), np.ones((SIDE, SIDE), np.bool_)
    else:
        gray, known = _cut(images[kind][rng.integers(len(images[kind]))], rng)
    gray = _displayed(gray, rng)
    if rng.random() < 0.25:
        known |= _framed(gray, rng)
    return Square(gray, np.zeros((SIDE, SIDE), np.float32), known)


def _cut(one: Tissue, rng: Rng) -> tuple[Gray, Mask]:
    """Cut a square at a random size and turn it."""
    scale = float(np.exp(rng.uniform(np.log(0.5), np.log(2.2))))
    edge = max(round(SIDE / scale), 8)
    image, clear = one.image, one.clear
    top, left = (int(rng.integers(max(length - edge, 0) + 1)) for length in image.shape)
    part, known = (whole[top : top + edge, left : left + edge] for whole in (image, clear))
    missing = [(0, max(edge - length, 0)) for length in part.shape]
    part, known = np.pad(part, missing), np.pad(known, missing, constant_values=True)
    way = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)[rng.integers(2)]
    gray = np.asarray(Image.fromarray(part).resize((SIDE, SIDE), way), np.float32)
    clear = np.asarray(Image.fromarray(known).resize((SIDE, SIDE), Image.Resampling.NEAREST))
    turns, mirrored = int(rng.choice([0, 0, 0, 1, 2, 3])), rng.random() < 0.5
    gray, clear = np.rot90(gray, turns), np.rot90(clear, turns)
    if mirrored:
        gray, clear = gray[:, ::-1], clear[:, ::-1]
    return gray.copy(), clear.copy()


def speckle(rng: Rng) -> Gray:
    """Make up tissue: speckle of a random grain, over layers and shapes, in grays."""
    enlarged = rng.uniform(1, 3) if rng.random() < 0.35 else 1.0
    edge = round(SIDE / enlarged)
    noise = _noise(edge, rng)
    decibels = _decibels(edge, rng)
    if rng.random() < 0.7:
        # Compressed logarithmically: the envelope's spread does not depend on its level.
        spread = rng.uniform(30, 90)
        level = 20 * np.log10(noise / noise.mean() + 1e-3) + decibels
        gray = 255 * (level / spread + rng.uniform(0.2, 0.6))
    else:
        level = noise / noise.mean() * 10 ** (decibels / 40)
        gray = rng.uniform(40, 130) * level ** rng.uniform(0.3, 1.2)
    if edge != SIDE:
        gray = resize(gray, (SIDE, SIDE), order=int(rng.integers(0, 4)), mode="edge")
    return np.clip(gray, 0, 255).astype(np.float32)


def _noise(edge: int, rng: Rng) -> Gray:
    """Make positive noise of a random grain: of an envelope, or of another distribution."""
    fine = float(np.exp(rng.uniform(np.log(0.25), np.log(3.5))))
    grains = (fine, fine * float(np.exp(rng.uniform(0, np.log(4)))))
    grains = grains if rng.random() < 0.85 else grains[::-1]
    smooth: Callable[[Gray], Gray]
    if rng.random() < 0.6:
        smooth = partial(ndimage.gaussian_filter, sigma=grains, mode="wrap")
    else:
        sizes = [max(round(3 * grain), 1) for grain in grains]
        times = int(rng.integers(1, 3))

        def smooth(one: Gray) -> Gray:
            for _ in range(times):
                one = ndimage.uniform_filter(one, sizes, mode="wrap")
            return one

    looks = int(rng.choice([1, 1, 1, 2, 4]))
    kind = rng.random()
    total = np.zeros((edge, edge), np.float32)
    for _ in range(looks):
        if kind < 0.7:
            one, other = (smooth(rng.standard_normal((edge, edge), np.float32)) for _ in range(2))
            total += np.hypot(one, other)
        elif kind < 0.85:
            one = smooth(rng.standard_normal((edge, edge), np.float32))
            total += np.maximum(1 + rng.uniform(0.05, 0.5) * one / one.std(), 0.01)
        else:
            total += np.maximum(smooth(rng.standard_exponential((edge, edge), np.float32)), 0.001)
    return total


def _decibels(edge: int, rng: Rng) -> Gray:
    """Make up how bright tissue is: a slope, layers, shapes and bright surfaces, in decibels."""
    rows, columns = np.mgrid[0:edge, 0:edge].astype(np.float32) / edge
    level = rng.uniform(-15, 15) * rows + rng.uniform(-6, 6) * columns
    if rng.random() < 0.6:
        cloud = ndimage.gaussian_filter(
            rng.standard_normal((edge, edge), np.float32), edge * rng.uniform(0.02, 0.2)
        )
        level += rng.uniform(0, 10) * cloud / max(float(cloud.std()), 1e-6)
    if rng.random() < 0.5:
        tilt, waves = rng.uniform(-1, 1), rng.uniform(1, 15)
        bend = rng.uniform(0, 0.1) * np.sin(rng.uniform(1, 8) * columns + rng.uniform(0, 6))
        level += rng.uniform(2, 14) * np.sin(2 * np.pi * waves * (rows + tilt * columns + bend))
    for _ in range(rng.integers(0, 5)):
        y, x = rng.uniform(-0.1, 1.1, 2)
        tall, wide = np.exp(rng.uniform(np.log(0.02), np.log(0.5), 2))
        angle = rng.uniform(0, np.pi)
        down, along = rows - y, columns - x
        radius = np.hypot(
            (np.cos(angle) * down + np.sin(angle) * along) / tall,
            (np.cos(angle) * along - np.sin(angle) * down) / wide,
        )
        softness = rng.uniform(0.02, 0.4)
        inside = 1 / (1 + np.exp(np.clip((radius - 1) / softness, -30, 30)))
        level += rng.choice([-40, -20, -10, 8, 15, 25]) * inside
        if rng.random() < 0.3:
            level += rng.uniform(5, 25) * np.exp(-(((radius - 1) / rng.uniform(0.02, 0.15)) ** 2))
    return level.astype(np.float32)


def _displayed(gray: Gray, rng: Rng) -> Gray:
    """Change a square as machines and viewers do: filters, gamma, brightness, few grays, lines."""
    if rng.random() < 0.2:
        blurred = ndimage.gaussian_filter(gray, rng.uniform(0.6, 3))
        gray = gray + rng.uniform(0.3, 2) * (gray - blurred)
    if rng.random() < 0.1:
        gray = ndimage.median_filter(gray, int(rng.choice([3, 5])))
    if rng.random() < 0.15:
        gray = ndimage.gaussian_filter(gray, rng.uniform(0.4, 1.5))
    if rng.random() < 0.4:
        gray = 255 * (np.clip(gray, 0, 255) / 255) ** rng.uniform(0.5, 2)
    gray = gray * rng.uniform(0.6, 1.3) + rng.uniform(-15, 15)
    if rng.random() < 0.05:
        step = float(rng.choice([4, 8, 16]))
        gray = np.floor(gray / step) * step
    if rng.random() < 0.04:
        gray[:: int(rng.integers(2, 5))] *= rng.uniform(0.7, 1)
    if rng.random() < 0.08:
        gray = 255 - np.clip(gray, 0, 255)
    return np.clip(gray, 0, 255).astype(np.float32)


def _framed(gray: Gray, rng: Rng) -> Mask:
    """Replace one side of a square by a flat ground, as outside of the image; say where."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] - SIDE / 2
    angle = rng.choice([0, 0.5, 1, 1.5]) * np.pi + (rng.random() < 0.5) * rng.uniform(-0.7, 0.7)
    outside: Mask = rows * np.sin(angle) + columns * np.cos(angle) > rng.uniform(-0.2, 0.45) * SIDE
    gray[outside] = rng.uniform(0, 60) if rng.random() < 0.8 else rng.uniform(60, 255)
    return outside


def clutter(one: Square, rng: Rng) -> None:
    """Draw what machines draw that is no text: lines, ticks, ellipses, bars; crosses are left open.

    A cross may be a caliper or a plus sign, so where one is drawn nothing is said.
    """
    canvas = Image.new("L", (SIDE, SIDE))
    pen = ImageDraw.Draw(canvas)
    for _ in range(rng.integers(1, 4)):
        x, y = (int(v) for v in rng.integers(0, SIDE, 2))
        kind = rng.integers(6)
        if kind == 0:  # a cross
            arm, tilted = int(rng.integers(3, 8)), rng.random() < 0.4
            ends = ((arm, arm), (arm, -arm)) if tilted else ((arm, 0), (0, arm))
            for across, down in ends:
                pen.line((x - across, y - down, x + across, y + down), fill=255)
            place = slice(max(y - arm - 3, 0), y + arm + 4), slice(max(x - arm - 3, 0), x + arm + 4)
            one.known[place] = False
        elif kind == 1:  # a line, whole, dashed or dotted
            length, angle = rng.uniform(20, 200), rng.uniform(0, np.pi)
            gap, dash = int(rng.integers(2, 10)), int(rng.integers(1, 6))
            for at in np.arange(0, length, dash + gap if rng.random() < 0.7 else dash):
                start = (x + at * np.cos(angle), y + at * np.sin(angle))
                end = (start[0] + dash * np.cos(angle), start[1] + dash * np.sin(angle))
                pen.line((*start, *end), fill=255)
        elif kind == 2:  # ticks of a scale
            gap, long, every = (
                int(rng.integers(4, 40)),
                int(rng.integers(2, 8)),
                rng.integers(2, 11),
            )
            upright = rng.random() < 0.7
            for number, at in enumerate(range(int(rng.integers(gap)), SIDE, gap)):
                tick = long * (1 + (number % every == 0))
                pen.line((x, at, x + tick, at) if upright else (at, y, at, y + tick), fill=255)
        elif kind == 3:  # an ellipse, whole or dotted
            wide, tall = (int(v) for v in rng.integers(8, 90, 2))
            step = int(rng.choice([360, 4, 6, 10]))
            for at in range(0, 360, step):
                pen.arc((x - wide, y - tall, x + wide, y + tall), at, at + (step + 1) // 2)
            if step == 360:
                pen.ellipse((x - wide, y - tall, x + wide, y + tall), outline=255)
        elif kind == 4:  # a bar, as of grays
            wide, tall = int(rng.integers(4, 18)), int(rng.integers(20, 150))
            inside = one.gray[y : y + tall, x : x + wide]
            inside[...] = np.linspace(255, 0, tall, dtype=np.float32)[: len(inside), None]
        else:  # a triangle that marks the focus
            edge = int(rng.integers(3, 9))
            pen.polygon([(x, y - edge), (x, y + edge), (x + edge, y)], fill=255)
    ink = np.asarray(canvas, np.float32) / 255
    ink = ndimage.gaussian_filter(ink, 0.5) if rng.random() < 0.3 else ink
    bright = rng.uniform(60, 255) if rng.random() < 0.9 else 0
    one.gray[...] = one.gray * (1 - ink) + bright * ink
