"""Training of a judge: the loop, the schedule, and many of them side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor, nn

from audits.search.threads import one_thread_each
from bussynth.auditing.executor import open_workers
from bussynth.generator.seeds import derive_seed
from bussynth.progress import SILENT, Progress

__all__ = [
    "Advance",
    "Job",
    "Weights",
    "default_steps",
    "fit",
    "new_network",
    "pixels",
    "train_all",
]

Weights: TypeAlias = dict[str, npt.NDArray[np.float32]]
"""A network as plain arrays, which travel between processes."""
Advance: TypeAlias = Callable[[int], None]
"""Called with the steps done since the last call."""

_BATCH: Final = 64
_RATE: Final = 2e-3
_DECAY: Final = 0.05
_WARM_UP: Final = 0.2
_FEWEST_STEPS: Final = 300
_BASE_STEPS, _BASE_IMAGES = 600, 1000


class Job(Protocol):
    """One network to train: a pure function of its fields, which can be pickled."""

    @property
    def steps(self) -> int:
        """Steps it takes."""
        ...

    def train(self, advance: Advance) -> Weights:
        """Train it; never called with other than one thread."""
        ...


def default_steps(images: int) -> int:
    """Steps of 64 images that a training set needs: as the square root of its size.

    Example:
        >>> default_steps(1000), default_steps(4000), default_steps(10)
        (600, 1200, 300)
    """
    return max(_FEWEST_STEPS, round(_BASE_STEPS * math.sqrt(images / _BASE_IMAGES)))


def new_network(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Build a network with weights of its own random stream; the global one is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("quality weights", seed))
        return build()


def pixels(images: npt.NDArray[np.uint8]) -> Tensor:
    """Grey values uint8 (n, H, W) as float32 (n, 1, H, W) in [0, 1]."""
    return torch.from_numpy(images).float()[:, None] / 255.0


def fit(
    network: nn.Module,
    loss: Callable[[Tensor, Generator], Tensor],
    weights: npt.NDArray[np.float64],
    *,
    steps: int,
    seed: int,
    advance: Advance,
) -> Weights:
    """Train a network by AdamW, with a short rise and a half cosine of the rate.

    Args:
        network: Trained in place, then put into evaluation mode.
        loss: Mean loss of the rows it is given, int64 (64,), with a source of randomness.
        weights: float64 (n,), how often each row is drawn.
        steps: Gradient steps.
        seed: Seed of rows, augmentation and dropout.
        advance: Called after every step.

    Returns:
        The weights.
    """
    generator = torch.Generator().manual_seed(derive_seed("quality steps", seed))
    chances = torch.from_numpy(weights)
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=_DECAY)
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, steps))
    network.train()
    # Dropout knows the global random stream only.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("quality dropout", seed))
        for _ in range(steps):
            rows = torch.multinomial(chances, _BATCH, replacement=True, generator=generator)
            optimiser.zero_grad()
            loss(rows, generator).backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            rate.step()
            advance(1)
    network.eval()
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


def _rate(step: int, steps: int) -> float:
    """Share of the full rate at a step."""
    done = (step + 0.5) / steps
    if done < _WARM_UP:
        return done / _WARM_UP
    return 0.5 * (1.0 + math.cos(math.pi * (done - _WARM_UP) / (1.0 - _WARM_UP)))


def train_all(
    jobs: Sequence[Job], *, workers: int = 1, progress: Progress = SILENT
) -> list[Weights]:
    """Train networks, here or in worker processes; the weights are the same.

    Args:
        jobs: The networks.
        workers: Processes; 1 trains here, one network after the other.
        progress: Where to report.

    Returns:
        The weights of each job, in order.
    """
    total = sum(job.steps for job in jobs)
    with (
        open_workers(min(workers, max(1, len(jobs)))) as pool,
        progress.task("Training", total=total, unit="steps") as task,
    ):
        if pool.executor is None:
            return [_train(job, lambda n: task.advance(n)) for job in jobs]
        futures = [pool.executor.submit(_train, job) for job in jobs]
        trained = []
        for job, future in zip(jobs, futures, strict=True):
            trained.append(future.result())
            task.advance(job.steps)
        return trained


def _quiet(steps: int) -> None:
    """Report to nobody."""


def _train(job: Job, advance: Advance = _quiet) -> Weights:
    with one_thread_each("torch"):
        return job.train(advance)
