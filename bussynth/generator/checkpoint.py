"""State of a training under way: one safetensors file, replaced atomically.

The folder of a training holds ``training.json`` (what is trained, written first), ``loss.jsonl``,
``checkpoint.safetensors`` and, when all is done, ``model.json``, written last. No random state is
kept: every step derives its own (see ``seeds``). Both files name the schema of trainings: what one
version left unfinished, another does not go on with by accident.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    "Window",
    "other_version",
    "read_private",
    "read_training",
    "restore",
    "store",
    "write_training",
]

CHECKPOINT_FILE: Final = "checkpoint.safetensors"
TRAINING_FILE: Final = "training.json"
LOSS_FILE: Final = "loss.jsonl"
_SCHEMA: Final = "bussynth-training/1"
_AGAIN: Final = "start again with --force"
# State that AdamW keeps of each parameter; the first is a single number.
_OPTIMIZER: Final = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Position:
    """How far a training has come.

    Attributes:
        step: Steps taken.
        seconds: Time spent on them.
    """

    step: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Window:
    """Losses that no line of the log covers yet.

    Attributes:
        losses: Of each step since the last line, ``(n,)``.
        seconds: Time spent on training up to that line.
    """

    losses: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    seconds: float = 0.0


def other_version(found: Any, known: str, remedy: str) -> str:
    """Say that a schema is another one than ``known``, and what to do about it.

    Args:
        found: What the file has for a schema.
        known: Schema this version reads, ``"name/number"``.
        remedy: What to do about a file of an older version.
    """
    name, _, version = known.partition("/")
    said = f"has schema {found!r}; this version reads {known!r}."
    if not isinstance(found, str) or not found.startswith(name + "/"):
        return said
    number = found.partition("/")[2]
    if number.isdecimal() and int(number) > int(version):
        return f"{said} It was written by a newer bussynth: install that version."
    return f"{said} It was written by an older bussynth: {remedy}."


def write_training(
    folder: Path, identity: Mapping[str, Any], private: Mapping[str, Any] | None = None
) -> None:
    """Write ``training.json``: what makes two runs the same run.

    Args:
        folder: Folder of the training.
        identity: What is trained.
        private: Of a private training: what has been released so far.
    """
    record = {"schema": _SCHEMA, "identity": dict(identity)}
    if private is not None:
        record["private"] = dict(private)
    atomic.write_json(folder / TRAINING_FILE, record)


def read_training(folder: Path) -> dict[str, Any]:
    """Read the identity that :func:`write_training` wrote.

    Raises:
        IntegrityError: The file is damaged or of another version.
    """
    return dict(_training(folder)["identity"])


def read_private(folder: Path) -> dict[str, Any]:
    """Read what a private training has released so far.

    Raises:
        IntegrityError: The file is damaged, of another version, or of a training without privacy.
    """
    private = _training(folder).get("private")
    if not isinstance(private, dict) or not isinstance(private.get("run"), str):
        raise IntegrityError(f"{folder / TRAINING_FILE} is of no private training; {_AGAIN}.")
    return dict(private)


def _training(folder: Path) -> dict[str, Any]:
    path = folder / TRAINING_FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise IntegrityError(f"{path} cannot be read; remove the folder to start again.") from error
    if not isinstance(record, dict) or "schema" not in record:
        raise IntegrityError(f"{path} names no schema: an older bussynth wrote it; {_AGAIN}.")
    if record["schema"] != _SCHEMA:
        raise IntegrityError(f"{path} {other_version(record['schema'], _SCHEMA, _AGAIN)}")
    if not isinstance(record.get("identity"), dict):
        raise IntegrityError(f"{path} does not say what is trained; {_AGAIN}.")
    return dict(record)


def store(
    folder: Path,
    model: nn.Module,
    average: WeightAverage,
    optimizer: torch.optim.Optimizer,
    position: Position,
    window: Window,
) -> None:
    """Write the checkpoint; a kill leaves the one before."""
    tensors = {"losses": window.losses}
    for name, parameter in trained_parameters(model):
        tensors[f"model/{name}"] = parameter.detach()
        tensors[f"ema/{name}"] = average.weights[name]
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer/{key}/{name}"] = value
    tensors = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {
        "schema": _SCHEMA,
        "step": str(position.step),
        "seconds": repr(position.seconds),
        "window_seconds": repr(window.seconds),
    }
    atomic.write_bytes(folder / CHECKPOINT_FILE, save(tensors, metadata))


def restore(
    folder: Path,
    model: nn.Module,
    average: WeightAverage,
    optimizer: torch.optim.Optimizer,
) -> tuple[Position, Window]:
    """Load the checkpoint of a folder into the training objects, if there is one.

    Nothing is loaded before all of it is known to fit.

    Returns:
        Where the training stands, step 0 without a checkpoint; and the losses to be logged.

    Raises:
        IntegrityError: The checkpoint is damaged, of another version or of another network.
    """
    path = folder / CHECKPOINT_FILE
    if not path.exists():
        return Position(), Window()
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("schema") == _SCHEMA:
                position = Position(int(metadata["step"]), float(metadata["seconds"]))
                opened = float(metadata["window_seconds"])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise IntegrityError(f"{path} is damaged; {_AGAIN}.") from error
    if "schema" not in metadata:
        raise IntegrityError(f"{path} names no schema: an older bussynth wrote it; {_AGAIN}.")
    if metadata["schema"] != _SCHEMA:
        raise IntegrityError(f"{path} {other_version(metadata['schema'], _SCHEMA, _AGAIN)}")
    losses = tensors.pop("losses", None)
    if (
        losses is None
        or losses.ndim != 1
        or {key: value.shape for key, value in tensors.items()} != _expected(model, position)
    ):
        raise IntegrityError(f"{path} is of another network; {_AGAIN}.")
    with torch.no_grad():
        for name, parameter in trained_parameters(model):
            parameter.copy_(tensors[f"model/{name}"])
            average.weights[name].copy_(tensors[f"ema/{name}"])
            found = {key: tensors.get(f"optimizer/{key}/{name}") for key in _OPTIMIZER}
            optimizer.state[parameter] = {
                key: value if value.ndim == 0 else torch.empty_like(parameter).copy_(value)
                for key, value in found.items()
                if value is not None
            }
    return position, Window(losses, opened)


def _expected(model: nn.Module, position: Position) -> dict[str, torch.Size]:
    """Name and shape of each tensor of a checkpoint, but for the losses."""
    shapes = {}
    for name, parameter in trained_parameters(model):
        shapes[f"model/{name}"] = shapes[f"ema/{name}"] = parameter.shape
        if position.step:  # before the first step the optimizer knows nothing
            for key in _OPTIMIZER:
                single = key == _OPTIMIZER[0]
                shapes[f"optimizer/{key}/{name}"] = torch.Size() if single else parameter.shape
    return shapes


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
