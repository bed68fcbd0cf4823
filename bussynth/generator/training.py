"""Training of the generator: resumable, every step a function of (seed, step).

A run that is stopped, killed or interrupted goes on when the same command is given again, and
ends in the weights an uninterrupted run gives (on the same machine; a run limited by minutes
also depends on the clock).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bussynth.errors import UsageError
from bussynth.generator.batches import Batch, BatchMaker
from bussynth.generator.checkpoint import (
    CHECKPOINT_FILE,
    LossLog,
    Position,
    Window,
    restore,
    store,
)
from bussynth.generator.config import FitConfig
from bussynth.generator.device import autocast
from bussynth.generator.diffusion import Denoiser, edm_loss
from bussynth.generator.distributed import World, parallel, unsynchronised
from bussynth.generator.ema import WeightAverage
from bussynth.generator.network import Architecture, ConditionalUNet
from bussynth.generator.seeds import derive_seed
from bussynth.progress import SILENT, Progress

__all__ = [
    "Schedule",
    "TrainedWeights",
    "build_denoiser",
    "fit",
    "freeze_unused",
    "make_optimizer",
    "set_rate",
]

_LOG_STEPS = 50
# Karras et al. 2022 and most pixel diffusion trainings use a shorter second-moment memory than
# the default, which suits runs of a few thousand steps.
_BETAS = (0.9, 0.99)
_EPSILON = 1e-8
_ALTERED = "network.altered."
_CONDITIONS = "network.columns."


@dataclass(frozen=True)
class Schedule:
    """When a training ends and how its learning rate moves.

    Attributes:
        steps: Steps to take, or None.
        minutes: Minutes to train, or None; at least one of the two is given.
        warmup_steps: Steps of linear rise.
        cosine: Whether the rate then falls to 1 % along a half cosine.
    """

    steps: int | None
    minutes: float | None
    warmup_steps: int
    cosine: bool

    @classmethod
    def of(cls, config: FitConfig) -> Schedule:
        """Schedule of a resolved configuration."""
        warmup = config.warmup_steps
        if config.steps is not None:
            warmup = min(warmup, config.steps // 10)
        return cls(config.steps, config.minutes, warmup, config.schedule == "cosine")

    def progress(self, position: Position) -> float:
        """Share of the training behind ``position``, in [0, 1]."""
        by_steps = position.step / self.steps if self.steps else 0.0
        by_time = position.seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    def rate(self, position: Position) -> float:
        """Factor on the peak learning rate for the step after ``position``."""
        warm = min(1.0, (position.step + 1) / (self.warmup_steps + 1))
        fall = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self.progress(position)))
        return warm * (fall if self.cosine else 1.0)


@dataclass(frozen=True)
class TrainedWeights:
    """Outcome of :func:`fit`.

    Attributes:
        weights: Averaged weights by name.
        position: Steps and seconds.
        loss: Mean training loss of the last logged stretch; None after a private training, which
            keeps none.
        early: Whether steps of the schedule were left out.
    """

    weights: Mapping[str, Tensor]
    position: Position
    loss: float | None
    early: bool = False


def build_denoiser(architecture: Architecture, seed: int | None = None) -> Denoiser:
    """Make the network.

    Args:
        architecture: What to build.
        seed: Seed of the initial weights; the global random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0 if seed is None else derive_seed("weights", seed))
        denoiser = Denoiser(ConditionalUNet(architecture), architecture.prediction)
    # Convolutions run up to twice as fast in this memory layout, on CPUs and on GPUs.
    return denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def freeze_unused(denoiser: Denoiser, config: FitConfig) -> None:
    """Leave out of the training what would get no gradient.

    A base may know of alterations. Untold of any, these weights get no gradient, for which several
    processes would wait in vain; the average holds them as they are.
    """
    if config.augment == 0:
        for name, parameter in denoiser.named_parameters():
            if name.startswith(_ALTERED):
                parameter.requires_grad_(False)


def make_optimizer(denoiser: Denoiser, config: FitConfig) -> torch.optim.AdamW:
    """AdamW of the trained parameters; each group has the ``factor`` of its learning rate."""
    named = [(name, p) for name, p in denoiser.named_parameters() if p.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": [p for n, p in named if not n.startswith(_CONDITIONS)], "factor": 1.0},
            {
                "params": [p for n, p in named if n.startswith(_CONDITIONS)],
                "factor": 1.0 if config.embedding_rate is None else config.embedding_rate,
            },
        ],
        lr=config.learning_rate or 0.0,
        betas=_BETAS,
        # Private gradients are as small as the norm they are clipped to.
        eps=_EPSILON * (config.clip_norm or 1.0) if config.private else _EPSILON,
        weight_decay=config.weight_decay,
    )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate, times the factor of each group."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


