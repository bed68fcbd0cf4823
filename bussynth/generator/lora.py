"""Low-rank updates of a frozen network (Hu et al. 2021, arXiv:2106.09685).

``W' = W + alpha / rank * B A``. Training goes through peft; using an adapter does not, since the
updates are added to the weights once and the network stays the plain one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, cast

import torch
from torch import Tensor, nn

from bussynth.errors import IntegrityError

__all__ = [
    "WHOLE_TARGETS",
    "adapter_names",
    "adapter_shapes",
    "inject",
    "merge",
    "reached",
    "targets_words",
]

_MODULES: Final = {
    "attention": ("to_q", "to_k", "to_v", "to_out.0"),
    "convolution": ("conv1", "conv2", "conv_in", "conv_out", "conv_shortcut", "conv"),
    "projection": ("time_emb_proj",),
}
# peft names the updates of its one adapter so; files do without.
_ADAPTER: Final = ".default."
_BASE: Final = ".base_layer."
# Beside the updates, as a whole: how conditions are embedded, which depends on the vocabulary; the
# small head of the means, since how bright images are is a matter of the site; and what is small
# enough for a private training: scales and shifts (Ben Zaken et al. 2022, arXiv:2106.10199), and
# the last layer.
_WHOLE: Final = {
    "conditions": r"network\.(columns|box_state)\.",
    "means": r"network\.mean\.",
    "biases": r"network\.unet\.(.*\.bias|.*norm\w*\.weight)$",
    "output": r"network\.unet\.conv_out\.(weight|bias)$",
}
#: Targets that get no low-rank updates.
WHOLE_TARGETS: Final = tuple(_WHOLE)


def inject(
    denoiser: nn.Module, rank: int, alpha: float, targets: Sequence[str], seed: int
) -> nn.Module:
    """Freeze a denoiser, put low-rank updates beside it, and free what is trained as a whole.

    Args:
        denoiser: Module with the UNet as ``network.unet``; changed in place.
        rank: Rank of the updates.
        alpha: Scale times rank.
        targets: What to train: attention, convolution and projection get low-rank updates,
            conditions (their embeddings), means (the head of them), biases (all biases, and the
            scales of normalisations) and output (the last layer) are trained as they are.
        seed: Seed of the initial A; B starts at zero, so nothing changes at first.

    Returns:
        The same module.
    """
    denoiser.requires_grad_(False)
    layers = [name for target in targets for name in _MODULES.get(target, ())]
    if layers:
        _update(denoiser.get_submodule("network.unet"), rank, alpha, layers, seed)
    for name, parameter in denoiser.named_parameters():
        if _whole(name, targets):
            parameter.requires_grad_(True)
    return denoiser


def _update(unet: nn.Module, rank: int, alpha: float, layers: Sequence[str], seed: int) -> None:
    """Put low-rank updates beside some layers of a UNet."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that peft imports
        from peft import LoraConfig, inject_adapter_in_model

    # peft declares a whole number and divides it by the rank all the same.
    scale = cast(int, alpha)
    config = LoraConfig(r=rank, lora_alpha=scale, target_modules=list(layers), lora_dropout=0.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, unet)


def _whole(name: str, targets: Sequence[str]) -> bool:
    """Whether some targets train a parameter as a whole."""
    plain = name.replace(_BASE, ".")
    return any(re.match(_WHOLE[target], plain) for target in targets if target in _WHOLE)


def targets_words(targets: Sequence[str], rank: int) -> str:
    """What some targets train, for people."""
    updated = [target for target in targets if target in _MODULES]
    whole = [target for target in targets if target in _WHOLE]
    words = [f"rank-{rank} updates of {', '.join(updated)}"] if updated else []
    return " and ".join([*words, *([", ".join(whole)] if whole else [])])


def reached(unet: nn.Module, target: str) -> list[nn.Module]:
    """Layers of a UNet that a target names, by the rule of peft."""
    ends = _MODULES.get(target, ())
    return [
        module
        for name, module in unet.named_modules()
        if any(name == end or name.endswith(f".{end}") for end in ends)
    ]


def adapter_shapes(network: nn.Module, rank: int, targets: Sequence[str]) -> list[int]:
    """Number of parameters of each tensor that an adapter of a network holds.

    Args:
        network: The network, with the UNet as ``unet``; shapes are enough (device ``meta``).
        rank: Rank of the updates.
        targets: See :func:`inject`.
    """
    unet = network.get_submodule("unet")
    shapes = [cast(Tensor, m.weight).shape for t in targets for m in reached(unet, t)]
    sizes = [size for shape in shapes for size in (rank * shape[1:].numel(), shape[0] * rank)]
    whole = [p for k, p in network.named_parameters() if _whole(f"network.{k}", targets)]
    return sizes + [parameter.numel() for parameter in whole]


def adapter_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Trained tensors under the names of an adapter file."""
    return {k.replace(_ADAPTER, ".").replace(_BASE, "."): value for k, value in weights.items()}


def merge(
    weights: Mapping[str, Tensor], adapter: Mapping[str, Tensor], scale: float
) -> dict[str, Tensor]:
    """Add the updates of an adapter to the weights of its base.

    Args:
        weights: Of the base, fitted to the adapter's vocabulary; float32.
        adapter: Tensors of an adapter file.
        scale: alpha / rank.

    Returns:
        Weights of the plain network.

    Raises:
        IntegrityError: The adapter does not fit the base.
    """
    merged = dict(weights)
    try:
        # Updates come on top of what is trained as a whole.
        for name, tensor in sorted(adapter.items(), key=lambda one: ".lora_" in one[0]):
            if _whole(name, WHOLE_TARGETS):
                if merged[name].shape != tensor.shape:
                    raise ValueError(name)
                merged[name] = tensor.float()
            elif name.endswith(".lora_A.weight"):
                layer = name.removesuffix(".lora_A.weight")
                up = adapter[layer + ".lora_B.weight"].float()
                merged[layer + ".weight"] = _updated(
                    merged[layer + ".weight"], tensor.float(), up, scale
                )
            elif not name.endswith(".lora_B.weight"):
                raise ValueError(name)
    except (KeyError, ValueError, RuntimeError) as error:
        raise IntegrityError("The adapter does not fit its base.") from error
    return merged


def _updated(weight: Tensor, down: Tensor, up: Tensor, scale: float) -> Tensor:
    """Weight of a linear or convolutional layer with its update."""
    delta = up.flatten(1) @ down.flatten(1)
    if delta.numel() != weight.numel():
        raise ValueError("shapes differ")
    return weight + scale * delta.view_as(weight)
