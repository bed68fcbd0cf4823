"""Training of the encoder, from random weights, on the real images of train and control alike.

Nothing but the images and which of them belong to one patient enters: a function that does not
know the split cannot favour a side of it. The images are put into an order of their own first
(:mod:`audits.features.learned.pool`), so the same pool gives the same encoder however it is held.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor

from audits.errors import AuditInputError
from audits.features.learned.architecture import Architecture
from audits.features.learned.augment import augment
from audits.features.learned.discriminant import fit_head
from audits.features.learned.draws import chosen
from audits.features.learned.encoder import LearnedMap
from audits.features.learned.geometry import draw_framing, reframe
from audits.features.learned.network import Encoder
from audits.features.learned.objective import instance_loss
from audits.features.learned.pool import Pool, shuffled_pool
from audits.search.threads import one_thread_each
from audits.statistics.streams import generator_for

__all__ = ["default_steps", "train_encoder"]

Progress = Callable[[int, int], None]
"""Called with steps done and steps in all."""

_BATCH = 64
_SLICES = 2
_RATE = 1e-3
_ANCHOR_RATE = 2e-3
_DECAY = 0.02
_POWER = 5.0
_WARM_UP = 0.05
_EASY = 0.25
_CANDIDATES = 8192
"""Images each view is told from in one step, at most; of a larger pool they are drawn anew."""
_BASE_STEPS, _BASE_IMAGES = 600, 1000
_FEWEST_STEPS = 200


def default_steps(images: int) -> int:
    """Steps of 64 views that a pool needs: as the square root of its size.

    Args:
        images: Images in the pool.

    Returns:
        600 for 1,000 images, never fewer than 200.
    """
    return max(_FEWEST_STEPS, round(_BASE_STEPS * math.sqrt(images / _BASE_IMAGES)))


def _torch_seed(seed: int, purpose: str) -> int:
    # The CPU generator of torch uses 32 bits of a seed.
    return int(generator_for(seed, purpose).integers(2**32))


def _new_encoder(architecture: Architecture, torch_seed: int) -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed)
        return Encoder(architecture)


def _batches(n: int, steps: int, generator: Generator) -> Iterator[Tensor]:
    """Rows of each step; every image once before any again."""
    rows = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        while len(rows) < _BATCH:
            rows = torch.cat([rows, torch.randperm(n, generator=generator)])
        yield rows[:_BATCH]
        rows = rows[_BATCH:]


def _views(images: Tensor, done: float, generator: Generator) -> Tensor:
    """Altered images: mostly only framed anew at first, altered in full later."""
    hard = chosen(len(images), min(1.0, 0.2 + 0.7 * done / _EASY), generator)
    full = augment(images, generator)
    framed = reframe(images, draw_framing(len(images), generator))
    return torch.where(hard[:, None, None, None], full, framed)


def _candidates(rows: Tensor, n: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Rows of the images a batch is told from, and where among them the batch's own lie."""
    if n <= _CANDIDATES:
        return torch.arange(n), rows
    drawn = torch.randint(n, (_CANDIDATES,), generator=generator)
    every = torch.unique(torch.cat([rows, drawn]))
    return every, torch.searchsorted(every, rows)


