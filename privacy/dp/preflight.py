"""Checks before a private training: can this network keep what the accounting assumes?

Each patient is computed alone (:mod:`privacy.dp.training`), so any layer may be trained; what is
left to refuse is what a network keeps of patients beside its weights, what it draws from a stream
that patients share, and weights that take no noise or take it twice. All findings are given at
once, each with what to do about it. They look at the network, never at patients, and cost next to
nothing; what shows only when something is computed is in :mod:`privacy.dp.gradient_check`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from privacy.dp.check import Check
from privacy.dp.errors import DPInputError

__all__ = ["Finding", "check_layers", "check_network", "findings"]

_FLOATS = (torch.float32, torch.float64)
_RECURRENT = (nn.RNNBase, nn.MultiheadAttention)
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
_RANDOM = (nn.RReLU, nn.FractionalMaxPool2d, nn.FractionalMaxPool3d)
_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)
_QUANTISED = ("torch.ao.nn.", "torch.ao.quantization.", "torch.nn.quantized.", "bitsandbytes.")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What is to be said of a network.

    Attributes:
        where: Name of the layer, parameter or buffer; empty for the network as a whole.
        what: What is wrong with it.
        remedy: What to do about it.
        refused: Whether no guarantee can be given; else it is good to know and no more.
    """

    where: str
    what: str
    remedy: str
    refused: bool = True

    def __str__(self) -> str:
        """All of it in a line."""
        return f"{self.where or 'the network'}: {self.what}; {self.remedy}"


def findings(module: nn.Module) -> Iterator[Finding]:
    """What in a network is at odds with a guarantee for every patient, and what is good to know.

    Args:
        module: In training mode. Parameters that require a gradient are the trained ones.
    """
    for name, layer in module.named_modules():
        for what, remedy in _of_layer(layer):
            yield Finding(where=name, what=what, remedy=remedy)
    for name, parameter in module.named_parameters():
        yield from _of_parameter(name, parameter)
    for name, buffer in module.named_buffers():
        if _is_lazy(buffer):
            yield _lazy(name)
    yield from _same_parameter(module)
    yield from _shared_memory(module)
    if not any(parameter.requires_grad for parameter in module.parameters()):
        yield Finding(
            where="",
            what="no parameter is trainable",
            remedy="set requires_grad of what is to be trained",
        )
    if not module.training:
        yield Finding(where="", what="it is in evaluation mode", remedy="call train()")


def check_network(module: nn.Module) -> None:
    """Refuse a network that no guarantee can be given for.

    Args:
        module: See :func:`findings`.

    Raises:
        DPInputError: With all findings that forbid it.
    """
    problems = [str(one) for one in findings(module) if one.refused]
    if problems:
        raise DPInputError("This network cannot be trained with patient-level privacy.", problems)


def check_layers(module: nn.Module) -> Check:
    """The same as the outcome of a check, with what is good to know as warnings.

    Args:
        module: See :func:`findings`.
    """
    found = list(findings(module))
    layers, parameters = len(list(module.modules())), len(list(module.parameters()))
    return Check(
        name="layers",
        text=f"{layers} layers and {parameters} parameters looked at",
        problems=tuple(str(one) for one in found if one.refused),
        warnings=tuple(str(one) for one in found if not one.refused),
        measured={"layers": layers, "parameters": parameters},
    )


def _of_layer(layer: nn.Module) -> Iterator[tuple[str, str]]:
    """What is wrong with a layer, and what to do."""
    kind = type(layer).__name__
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        yield (
            f"{kind} mixes rows and keeps running statistics of patients, frozen or not",
            "use GroupNorm",
        )
    elif isinstance(layer, nn.modules.instancenorm._InstanceNorm) and layer.track_running_stats:
        yield f"the running statistics of {kind} are a look at patients", "turn them off"
    if isinstance(layer, _EMBEDDINGS) and layer.max_norm is not None:
        yield "max_norm changes weights outside of the mechanism", "leave it out"
    if isinstance(layer, _EMBEDDINGS) and layer.sparse:
        yield "its gradient is sparse, which cannot be clipped with the rest", "set sparse=False"
    if _draws(layer):
        yield (
            f"{kind} draws from a stream that all patients share, and one patient less would "
            "change what the others get",
            "set its dropout to 0" if _chance(layer) else "use a layer that draws nothing",
        )
    if _power_iteration(layer):
        yield (
            "spectral normalisation takes a step whenever a patient is computed, so it tells how "
            "many there were",
            "remove it",
        )
    if isinstance(layer, _PARALLEL):
        yield f"{kind} joins the gradients of several patients", "give the module inside"
    if type(layer).__module__.startswith(_QUANTISED):
        yield f"{kind} computes in whole numbers or collects ranges of them", "load it in float32"


