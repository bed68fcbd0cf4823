"""The model folder: written whole, read with its digests checked.

``model.json`` names every other file by SHA-256 and is written last; a folder without it is an
unfinished training. Weights are safetensors, everything else JSON: loading runs no code. No file
holds a patient's name, pseudonym or box.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from bussynth import __version__, atomic
from bussynth.errors import DataError, IntegrityError
from bussynth.generator.checkpoint import TRAINING_FILE
from bussynth.generator.network import Architecture
from bussynth.generator.prior import ConditionPrior

__all__ = ["MODEL_FILE", "SCHEMA", "StoredModel", "read_model", "read_record", "write_model"]

SCHEMA: Final = "bussynth-model/1"
MODEL_FILE: Final = "model.json"
_WEIGHTS_FILE: Final = "weights.safetensors"
_PRIOR_FILE: Final = "prior.json"


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """Content of a model folder.

    Attributes:
        architecture: The network.
        vocabulary: Values of each condition column.
        weights: Averaged weights by name.
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


def _sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _digest(record: Mapping[str, Any]) -> str:
    """Digest of what decides the images, not of when and where it was trained."""
    content = {key: record[key] for key in ("schema", "architecture", "vocabulary", "files")}
    return _sha256(atomic.canonical_json(content).encode())


def write_model(
    folder: Path,
    *,
    architecture: Architecture,
    vocabulary: Mapping[str, Sequence[str]],
    weights: Mapping[str, Tensor],
    prior: ConditionPrior,
    training: Mapping[str, Any],
) -> None:
    """Finish a model folder; ``model.json`` comes last.

    Args:
        folder: An existing folder.
        architecture: The network.
        vocabulary: Values of each condition column.
        weights: Averaged weights by name.
        prior: Prior over conditions and boxes.
        training: Record of the training, plain values without patient data.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    files = {
        _WEIGHTS_FILE: save_tensors(tensors),
        _PRIOR_FILE: (atomic.canonical_json(prior.to_dict(), indent=2) + "\n").encode(),
    }
    for name, data in files.items():
        atomic.write_bytes(folder / name, data)
    record: dict[str, Any] = {
        "schema": SCHEMA,
        "bussynth": __version__,
        "architecture": architecture.to_dict(),
        "vocabulary": {column: list(values) for column, values in vocabulary.items()},
        "files": {name: _sha256(data) for name, data in files.items()},
        "training": dict(training),
    }
    atomic.write_json(folder / MODEL_FILE, record | {"digest": _digest(record)})


def read_record(folder: Path) -> dict[str, Any]:
    """Read and check ``model.json`` alone.

    Raises:
        IntegrityError: The training is unfinished, or the record damaged or of a foreign schema.
        DataError: There is no model.
    """
    path = folder / MODEL_FILE
    if not path.is_file():
        if (folder / TRAINING_FILE).is_file():
            raise IntegrityError(
                f"{folder} holds an unfinished training; run the same train command again."
            )
        raise DataError(f"{folder} holds no model: {MODEL_FILE} is missing.")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise IntegrityError(f"{path} cannot be read.") from error
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        found = record.get("schema") if isinstance(record, dict) else None
        raise IntegrityError(f"{path} has schema {found!r}; this version reads {SCHEMA!r}.")
    keys = {"schema", "bussynth", "architecture", "vocabulary", "files", "training", "digest"}
    if set(record) != keys or not isinstance(record["files"], dict):
        raise IntegrityError(f"{path} lacks fields or has unknown ones.")
    if set(record["files"]) != {_WEIGHTS_FILE, _PRIOR_FILE}:
        raise IntegrityError(f"{path} names other files than a model has.")
    if _digest(record) != record["digest"]:
        raise IntegrityError(f"{path} was changed: its digest does not match.")
    return record


def read_model(folder: Path) -> StoredModel:
    """Read a model folder.

    Raises:
        IntegrityError: The training is unfinished, or a file was changed or is missing.
        DataError: There is no model.
    """
    record = read_record(folder)
    content: dict[str, bytes] = {}
    problems = []
    for name, digest in record["files"].items():
        try:
            content[name] = (folder / name).read_bytes()
        except OSError:
            problems.append(f"{name} is missing or cannot be read")
            continue
        if _sha256(content[name]) != digest:
            problems.append(f"{name} was changed: its digest does not match")
    if problems:
        raise IntegrityError(f"The model in {folder} is damaged.", problems)
    try:
        weights = load_tensors(content[_WEIGHTS_FILE])
        prior = ConditionPrior.from_dict(json.loads(content[_PRIOR_FILE]))
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
    return StoredModel(
        architecture=architecture,
        vocabulary=vocabulary,
        weights=weights,
        prior=prior,
        training=record["training"],
        digest=record["digest"],
    )