def train_encoder(
    images: npt.NDArray[np.uint8],
    patients: npt.NDArray[np.int64],
    *,
    seed: int,
    number: int = 1,
    steps: int | None = None,
    threads: int = 1,
    architecture: Architecture | None = None,
    progress: Progress | None = None,
) -> LearnedMap:
    """Train an encoder that recognises an image whatever was done to it.

    Give it the real images of train and control together. Global random state and
    thread settings are as before when it returns. The same images, patients, seed, number and
    steps give the same encoder on one machine, in any order and with any number of threads.

    Args:
        images: uint8 (n, H, W).
        patients: int64 (n,), patient number of each image.
        seed: Seed of the audit.
        number: Which encoder of the audit this is, from 1; each number is another random start.
        steps: Gradient steps of 64 views; :func:`default_steps` by default.
        threads: Slices of a step computed at once, 1 or 2.
        architecture: Shape of the network.
        progress: Called with steps done and steps in all.

    Returns:
        The feature space.

    Raises:
        AuditInputError: Wrong types or shapes, or fewer than two patients with distinct images.
    """
    if number < 1 or threads < 1 or (steps is not None and steps < 1):
        raise AuditInputError("number, threads and steps of an encoder must be at least 1.")
    architecture = Architecture.for_images(images) if architecture is None else architecture
    pool = shuffled_pool(images, patients)
    n = len(pool.images)
    steps = default_steps(n) if steps is None else steps
    with one_thread_each("torch"), ThreadPoolExecutor(min(threads, _SLICES)) as executor:
        encoder = _fit(pool, seed, number, steps, architecture, executor, progress)
    weights = {
        name: tensor.detach().contiguous().numpy().copy()
        for name, tensor in encoder.state_dict().items()
    }
    counts = {
        "number": number,
        "seed": seed,
        "steps": steps,
        "images": n,
        "patients": int(pool.patients.max()) + 1,
    }
    return LearnedMap(architecture, weights, counts, pool.digest)


def _fit(
    pool: Pool,
    seed: int,
    number: int,
    steps: int,
    architecture: Architecture,
    executor: Executor,
    progress: Progress | None,
) -> Encoder:
    purpose = f"learned {number}"
    generator = torch.Generator().manual_seed(_torch_seed(seed, purpose))
    encoder = _new_encoder(architecture, _torch_seed(seed, f"{purpose} weights"))
    owners = torch.from_numpy(pool.patients)

    def pixels(rows: Tensor) -> Tensor:
        return torch.from_numpy(pool.images[rows.numpy()]).float()[:, None] / 255.0

    n = len(pool.images)
    sample = torch.randperm(n, generator=generator)[:2048]
    fit_head(encoder, pixels(sample), generator)
    with torch.no_grad():
        parts = torch.split(torch.arange(n), _BATCH)
        anchors = torch.cat([encoder(pixels(part)) for part in parts]).requires_grad_()
    parameters = list(encoder.parameters())
    optimiser = torch.optim.AdamW(
        [
            {"params": parameters, "lr": _RATE, "weight_decay": _DECAY},
            {"params": [anchors], "lr": _ANCHOR_RATE, "weight_decay": 0.0},
        ],
        betas=(0.9, 0.95),
    )
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps))
    streams = [
        torch.Generator().manual_seed(_torch_seed(seed, f"{purpose} slice {k}"))
        for k in range(_SLICES)
    ]

    def gradient(rows: Tensor, done: float, stream: Generator) -> tuple[Tensor, ...]:
        views = _views(pixels(rows), done, stream)
        every, own = _candidates(rows, n, stream)
        candidates = torch.nn.functional.normalize(anchors[every], dim=1)
        vectors = encoder(views)
        loss = instance_loss(vectors, candidates, own, owners[rows], owners[every], _POWER)
        return torch.autograd.grad(loss / _SLICES, [*parameters, anchors])

    for step, rows in enumerate(_batches(n, steps, generator)):
        slices = [
            executor.submit(gradient, part, step / steps, stream)
            for part, stream in zip(torch.chunk(rows, _SLICES), streams, strict=True)
        ]
        # Added in a fixed order, so that the number of threads never changes a bit.
        gradients = zip(*(one.result() for one in slices), strict=True)
        for parameter, parts in zip([*parameters, anchors], gradients, strict=True):
            parameter.grad = functools.reduce(torch.add, parts)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        rate.step()
        if progress is not None:
            progress(step + 1, steps)
    return encoder


def _rate(step: int, steps: int) -> float:
    """Share of the full rate: a short rise, then half a cosine down to 1 %."""
    done = step / steps
    return max(0.01, min(1.0, (done + 1.0 / steps) / _WARM_UP) * (1 + math.cos(math.pi * done)) / 2)
