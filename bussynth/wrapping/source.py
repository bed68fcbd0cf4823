"""Recognise what a path holds, without opening more than a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bussynth.errors import DataError, UsageError

__all__ = ["PIPELINE_FILE", "SPEC_FILE", "Source", "recognise"]

PIPELINE_FILE: Final = "model_index.json"
SPEC_FILE: Final = "sampler.json"

_MODELS: Final = {".pt": "torchscript", ".ts": "torchscript", ".onnx": "onnx"}
_PICKLES: Final = frozenset({".bin", ".ckpt", ".joblib", ".pickle", ".pkl", ".pth"})


@dataclass(frozen=True, slots=True)
class Source:
    """What is to be wrapped.

    Attributes:
        kind: ``"images"``, ``"diffusers"``, ``"torchscript"`` or ``"onnx"``.
        path: The folder, or the model file of a sampler.
    """

    kind: str
    path: Path


def recognise(path: Path, kind: str = "auto") -> Source:
    """Find out what a path holds.

    Args:
        path: A folder, or the model file of a sampler.
        kind: One of :data:`bussynth.wrapping.config.KINDS`; other than ``"auto"``, it decides.

    Raises:
        UsageError: There is nothing, or something that ``kind`` does not fit.
        DataError: A pickled model.
    """
    if path.is_dir():
        return _folder(path, kind)
    if not path.is_file():
        raise UsageError(f"{path} does not exist.")
    if kind in ("torchscript", "onnx"):
        return Source(kind, path)
    if kind != "auto":
        raise UsageError(f"{path} is a file; --kind {kind} needs a folder.")
    suffix = path.suffix.lower()
    if suffix in _MODELS:
        return Source(_MODELS[suffix], path)
    if suffix in _PICKLES:
        raise _pickled(path)
    raise UsageError(
        f"{path} is no sampler: expected TorchScript (.pt, .ts) or ONNX (.onnx), or a folder."
    )


def _folder(path: Path, kind: str) -> Source:
    if (path / "cohort.json").is_file():
        raise UsageError(f"{path} is a cohort already; every verb takes it as it is.")
    if (path / "model.json").is_file():
        raise UsageError(f"{path} is a model of bussynth; draw from it with `bussynth generate`.")
    if kind == "auto":
        if (path / PIPELINE_FILE).is_file():
            kind = "diffusers"
        elif not (path / SPEC_FILE).is_file():
            _refuse_bare_model(path)
            kind = "images"
    if kind == "images":
        return Source(kind, path)
    if kind == "diffusers":
        if not (path / PIPELINE_FILE).is_file():
            raise UsageError(f"{path} is no pipeline of diffusers: {PIPELINE_FILE} is missing.")
        return Source(kind, path)
    return _sampler(path, kind)


def _refuse_bare_model(path: Path) -> None:
    """Refuse a model without its description, which would pass for a folder of images."""
    if any(file.suffix.lower() in _MODELS and file.is_file() for file in path.iterdir()):
        raise UsageError(
            f"{path} holds a model file ({', '.join(_MODELS)}) and no {SPEC_FILE} beside it, which "
            "says how to draw from it (`bussynth wrap --help`); write one, or say --kind images "
            "if the images in the folder are to be wrapped."
        )


def _sampler(path: Path, kind: str) -> Source:
    files = sorted(file for file in path.iterdir() if file.is_file())
    wanted = {suffix for suffix, found in _MODELS.items() if kind in ("auto", found)}
    models = [file for file in files if file.suffix.lower() in wanted]
    if len(models) == 1:
        return Source(_MODELS[models[0].suffix.lower()], models[0])
    if not models and any(file.suffix.lower() in _PICKLES for file in files):
        raise _pickled(path)
    raise UsageError(
        f"{path} holds {len(models)} model files ({', '.join(sorted(wanted))}), not one; give the "
        "path of the file."
    )


def _pickled(path: Path) -> DataError:
    return DataError(
        f"{path}: pickled models are not opened, for they can run anything. Save the model with "
        "torch.jit.save (.pt), or export it to ONNX (.onnx)."
    )
