"""Small random draws shared by the augmentations."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

__all__ = ["chosen", "uniform"]


def uniform(n: int, low: float, high: float, generator: Generator) -> Tensor:
    """Uniform numbers in [low, high), float32 (n,)."""
    return low + (high - low) * torch.rand(n, generator=generator)


def chosen(n: int, share: float, generator: Generator) -> Tensor:
    """Independent coins that show heads with probability ``share``, bool (n,)."""
    return torch.rand(n, generator=generator) < share
