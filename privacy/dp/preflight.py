"""Checks before a private training: can this network keep what the accounting assumes?

Each patient is computed alone (:mod:`privacy.dp.training`), so any layer may be trained; what is
left to refuse is what a network keeps of patients beside its weights. All findings are given at
once, each with what to do about it. They look at the network, never at patients.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from privacy.dp.errors import DPInputError

__all__ = ["check_network", "findings"]


def findings(module: nn.Module) -> Iterator[str]:
    """What in a network is at odds with a guarantee for every patient.

    Args:
        module: Parameters that require a gradient are the trained ones.
    """
    for name, layer in module.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            yield (
                f"{name}: {type(layer).__name__} keeps running statistics of patients, frozen or "
                "not; use GroupNorm"
            )
        elif isinstance(layer, nn.modules.instancenorm._InstanceNorm) and layer.track_running_stats:
            yield f"{name}: running statistics are a look at patients; turn them off"
        elif isinstance(layer, nn.Embedding) and layer.max_norm is not None:
            yield f"{name}: max_norm changes weights outside of the mechanism; leave it out"
        elif isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0:
            yield (
                f"{name}: dropout draws from a stream that all patients share, and one patient "
                "less would change what the others get; set p to 0"
            )
    for name, parameter in module.named_parameters():
        if parameter.requires_grad and parameter.dtype not in (torch.float32, torch.float64):
            yield f"{name}: trained in {parameter.dtype}, too coarse for noise; use float32"
    if not any(parameter.requires_grad for parameter in module.parameters()):
        yield "no parameter is trainable"
    if not module.training:
        yield "the network is in evaluation mode; call train()"


def check_network(module: nn.Module) -> None:
    """Refuse a network that no guarantee can be given for.

    Raises:
        DPInputError: With all findings.
    """
    problems = list(findings(module))
    if problems:
        raise DPInputError("This network cannot be trained with patient-level privacy.", problems)
