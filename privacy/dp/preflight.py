"""Checks before a private training: can this network keep what the accounting assumes?

All findings are given at once, each with what to do about it. They look at the network and at
made-up data, never at patients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from privacy.dp.errors import DPInputError
from privacy.dp.patient_gradients import SUPPORTED, PatientGradients, owners

__all__ = ["check_gradients", "check_network", "findings"]

# Single precision against single precision, in other orders of summation.
_TOLERANCE: Final = 2e-3
_NORMS: Final = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)


def findings(module: nn.Module) -> Iterator[str]:
    """What in a network is at odds with a guarantee for every patient.

    Args:
        module: Parameters that require a gradient are the trained ones.
    """
    for name, layer in module.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            yield (
                f"{name}: {type(layer).__name__} mixes patients and keeps running statistics of "
                "them, frozen or not; use GroupNorm"
            )
        elif isinstance(layer, _NORMS) and layer.track_running_stats:
            yield f"{name}: running statistics are a look at patients; turn them off"
        elif isinstance(layer, nn.Embedding) and layer.max_norm is not None:
            yield f"{name}: max_norm changes weights outside of the mechanism; leave it out"
    for name, layer, own in owners(module):
        if type(layer) not in SUPPORTED and not isinstance(layer, _NORMS):
            yield (
                f"{name or 'the module itself'}: {len(own)} trainable parameters in a "
                f"{type(layer).__name__}, whose gradients by patient are not known; freeze it, or "
                f"build it of {', '.join(kind.__name__ for kind in SUPPORTED)}"
            )
    names: dict[nn.Parameter, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        first = names.setdefault(parameter, name)
        if first != name and parameter.requires_grad:
            yield f"{name}: tied to {first}; give each layer weights of its own"
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


def check_gradients(
    module: nn.Module, losses: Callable[[Sequence[int]], Tensor], patients: int, rows: int
) -> float:
    """Compare gradients by patient, computed together, with those of each patient alone.

    Finds layers whose hooks do not fire, memory layouts that are misread, and losses or layers that
    mix patients.

    Args:
        module: The network as it will be trained.
        losses: Of the rows of some made-up patients, float (patients times rows,); the same
            patient must give the same losses again.
        patients: How many of them there are, 2 or more.
        rows: Rows a patient.

    Returns:
        The largest difference, over the largest gradient of the parameter.

    Raises:
        DPInputError: They differ by more than rounding.
    """
    buffers = {name: value.clone() for name, value in module.named_buffers()}
    names = {parameter: name for name, parameter in module.named_parameters()}
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    gradients = PatientGradients(module, rows)
    try:
        total = losses(range(patients)).sum()
        if total.requires_grad:  # else no trainable layer was called as a module
            total.backward()  # type: ignore[no-untyped-call]
        together = gradients.take()
    finally:
        gradients.detach()
    worst, problems = 0.0, []
    alone: dict[nn.Parameter, list[Tensor]] = {parameter: [] for parameter in trained}
    for patient in range(patients):
        found = torch.autograd.grad(losses([patient]).sum(), trained, allow_unused=True)
        for parameter, value in zip(trained, found, strict=True):
            alone[parameter].append(torch.zeros_like(parameter) if value is None else value)
    for parameter, values in alone.items():
        expected = torch.stack(values)
        given = together.get(parameter, torch.zeros_like(expected))
        scale = max(expected.abs().max().item(), given.abs().max().item())
        difference = (given - expected).abs().max().item() / scale if scale > 0 else 0.0
        worst = max(worst, difference)
        if not difference <= _TOLERANCE:
            problems.append(f"{names[parameter]}: differs by {difference:.2g} of its largest value")
    problems += [
        f"{name}: a buffer that the training changes; it would hold a look at patients"
        for name, value in module.named_buffers()
        if name not in buffers or not torch.equal(value, buffers[name])
    ]
    if problems:
        raise DPInputError(
            "Gradients of patients computed together are not those of each alone, so clipping "
            "would bound nothing. Look for layers that mix rows or are not called as modules.",
            problems,
        )
    return worst