def _chance(layer: nn.Module) -> float:
    """How often a layer drops something."""
    if isinstance(layer, nn.modules.dropout._DropoutNd):
        return layer.p
    return float(layer.dropout) if isinstance(layer, _RECURRENT) else 0.0


def _draws(layer: nn.Module) -> bool:
    return _chance(layer) > 0 or isinstance(layer, _RANDOM)


def _power_iteration(layer: nn.Module) -> bool:
    hooks = [type(hook).__name__ for hook in layer._forward_pre_hooks.values()]
    return "_SpectralNorm" in type(layer).__name__ or "SpectralNorm" in hooks


def _of_parameter(name: str, parameter: nn.Parameter) -> Iterator[Finding]:
    if _is_lazy(parameter):
        yield _lazy(name)
        return
    if parameter.is_meta:
        yield Finding(where=name, what="it has no memory (device meta)", remedy="load its weights")
    quantised = not (parameter.is_floating_point() or parameter.is_complex())
    if quantised or parameter.is_quantized:
        yield Finding(
            where=name,
            what=f"it is quantised ({parameter.dtype}), and gradients through it are not exact",
            remedy="load it in float32",
        )
    elif parameter.requires_grad and parameter.dtype not in _FLOATS:
        yield Finding(
            where=name,
            what=f"trained in {parameter.dtype}, too coarse for noise",
            remedy="use float32",
        )


def _is_lazy(tensor: Tensor) -> bool:
    return isinstance(tensor, (UninitializedParameter, UninitializedBuffer))


def _lazy(name: str) -> Finding:
    return Finding(
        where=name,
        what="its shape is not known before a first batch, which would be one of patients",
        remedy="compute something public first, or give all sizes",
    )


def _same_parameter(module: nn.Module) -> Iterator[Finding]:
    """A trained parameter under several names: sound, since a patient's gradient holds it once."""
    first: dict[int, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        known = first.setdefault(id(parameter), name)
        if known != name and parameter.requires_grad:
            yield Finding(
                where=name,
                what=f"the same parameter as {known}, tied: trained, clipped and noised once",
                remedy="nothing is to be done",
                refused=False,
            )


def _shared_memory(module: nn.Module) -> Iterator[Finding]:
    """Trained parameters that lie in the memory of another parameter or of a buffer."""
    held: dict[tuple[torch.device, int], list[tuple[range, str, bool]]] = {}
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        # Without numbers of its own in memory, a tensor shares none.
        if not (_is_lazy(tensor) or tensor.is_meta or tensor.is_quantized) and tensor.numel():
            storage = tensor.device, tensor.untyped_storage().data_ptr()
            held.setdefault(storage, []).append((_bytes(tensor), name, tensor.requires_grad))
    for tensors in held.values():
        for (place, name, trained), (its, other, also) in combinations(tensors, 2):
            apart = place.stop <= its.start or its.stop <= place.start
            if not apart and (trained or also):
                yield Finding(
                    where=other,
                    what=f"it shares memory with {name}, which would move with it and take the "
                    "noise of both",
                    remedy="register one parameter under both names, or copy it",
                )


def _bytes(tensor: Tensor) -> range:
    """Where in its storage a tensor lies, from its first byte to its last."""
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    start = int(tensor.storage_offset())
    end = start + sum((size - 1) * step for size, step in steps) + 1
    return range(start * tensor.element_size(), end * tensor.element_size())
