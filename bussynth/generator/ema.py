"""Exponential moving average of weights, the ones images are sampled with."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["WeightAverage", "trained_parameters"]


class WeightAverage:
    """Moving average of a module's parameters with a warm-up.

    Early weights are far from good, so the decay starts near zero and rises to its final value:
    ``min(decay, (1 + step) / (10 + step))``.

    Args:
        module: Module to follow; its present parameters are the start. Those that require no
            gradient are left out.
        decay: Final decay, in [0, 1).
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {k: v.detach().clone() for k, v in trained_parameters(module)}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Fold in the parameters after ``step`` (from 1) steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        names, current = zip(*trained_parameters(module), strict=True)
        torch._foreach_lerp_([self.weights[k] for k in names], list(current), 1 - decay)


def trained_parameters(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Parameters that training moves, by name; an adapter leaves most of a network as it is."""
    return [(k, v) for k, v in module.named_parameters() if v.requires_grad]
