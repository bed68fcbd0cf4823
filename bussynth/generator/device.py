"""Where the network runs."""

from __future__ import annotations

import os

import torch

from bussynth.errors import UsageError

__all__ = ["autocast", "resolve_device"]


def resolve_device(name: str = "auto") -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` into a device that exists.

    Under ``torchrun`` and ``accelerate launch``, ``auto`` and ``cuda`` are a GPU of its own for
    each process of the machine.

    Raises:
        UsageError: The device is unknown or not present.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device={name!r}: expected auto, cpu, cuda or cuda:N.") from error
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise UsageError(f"device={name!r}: expected auto, cpu, cuda or cuda:N.")
    if not torch.cuda.is_available():
        raise UsageError(f"device={name!r}: this machine has no usable GPU; use cpu or auto.")
    count = torch.cuda.device_count()
    if ":" not in name and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= count:
            raise UsageError(
                f"This is process {local + 1} of this machine, which has {count} GPUs; start one "
                "process a GPU, or use cpu."
            )
        return torch.device("cuda", local)
    if device.index is not None and device.index >= count:
        raise UsageError(f"device={name!r}: there are {count} GPUs.")
    return device


def autocast(device: torch.device) -> torch.autocast:
    """Mixed precision where it helps: bfloat16 on GPUs, none on CPUs, where it is slower."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")
