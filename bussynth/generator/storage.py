"""Model and adapter folders: written whole, read with their digests checked.

``model.json`` (of an adapter ``adapter.json``) names every other file by SHA-256 and is written
last; a folder without it is an unfinished training. Weights are safetensors, everything else
JSON: loading runs no code. No file holds a patient's name, pseudonym or box.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from bussynth import __version__, atomic
from bussynth.errors import DataError, IntegrityError
from bussynth.generator.checkpoint import TRAINING_FILE, other_version
from bussynth.generator.network import Architecture
from bussynth.generator.prior import ConditionPrior

__all__ = [
    "ADAPTER_FILE",
    "FILES",
    "MODEL_FILE",
    "StoredAdapter",
    "StoredModel",
    "read_adapter",
    "read_model",
    "read_record",
    "write_adapter",
    "write_model",
]

MODEL_FILE: Final = "model.json"
ADAPTER_FILE: Final = "adapter.json"
_PRIOR_FILE: Final = "prior.json"


@dataclass(frozen=True)
class _Kind:
    """What tells model and adapter folders apart."""

    schema: str
    weights: str
    decides: tuple[str, ...]

    @property
    def keys(self) -> set[str]:
        return {*self.decides, "bussynth", "training", "digest"}


_DECIDES = ("schema", "architecture", "vocabulary", "files")
_KINDS: Final = {
    MODEL_FILE: _Kind("bussynth-model/3", "weights.safetensors", _DECIDES),
    ADAPTER_FILE: _Kind(
        "bussynth-adapter/2", "adapter.safetensors", (*_DECIDES, "base", "rank", "alpha")
    ),
}


#: Names of all files of a finished model or adapter.
FILES: Final = frozenset({*_KINDS, *(kind.weights for kind in _KINDS.values()), _PRIOR_FILE})


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """Content of a model folder.

    Attributes:
        architecture: The network.
        vocabulary: Values of each condition column.
        weights: Averaged weights by name, float32.
        prior: Prior over conditions and boxes.
        training: Record of the training, plain values.
        digest: ``"sha256:..."`` over architecture, vocabulary, weights and prior.
    """

    architecture: Architecture
    vocabulary: Mapping[str, Sequence[str]]
    weights: Mapping[str, Tensor]
    prior: ConditionPrior
    training: Mapping[str, Any]
    digest: str


@dataclass(frozen=True, kw_only=True)
class StoredAdapter(StoredModel):
    """Content of an adapter folder; ``weights`` are the updates of the base's.

    Attributes:
        base: ``digest`` of the base and its ``name`` if it is a built-in one.
        rank: Rank of the updates.
        alpha: Scale of the updates times the rank.
    """

    base: Mapping[str, Any]
    rank: int
    alpha: float


def _sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _digest(record: Mapping[str, Any], kind: _Kind) -> str:
    """Digest of what decides the images, not of when and where it was trained."""
    content = {key: record[key] for key in kind.decides}
    return _sha256(atomic.canonical_json(content).encode())


def write_model(
    folder: Path,
    *,
    architecture: Architecture,
    vocabulary: Mapping[str, Sequence[str]],
    weights: Mapping[str, Tensor],
    prior: ConditionPrior,
    training: Mapping[str, Any],
    half: bool = False,
) -> None:
    """Finish a model folder; ``model.json`` comes last.

    Args:
        folder: An existing folder.
        architecture: The network.
        vocabulary: Values of each condition column.
        weights: Averaged weights by name.
        prior: Prior over conditions and boxes.
        training: Record of the training, plain values without patient data.
        half: Store weights in half precision.
    """
    _write(folder, MODEL_FILE, architecture, vocabulary, weights, prior, training, half, {})


def write_adapter(
    folder: Path,
    *,
    architecture: Architecture,
    vocabulary: Mapping[str, Sequence[str]],
    weights: Mapping[str, Tensor],
    prior: ConditionPrior,
    training: Mapping[str, Any],
    base: Mapping[str, Any],
    rank: int,
    alpha: float,
) -> None:
    """Finish an adapter folder in half precision; ``adapter.json`` comes last.

    Args:
        folder: An existing folder.
        architecture: The network, with the conditions of the adapter.
        vocabulary: Values of each condition column.
        weights: Averaged updates by name.
        prior: Prior over conditions and boxes.
        training: Record of the training, plain values without patient data.
        base: ``digest`` and ``name`` of the base.
        rank: Rank of the updates.
        alpha: Scale of the updates times the rank.
    """
    extra = {"base": dict(base), "rank": rank, "alpha": alpha}
    _write(folder, ADAPTER_FILE, architecture, vocabulary, weights, prior, training, True, extra)


def _write(
    folder: Path,
    name: str,
    architecture: Architecture,
    vocabulary: Mapping[str, Sequence[str]],
    weights: Mapping[str, Tensor],
    prior: ConditionPrior,
    training: Mapping[str, Any],
    half: bool,
    extra: Mapping[str, Any],
) -> None:
    kind, precision = _KINDS[name], torch.float16 if half else torch.float32
    tensors = {k: v.detach().cpu().to(precision).contiguous() for k, v in weights.items()}
    files = {
        kind.weights: save_tensors(tensors),
        _PRIOR_FILE: (atomic.canonical_json(prior.to_dict(), indent=2) + "\n").encode(),
    }
    for file, data in files.items():
        atomic.write_bytes(folder / file, data)
    record: dict[str, Any] = {
        "schema": kind.schema,
        "bussynth": __version__,
        "architecture": architecture.to_dict(),
        "vocabulary": {column: list(values) for column, values in vocabulary.items()},
        "files": {file: _sha256(data) for file, data in files.items()},
        "training": dict(training),
        **extra,
    }
    atomic.write_json(folder / name, record | {"digest": _digest(record, kind)})


def read_record(folder: Path) -> dict[str, Any]:
    """Read and check ``model.json`` or ``adapter.json`` alone.

    Raises:
        IntegrityError: The training is unfinished, or the record damaged or of a foreign schema.
        DataError: There is neither.
    """
    name = ADAPTER_FILE if (folder / ADAPTER_FILE).is_file() else MODEL_FILE
    path, kind = folder / name, _KINDS[name]
    if not path.is_file():
        if (folder / TRAINING_FILE).is_file():
            raise IntegrityError(
                f"{folder} holds an unfinished training; run the same command again to go on, or "
                "with --finish to take what it has."
            )
        raise DataError(f"{folder} holds no model: {MODEL_FILE} is missing.{_pickles(folder)}")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise IntegrityError(f"{path} cannot be read.") from error
    if not isinstance(record, dict) or record.get("schema") != kind.schema:
        found = record.get("schema") if isinstance(record, dict) else None
        raise IntegrityError(f"{path} {other_version(found, kind.schema, 'train it again')}")
    if set(record) != kind.keys or not isinstance(record["files"], dict):
        raise IntegrityError(f"{path} lacks fields or has unknown ones.")
    if set(record["files"]) != {kind.weights, _PRIOR_FILE}:
        raise IntegrityError(f"{path} names other files than a model has.")
    if _digest(record, kind) != record["digest"]:
        raise IntegrityError(f"{path} was changed: its digest does not match.")
    return record


def _pickles(folder: Path) -> str:
    """A word on weights that are there but are never opened."""
    if any(path.suffix in (".bin", ".pt", ".pth", ".ckpt", ".pkl") for path in folder.glob("*")):
        return " Pickled weights can run code and are never read; only safetensors are."
    return ""


def _is_pickle(data: bytes) -> bool:
    """Whether weights are a pickle, bare or zipped by ``torch.save``.

    safetensors begin with the length of their header, whose lowest byte may be that of a pickle,
    and then a brace.
    """
    return data[8:9] != b"{" and (data[:1] == b"\x80" or data[:4] == b"PK\x03\x04")


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Record of a folder, and the fields of :class:`StoredModel`."""
    record = read_record(folder)
    content: dict[str, bytes] = {}
    problems = []
    for name, digest in record["files"].items():
        try:
            content[name] = (folder / name).read_bytes()
        except OSError:
            problems.append(f"{name} is missing or cannot be read.{_pickles(folder)}")
            continue
        if _sha256(content[name]) != digest:
            problems.append(f"{name} was changed: its digest does not match")
    if problems:
        raise IntegrityError(f"The model in {folder} is damaged.", problems)
    prior_bytes = content.pop(_PRIOR_FILE)
    ((name, weight_bytes),) = content.items()
    if _is_pickle(weight_bytes):
        raise IntegrityError(
            f"{folder / name} is a pickle, not safetensors; it may run code and is not opened."
        )
    try:
        weights = {k: v.float() for k, v in load_tensors(weight_bytes).items()}
        prior = ConditionPrior.from_dict(json.loads(prior_bytes))
    except (SafetensorError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise IntegrityError(f"The model in {folder} is damaged.") from error
    architecture = Architecture.from_dict(record["architecture"])
    vocabulary = {column: tuple(words) for column, words in record["vocabulary"].items()}
    counts = tuple(len(vocabulary[column]) for column in sorted(vocabulary))
    if (
        dict(prior.vocabulary) != vocabulary
        or prior.image_size != architecture.image_size
        or counts != architecture.values
    ):
        raise IntegrityError(f"The parts of the model in {folder} do not fit together.")
    return record, {
        "architecture": architecture,
        "vocabulary": vocabulary,
        "weights": weights,
        "prior": prior,
        "training": record["training"],
        "digest": record["digest"],
    }


def read_model(folder: Path) -> StoredModel:
    """Read a model folder.

    Raises:
        IntegrityError: The training is unfinished, a file was changed or is missing, or the
            folder holds an adapter.
        DataError: There is no model.
    """
    record, fields = _read(folder)
    if "rank" in record:
        raise IntegrityError(f"{folder} holds an adapter, not a whole model.")
    return StoredModel(**fields)


def read_adapter(folder: Path) -> StoredAdapter:
    """Read an adapter folder, without its base.

    Raises:
        IntegrityError: The training is unfinished, or a file was changed or is missing.
        DataError: There is no adapter.
    """
    record, fields = _read(folder)
    base, rank, alpha = record.get("base"), record.get("rank"), record.get("alpha")
    if (
        not isinstance(base, dict)
        or not isinstance(base.get("digest"), str)
        or not isinstance(rank, int)
        or not isinstance(alpha, (int, float))
        or rank < 1
        or not 0 < alpha < math.inf
    ):
        raise IntegrityError(f"{folder} is no adapter, or its record is damaged.")
    return StoredAdapter(**fields, base=base, rank=rank, alpha=float(alpha))
