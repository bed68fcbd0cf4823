"""Training on several processes, as ``torchrun`` and ``accelerate launch`` start them.

Both set RANK, WORLD_SIZE and LOCAL_RANK; without them there is one process, and nothing here does
anything.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bussynth.generator.diffusion import DenoiserLike

__all__ = ["World", "parallel", "unsynchronised"]

# Some wait while the first decodes, fits or writes; torchrun itself ends them if it dies.
_TIMEOUT: Final = timedelta(hours=24)


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
    def current(cls, device: torch.device | None = None) -> World:
        """The world this process was started in; joins it at the first call.

        Args:
            device: What this process computes on. It decides how the processes talk if this is the
                first call; None does where they only wait for each other.
        """
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size <= 1:
            return cls()
        if not dist.is_initialized():
            gpu = device is not None and device.type == "cuda"
            if gpu:
                torch.cuda.set_device(device)  # where NCCL puts what it sends
            dist.init_process_group("nccl" if gpu else "gloo", timeout=_TIMEOUT)
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

    def outcome(self, loss: Tensor, failed: bool) -> tuple[Tensor, bool]:
        """Mean loss of a step over the processes, and whether it failed in any of them.

        One process that stops while the others go on would leave them waiting for it.
        """
        if self.size == 1:
            return loss, failed
        shared = torch.stack((loss, torch.full_like(loss, float(failed))))
        dist.all_reduce(shared)
        return shared[0] / self.size, bool(shared[1] > 0)


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
