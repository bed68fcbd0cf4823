"""What a training step sees: a pure function of (seed, step, place in the batch).

Each image of a step has a random stream of its own, so the batch is the same on one process or on
many, whole or cut into parts, and a resumed training goes on with the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from bussynth.generator.augment import Draws, augment
from bussynth.generator.conditions import ConditionBatch
from bussynth.generator.config import FitConfig
from bussynth.generator.dataset import BatchOrder, TrainingSet
from bussynth.generator.diffusion import train_sigma
from bussynth.generator.distributed import World
from bussynth.generator.seeds import derive_seed
from bussynth.generator.transform import Haar

__all__ = ["Batch", "BatchMaker", "compose"]


@dataclass(frozen=True)
class Batch:
    """Rows of a training step, on the CPU.

    Attributes:
        clean: Maps ``(n, c, h, w)``.
        noise: Standard normal, like ``clean``. Drawn on the CPU, so a GPU trains on the same
            noise as a CPU does.
        sigma: Noise levels ``(n,)``.
        conditions: Of the n rows, some of them hidden.
    """

    clean: Tensor
    noise: Tensor
    sigma: Tensor
    conditions: ConditionBatch

    def __len__(self) -> int:
        return len(self.clean)

    def split(self, parts: int) -> list[Batch]:
        """Equal parts; ``parts`` divides the number of rows."""
        size = len(self) // parts
        cuts = [slice(i * size, (i + 1) * size) for i in range(parts)]
        return [
            Batch(self.clean[c], self.noise[c], self.sigma[c], self.conditions[c]) for c in cuts
        ]


class BatchMaker:
    """Makes the share of each step's batch that a process trains on.

    Args:
        data: Images and conditions.
        transform: To the maps of the network.
        config: Resolved configuration; its batch size is that of all processes together.
        world: The processes.
    """

    def __init__(self, data: TrainingSet, transform: Haar, config: FitConfig, world: World) -> None:
        self._data, self._transform, self._config = data, transform, config
        size = config.batch_size or 1
        self._order = BatchOrder(len(data), size, config.seed)
        self._places = range(world.rank, size, world.size)

    def batch(self, step: int) -> Batch:
        """Batch of step ``step`` (from 0)."""
        config = self._config
        rows = self._order.rows(step)[self._places.start :: self._places.step]
        streams = [
            torch.Generator().manual_seed(derive_seed("step", config.seed, step, place))
            for place in self._places
        ]

        def uniform(count: int) -> Tensor:
            return torch.stack([torch.rand(count, generator=stream) for stream in streams])

        def normal(*shape: int) -> Tensor:
            return torch.stack([torch.randn(shape, generator=stream) for stream in streams])

        return compose(self._data, rows, self._transform, config, uniform, normal)


def compose(
    data: TrainingSet,
    rows: Tensor,
    transform: Haar,
    config: FitConfig,
    uniform: Callable[[int], Tensor],
    normal: Callable[..., Tensor],
) -> Batch:
    """Mirror, alter and hide conditions at random, and draw the noise, row by row.

    Args:
        data: Images and conditions.
        rows: Numbers of the n rows, int64; the same may come again.
        transform: To the maps of the network.
        config: Resolved configuration.
        uniform: Gives as many uniform numbers a row as it is asked for, ``(n, count)``.
        normal: Gives standard normal numbers of a shape a row, ``(n, *shape)``.
    """
    conditions = data.encoded[rows]
    pixels = torch.from_numpy(data.images[rows.numpy()])
    flip = uniform(1)[:, 0] < (0.5 if config.flip else 0.0)
    hide = uniform(conditions.codes.shape[1] + 2)
    sigma = train_sigma(normal(1)[:, 0], config.noise_mean, config.noise_std)
    draws = Draws.of(uniform, normal)
    pixels = torch.where(flip.view(-1, 1, 1), pixels.flip(-1), pixels)
    conditions = conditions.mirrored(flip, pixels.shape[-1])
    if config.augment > 0:
        pixels, conditions = augment(pixels, conditions, config.augment, draws)
    conditions = conditions.hidden(hide, config.condition_dropout, config.joint_dropout)
    clean = transform.encode(pixels)
    return Batch(clean, normal(*clean.shape[1:]), sigma, conditions)
