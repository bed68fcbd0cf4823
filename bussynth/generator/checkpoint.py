"""State of a training under way: one safetensors file, replaced atomically.

The folder of a training holds ``training.json`` (what is trained, written first), ``loss.jsonl``,
``checkpoint.safetensors`` and, when all is done, ``model.json``, written last. No random state is
kept: every step derives its own (see ``seeds``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from bussynth import atomic
from bussynth.errors import IntegrityError
from bussynth.generator.ema import WeightAverage, trained_parameters

__all__ = [
    "CHECKPOINT_FILE",
    "LOSS_FILE",
    "TRAINING_FILE",
    "LossLog",
    "Position",
    "restore",
    "store",
]

CHECKPOINT_FILE: Final = "checkpoint.safetensors"
TRAINING_FILE: Final = "training.json"
LOSS_FILE: Final = "loss.jsonl"


@dataclass(frozen=True)
class Position:
    """How far a training has come.

    Attributes:
        step: Steps taken.
        seconds: Time spent on them.
    """

    step: int = 0
    seconds: float = 0.0


def store(
    folder: Path,
    model: nn.Module,
    average: WeightAverage,
    optimizer: torch.optim.Optimizer,
    position: Position,
) -> None:
    """Write the checkpoint; a kill leaves the one before."""
    tensors = {}
    for name, parameter in trained_parameters(model):
        tensors[f"model/{name}"] = parameter.detach()
        tensors[f"ema/{name}"] = average.weights[name]
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer/{key}/{name}"] = value
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {"step": str(position.step), "seconds": repr(position.seconds)}
    atomic.write_bytes(folder / CHECKPOINT_FILE, save(tensors, metadata))


def restore(
    folder: Path,
    model: nn.Module,
    average: WeightAverage,
    optimizer: torch.optim.Optimizer,
) -> Position:
    """Load the checkpoint of a folder into the training objects, if there is one.

    Returns:
        Where the training stands; step 0 without a checkpoint.

    Raises:
        IntegrityError: The checkpoint is damaged or of another network.
    """
    path = folder / CHECKPOINT_FILE
    if not path.exists():
        return Position()
    try:
        with safe_open(path, framework="pt") as file, torch.no_grad():
            stored: dict[str, dict[str, torch.Tensor]] = {}
            for name, parameter in trained_parameters(model):
                parameter.copy_(file.get_tensor(f"model/{name}"))
                average.weights[name].copy_(file.get_tensor(f"ema/{name}"))
            for key in file.keys():  # noqa: SIM118 - not a dict
                kind, _, rest = key.partition("/")
                if kind == "optimizer":
                    field, _, name = rest.partition("/")
                    stored.setdefault(name, {})[field] = file.get_tensor(key)
            for name, parameter in trained_parameters(model):
                optimizer.state[parameter] = {
                    field: value if value.ndim == 0 else torch.empty_like(parameter).copy_(value)
                    for field, value in stored.get(name, {}).items()
                }
            metadata = file.metadata()
        return Position(int(metadata["step"]), float(metadata["seconds"]))
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError, OSError) as error:
        raise IntegrityError(
            f"{path} is damaged or of another network; start again with --force."
        ) from error


class LossLog:
    """JSON lines of the training loss; lines after the checkpoint are dropped on resuming.

    Args:
        folder: Folder of the training.
        step: Step of the checkpoint the training starts from.

    Attributes:
        last: Loss of the last line, NaN if there is none.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / LOSS_FILE
        kept = [line for line in self._lines() if line["step"] <= step]
        self.last = float(kept[-1]["loss"]) if kept else math.nan
        atomic.write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept))

    def _lines(self) -> list[dict[str, Any]]:
        lines = []
        if self._path.exists():
            for text in self._path.read_text(encoding="utf-8").splitlines():
                try:
                    lines.append(json.loads(text))
                except json.JSONDecodeError:
                    break  # the line a kill cut short
        return lines

    def write(self, entry: Mapping[str, float]) -> None:
        """Append one line with at least ``step`` and ``loss``."""
        self.last = entry["loss"]
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")
