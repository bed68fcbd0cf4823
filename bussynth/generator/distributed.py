"""Training on several processes, as ``torchrun`` and ``accelerate launch`` start them.

Both set RANK, WORLD_SIZE and LOCAL_RANK; without them there is one process, and nothing here does
anything.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bussynth.generator.diffusion import DenoiserLike

__all__ = ["World", "parallel", "unsynchronised"]


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> World:
        """The world this process was started in; joins it at the first call."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size <= 1:
            return cls()
        if not dist.is_initialized():
            dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            dist.barrier()

    def agree(self, value: float) -> float:
        """The first process's value, so that all stop at the same step."""
        if self.size == 1:
            return value
        shared = [value]
        dist.broadcast_object_list(shared, src=0)
        return shared[0]

    def mean(self, value: Tensor) -> Tensor:
        """Mean over the processes."""
        if self.size == 1:
            return value
        value = value.clone()
        dist.all_reduce(value)
        return value / self.size


def parallel(denoiser: nn.Module) -> DenoiserLike:
    """The module itself, or one that averages gradients over the processes."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        return cast(DenoiserLike, DistributedDataParallel(denoiser))
    return cast(DenoiserLike, denoiser)


def unsynchronised(model: DenoiserLike) -> AbstractContextManager[None]:
    """Within it, gradients are summed up but not yet exchanged."""
    if isinstance(model, DistributedDataParallel):
        return cast(AbstractContextManager[None], model.no_sync())
    return nullcontext()
