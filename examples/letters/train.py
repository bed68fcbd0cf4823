"""Train the text engine ``letters``: a small network that tells letters from speckle.

::

    python examples/letters/train.py OUT.safetensors [--minutes 40] [--rate 0.003]
        [--start WEIGHTS] [--real FOLDER] [--seed 5]

Text (``ink.py``) is drawn into tissue (``tissue.py``): speckle of any grain, phantoms, the textures
that come with scikit-image and, with ``--real``, the images of BUS-BRA (doi 10.1002/mp.16812,
folder ``Images``) that ``busbra.txt`` names: those that ``benchmarks.cleaning`` was tuned on, not
those that it measures with. Where the engine rapidocr finds text in real images, nothing is
learned. One process draws and one learns, in bfloat16, so two cores are used. It needs the extra
``ocr``, which brings rapidocr and the fonts of strokes.

The weights in the box were made with ``--real`` in two rounds on two cores: 38 minutes, and 40 more
with ``--start``, ``--rate 0.0015`` and ``--seed 6``. The first drew fewer phantoms and flat
grounds. The time ends a training and random numbers fall otherwise, so a run makes other weights;
``python -m benchmarks.pixel_text --engine letters`` says what they are worth once in the box.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from ink import write
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save
from tissue import Tissue, clutter, phantoms, photographs, square, textures
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from bussynth.atomic import write_bytes
from privacy.deidentify.letters_network import LettersNetwork

BATCH = 12
PHANTOMS = 48
SHARES = (0.3, 0.27, 0.1)
"""Of phantoms, real images and textures; the rest is speckle that is made up."""
Rng = np.random.Generator
Example = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.bool_]]


def example(images: Sequence[Sequence[Tissue]], rng: Rng) -> Example:
    """Make a square, where it is text, and where that is known."""
    one = square(images, SHARES, rng)
    if rng.random() < 0.4:
        clutter(one, rng)
    if rng.random() < 0.65:
        for _ in range(rng.integers(1, 4)):
            write(one, rng)
    image = np.clip(one.gray, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        out = io.BytesIO()
        Image.fromarray(image).save(out, "JPEG", quality=int(rng.integers(50, 96)))
        image = np.asarray(Image.open(out))
    return image, one.target, one.known


class Batches(IterableDataset[tuple[torch.Tensor, ...]]):
    """Batches without end."""

    def __init__(self, images: Sequence[Sequence[Tissue]], seed: int) -> None:
        self.images = images
        self.seed = seed

    def __iter__(self) -> Iterator[tuple[torch.Tensor, ...]]:
        """Yield images, targets and what is known, each float (N, 1, H, W)."""
        rng = np.random.default_rng(self.seed)
        while True:
            batch = [example(self.images, rng) for _ in range(BATCH)]
            yield tuple(
                torch.from_numpy(np.stack(column)).float()[:, None]
                for column in zip(*batch, strict=True)
            )


def loss_of(odds: torch.Tensor, target: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Weighted cross-entropy and half a Dice loss, where the answer is known."""
    entropy = F.binary_cross_entropy_with_logits(
        odds, target, reduction="none", pos_weight=torch.tensor(1.5)
    )
    chance, wanted = torch.sigmoid(odds) * known, target * known
    both = 2 * (chance * wanted).sum((1, 2, 3)) + 1
    dice = 1 - both / (chance.sum((1, 2, 3)) + wanted.sum((1, 2, 3)) + 1)
    return (entropy * known).sum() / known.sum() + 0.5 * dice.mean()


def train(images: Sequence[Sequence[Tissue]], given: argparse.Namespace) -> None:
    """Train until the time is over; the learning rate follows it along a cosine."""
    torch.manual_seed(given.seed)
    torch.set_num_threads(1)
    network = LettersNetwork()
    if given.start is not None:
        network.load_state_dict(load_file(given.start))
    network.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), given.rate, weight_decay=1e-4)
    batches = iter(DataLoader(Batches(images, given.seed), batch_size=None, num_workers=1))
    start, step, mean = time.monotonic(), 0, 0.0
    while (done := (time.monotonic() - start) / (60 * given.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = given.rate * min(1, (step + 1) / 100) * 0.5 * (1 + np.cos(np.pi * done))
        shown, targets, knowns = next(batches)
        # Half the resolution: text if any of four pixels is, known if all of them are.
        target, known = F.max_pool2d(targets, 2), -F.max_pool2d(-knowns, 2)
        with torch.autocast("cpu", torch.bfloat16):
            odds = network((shown / 127.5 - 1).to(memory_format=torch.channels_last))
        loss = loss_of(odds.float(), target, known)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        mean = loss.item() if step == 1 else 0.99 * mean + 0.01 * loss.item()
        if step % 200 == 0:
            print(f"step {step}, loss {mean:.4f}, {done:.0%} of the time", flush=True)
        if step % 1000 == 0:
            save_weights(network, given.out)
    save_weights(network, given.out)


def save_weights(network: LettersNetwork, out: Path) -> None:
    """Write the weights, whole or not at all."""
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    write_bytes(out, save(weights))


def main() -> None:
    """Parse the arguments, train and write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=40)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--start", type=Path, help="weights to go on from")
    parser.add_argument("--real", type=Path)
    parser.add_argument("--seed", type=int, default=5)
    given = parser.parse_args()
    if not given.out.parent.is_dir():
        parser.error(f"{given.out.parent} is not a folder")
    real = photographs(given.real) if given.real else []
    train([phantoms(PHANTOMS), real, textures()], given)


if __name__ == "__main__":
    main()