class _Run:
    """One training process: the objects a step needs."""

    def __init__(
        self, batches: BatchMaker, denoiser: Denoiser, config: FitConfig, device: torch.device
    ) -> None:
        self.batches, self.denoiser, self.config, self.device = batches, denoiser, config, device
        self.schedule = Schedule.of(config)
        self.batch_size = config.batch_size or 1
        self.peak = config.learning_rate or 0.0
        self.world = World.current(device)
        self.average = WeightAverage(denoiser, config.ema_decay or 0.0)
        freeze_unused(denoiser, config)
        self.parameters = [p for p in denoiser.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(denoiser, config)
        self.model = parallel(denoiser)

    def step(self, position: Position) -> Tensor:
        """Take one step.

        Returns:
            The detached loss of the batch.

        Raises:
            FloatingPointError: The gradient is not finite, in all processes; no weight was
                touched.
        """
        batch = self.batches.batch(position.step)
        parts = batch.split(self.config.accumulate)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        for number, part in enumerate(parts, start=1):
            # Processes exchange gradients once a step, after the last part.
            with nullcontext() if number == len(parts) else unsynchronised(self.model):
                loss = self._loss(part) / len(parts)
                loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.clip_norm or 1.0)
        total, failed = self.world.outcome(total, not torch.isfinite(norm))
        if failed:
            raise FloatingPointError
        set_rate(self.optimizer, self.peak * self.schedule.rate(position))
        self.optimizer.step()
        self.average.update(self.denoiser, position.step + 1)
        return total

    def _loss(self, batch: Batch) -> Tensor:
        with autocast(self.device):
            return edm_loss(
                self.model,
                batch.clean.to(self.device, memory_format=torch.channels_last),
                batch.noise.to(self.device, memory_format=torch.channels_last),
                batch.sigma.to(self.device),
                batch.conditions.to(self.device),
                self.denoiser.prediction,
            ).mean()

    def checkpoint_due(self, position: Position, last: Position) -> bool:
        """Whether the time or steps between checkpoints have passed since ``last``."""
        if self.config.checkpoint_steps is not None:
            return position.step - last.step >= self.config.checkpoint_steps
        return position.seconds - last.seconds >= 60 * self.config.checkpoint_minutes


def fit(
    batches: BatchMaker,
    denoiser: Denoiser,
    config: FitConfig,
    folder: Path,
    device: torch.device,
    progress: Progress = SILENT,
    *,
    finish: bool = False,
) -> TrainedWeights:
    """Train, or go on training, until the schedule ends.

    Under ``torchrun`` or ``accelerate launch`` each process takes its share of every batch; the
    result is that of one process up to rounding. The first process alone writes.

    Args:
        batches: What each step sees.
        denoiser: What to train; parameters that require no gradient stay as they are.
        config: Resolved: batch size, rates and EMA decay are not None.
        folder: Where the checkpoint and the loss log lie.
        device: Where to train.
        progress: Where to report; gets loss and images a second.
        finish: Take no more steps: the outcome is that of the checkpoint.

    Raises:
        UsageError: The loss is no longer a number; the checkpoint holds the last good weights. Or
            there is nothing to finish.
    """
    denoiser = denoiser.to(device).train()
    run = _Run(batches, denoiser, config, device)
    world = run.world
    position, window = restore(folder, denoiser, run.average, run.optimizer)
    saved = position
    if finish and position.step == 0:
        raise UsageError(
            f"The training in {folder} has not taken a step, so there is no average to keep; "
            "leave --finish out, or start again with --force."
        )
    world.wait()
    # A line for the open window is of a run that was to finish and did not come to its end.
    log = LossLog(folder, position.step - len(window.losses)) if world.first else None
    # Where time may end the training first, no number of images is the goal.
    total = None
    if config.steps is not None and config.minutes is None:
        total = config.steps * run.batch_size
    losses = list(window.losses.to(device).unbind())
    last, opened = math.nan if log is None else log.last, window.seconds

    def write_line() -> None:
        nonlocal last, losses, opened
        last = torch.stack(losses).mean().item()
        if log is not None:
            pace = len(losses) * run.batch_size / max(position.seconds - opened, 1e-9)
            log.write(
                {
                    "step": position.step,
                    "loss": round(last, 6),
                    "learning_rate": run.peak * run.schedule.rate(position),
                    "seconds": round(position.seconds, 1),
                    "images_per_second": round(pace, 2),
                }
            )
        losses, opened = [], position.seconds

    def save() -> None:
        seen = torch.stack(losses) if losses else torch.empty(0)
        store(folder, denoiser, run.average, run.optimizer, position, Window(seen, opened))

    with progress.task("Training", total=total, done=position.step * run.batch_size) as task:
        start, offset = time.monotonic(), position.seconds
        while run.schedule.progress(position) < 1 and not finish:
            try:
                losses.append(run.step(position))
            except FloatingPointError:
                if world.first:
                    save()
                # Where one process ends with an error, torchrun kills the others.
                world.wait()
                raise UsageError(
                    f"The loss is no longer a number at step {position.step + 1}. The weights "
                    f"before it, average included, are kept in {folder / CHECKPOINT_FILE}: give "
                    "the same command with --finish (in Python finish=True) to make a model of "
                    "their average. Or train again in another folder with a smaller "
                    "learning_rate, or look at the images."
                ) from None
            seconds = offset + time.monotonic() - start
            if config.minutes is not None:
                seconds = world.agree(seconds)  # all must end at the same step
            position = Position(position.step + 1, seconds)
            done = run.schedule.progress(position) >= 1
            if done or position.step % _LOG_STEPS == 0:
                write_line()
                if total is None:
                    share = max(run.schedule.progress(position), 1e-6)
                    task.expect(round(position.step * run.batch_size / share))
                task.advance(run.batch_size, loss=f"{last:.4f}")
            else:
                task.advance(run.batch_size)
            if world.first and (done or run.checkpoint_due(position, saved)):
                save()
                saved = position
    if losses:
        write_line()
    early = run.schedule.progress(position) < 1
    return TrainedWeights(run.average.weights, position, round(last, 6), early)
