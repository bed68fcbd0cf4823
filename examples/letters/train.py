"""Train the text engine ``letters``: a small network that tells letters from speckle.

::

    python examples/letters/train.py OUT.safetensors [--minutes 16] [--real FOLDER] [--seed 5]

Text of 7 to 40 pixels in random words, dates and numbers is drawn into tissue: phantoms, and, with
``--real``, the images of BUS-BRA (doi 10.1002/mp.16812, folder ``Images``) that ``busbra.txt``
names: those that ``benchmarks.cleaning`` was tuned on, not those that it measures with. Where the
engine rapidocr finds text in real images, nothing is learned. Letters are 22 to 200 grays brighter
or darker than what is around them, some outlined, blurred or compressed by JPEG.

The weights in the box were made in 16 minutes on two cores, with ``--real``, by an earlier form of
this script that drew the same things. The time ends the training and random numbers fall otherwise,
so a run makes other weights; ``python -m benchmarks.pixel_text --engine letters`` says what weights
are worth once they are in the box.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from safetensors.torch import save_file
from scipy import ndimage
from torch.nn import functional as F

from bussynth.cohort.phantom.config import PhantomConfig
from bussynth.cohort.phantom.patient import simulate_patient
from privacy.deidentify.letters_network import LettersNetwork
from privacy.deidentify.text import open_detector

SIDE = 192
BATCH = 12
RATE = 3e-3
PHANTOMS = 48
NAMES = Path(__file__).with_name("busbra.txt")
FONTS = sorted(Path("/usr/share/fonts/truetype/dejavu").glob("*.ttf"))
LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
OTHERS = (
    "АБВГДЕЖЗИКЛМНОПРСТУФХЦЧШЩЭЮЯабвгдежзийклмнопрстуфхцчшщэюя"
    "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩαβγδεζηθικλμνξοπρστυφχψω"
)
Rng = np.random.Generator


@dataclass(frozen=True)
class Tissue:
    """An image, and where in it nothing is known to be written."""

    image: NDArray[np.uint8]
    clear: NDArray[np.bool_]


def phantoms(count: int) -> list[Tissue]:
    """Simulate tissue."""
    config = PhantomConfig(image_size=512, seed=90001, min_views=1, max_views=1)
    images = (simulate_patient(number, config)[0].image for number in range(count))
    return [Tissue(image, np.ones(image.shape, np.bool_)) for image in images]


def photographs(folder: Path) -> list[Tissue]:
    """Read real images, and mark what rapidocr takes for text as unknown."""
    detector = open_detector("rapidocr")
    found = []
    for name in NAMES.read_text(encoding="utf-8").split():
        with Image.open(folder / f"{name}.png") as opened:
            image = np.asarray(opened.convert("L"))
        clear = np.ones(image.shape, np.bool_)
        for box in (one.rectangle for one in detector.find(image)):
            rows = slice(max(box.top - 2, 0), box.bottom + 2)
            clear[rows, max(box.left - 2, 0) : box.right + 2] = False
        found.append(Tissue(image, clear))
    return found


def words(rng: Rng) -> str:
    """Make up what is written."""
    kind = rng.random()
    if kind < 0.175:
        return "".join(rng.choice(list("0123456789"), rng.integers(2, 10)))
    if kind < 0.35:
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


def patch(tissue: Sequence[Tissue], rng: Rng) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Cut a square out of tissue at a random size, mirrored and brightened."""
    one = tissue[rng.integers(len(tissue))]
    image, clear = one.image, one.clear
    scale = rng.uniform(0.7, 1.5)
    if abs(scale - 1) > 0.08:
        size = tuple(max(int(edge * scale), SIDE) for edge in image.shape[::-1])
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))
        clear = np.asarray(Image.fromarray(clear).resize(size, Image.Resampling.NEAREST))
    missing = [(0, max(SIDE - edge, 0)) for edge in image.shape]
    image = np.pad(image, missing)
    clear = np.pad(clear, missing, constant_values=True)
    top, left = (rng.integers(edge - SIDE + 1) for edge in image.shape)
    part = image[top : top + SIDE, left : left + SIDE].astype(np.float32)
    known = clear[top : top + SIDE, left : left + SIDE].copy()
    if rng.random() < 0.5:
        part, known = part[:, ::-1].copy(), known[:, ::-1].copy()
    return np.clip(part * rng.uniform(0.6, 1.3) + rng.uniform(-15, 15), 0, 255), known


def ink(rng: Rng) -> tuple[NDArray[np.float32], NDArray[np.float32], bool]:
    """Draw a line of text: all it covers, its letters alone, and whether it has an outline."""
    size = int(np.exp(rng.uniform(np.log(7), np.log(40))))
    if rng.random() < 0.35 or not FONTS:
        font = ImageFont.load_default(size)
    else:
        font = ImageFont.truetype(str(FONTS[rng.integers(len(FONTS))]), size)
    text = words(rng)
    stroke = int(rng.random() < 0.15) * max(1, size // 12)
    left, top, right, bottom = font.getbbox(text, stroke_width=stroke)
    drawn = []
    for width in (stroke, 0):
        canvas = Image.new("L", (int(right - left) + 2, int(bottom - top) + 2))
        place = (1 - left, 1 - top)
        ImageDraw.Draw(canvas).text(place, text, fill=255, font=font, stroke_width=width)
        drawn.append(np.asarray(canvas, np.float32) / 255)
    cover, letters = drawn
    if rng.random() < 0.25:
        cover = ndimage.gaussian_filter(cover, rng.uniform(0.3, 0.8))
        letters = ndimage.gaussian_filter(letters, 0.5) if stroke else cover
    return cover, letters, bool(stroke)


def write(
    part: NDArray[np.float32], target: NDArray[np.float32], known: NDArray[np.bool_], rng: Rng
) -> None:
    """Write a line of text into a patch, perhaps partly beyond its edge."""
    cover, letters, outlined = ink(rng)
    height, width = cover.shape
    if min(height, width) < 5:
        return
    x = int(rng.integers(-width // 3, max(SIDE - width * 2 // 3, 1)))
    y = int(rng.integers(-2, SIDE - height // 2))
    rows, columns = slice(max(y, 0), min(y + height, SIDE)), slice(max(x, 0), min(x + width, SIDE))
    if rows.stop - rows.start < 4 or columns.stop - columns.start < 4:
        return
    inside = (
        slice(rows.start - y, rows.stop - y),
        slice(columns.start - x, columns.stop - x),
    )
    cover, letters = cover[inside], letters[inside]
    under = part[rows, columns]
    gray = np.exp(rng.uniform(np.log(22), np.log(200))) * (1 if rng.random() < 0.75 else -1)
    if outlined:
        part[rows, columns] = under * (1 - cover) + 255 * letters
    elif rng.random() < 0.6:
        part[rows, columns] = under * (1 - cover) + np.clip(under.mean() + gray, 0, 255) * cover
    else:
        part[rows, columns] = np.clip(under + gray * cover, 0, 255)
    seen = np.argwhere(cover > 0.3)
    if seen.size:
        (top, left), (bottom, right) = seen.min(axis=0), seen.max(axis=0) + 1
        target[rows, columns][top:bottom, left:right] = 1
        known[rows, columns] = True


def example(
    simulated: Sequence[Tissue], real: Sequence[Tissue], rng: Rng
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]:
    """Make a patch, where it is text, and where that is known."""
    part, known = patch(simulated if not real or rng.random() < 0.55 else real, rng)
    target = np.zeros((SIDE, SIDE), np.float32)
    if rng.random() >= 0.3:
        for _ in range(rng.integers(1, 4)):
            write(part, target, known, rng)
    image = np.clip(part, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        out = io.BytesIO()
        Image.fromarray(image).save(out, "JPEG", quality=int(rng.integers(55, 96)))
        image = np.asarray(Image.open(out))
    return image, target, known


def loss_of(odds: torch.Tensor, target: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Weighted cross-entropy and half a Dice loss, where the answer is known."""
    entropy = F.binary_cross_entropy_with_logits(
        odds, target, reduction="none", pos_weight=torch.tensor(1.5)
    )
    chance, wanted = torch.sigmoid(odds) * known, target * known
    both = 2 * (chance * wanted).sum((1, 2, 3)) + 1
    dice = 1 - both / (chance.sum((1, 2, 3)) + wanted.sum((1, 2, 3)) + 1)
    return (entropy * known).sum() / known.sum() + 0.5 * dice.mean()


def train(
    simulated: Sequence[Tissue], real: Sequence[Tissue], minutes: float, seed: int
) -> LettersNetwork:
    """Train until the time is over; the learning rate follows it along a cosine."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    network = LettersNetwork().train()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-4)
    start, step, mean = time.monotonic(), 0, 0.0
    while (done := (time.monotonic() - start) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (step + 1) / 100) * 0.5 * (1 + np.cos(np.pi * done))
        batch = [example(simulated, real, rng) for _ in range(BATCH)]
        images, targets, knowns = (
            torch.from_numpy(np.stack(column)).float()[:, None]
            for column in zip(*batch, strict=True)
        )
        # Half the resolution: text if any of four pixels is, known if all of them are.
        target, known = F.max_pool2d(targets, 2), -F.max_pool2d(-knowns, 2)
        loss = loss_of(network(images / 127.5 - 1), target, known)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        mean = loss.item() if step == 1 else 0.98 * mean + 0.02 * loss.item()
        if step % 100 == 0:
            print(f"step {step}, loss {mean:.4f}, {done:.0%} of the time", flush=True)
    return network.eval()


def main() -> None:
    """Parse the arguments, train and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=16)
    parser.add_argument("--real", type=Path)
    parser.add_argument("--seed", type=int, default=5)
    given = parser.parse_args()
    real = photographs(given.real) if given.real else []
    network = train(phantoms(PHANTOMS), real, given.minutes, given.seed)
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, given.out)


if __name__ == "__main__":
    main()
