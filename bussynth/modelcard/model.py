"""The model of a card: opened with every digest checked, and what its files say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from safetensors import safe_open

from bussynth.builtin import BUILTIN, model_folder
from bussynth.errors import IntegrityError
from bussynth.generator.adapter import open_model
from bussynth.generator.config import AdaptConfig, TrainConfig
from bussynth.generator.lineage import Lineage, trace
from bussynth.generator.storage import ADAPTER_FILE, MODEL_FILE, StoredModel, read_record
from bussynth.record import digest, field, mapping, text

__all__ = ["CardModel", "open_card_model"]

_PRECISIONS: Final = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_HIDDEN: Final = ("base", "checkpoint_minutes", "checkpoint_steps")


@dataclass(frozen=True, kw_only=True, eq=False)
class CardModel:
    """A model and its papers.

    Attributes:
        stored: The network; of an adapter together with its base.
        record: Content of ``model.json`` or ``adapter.json``.
        cohort: Digest of the training cohort.
        folder: Where the files are.
        name: ``builtin:NAME``, or None.
        bytes: Size of all files that make the model, of an adapter without its base.
        precision: Of the stored weights.
        lineage: The bases behind it.
    """

    stored: StoredModel
    record: Mapping[str, Any]
    cohort: str
    folder: Path
    name: str | None
    bytes: int
    precision: str
    lineage: Lineage

    @property
    def digest(self) -> str:
        """``"sha256:..."`` of all that decides the images."""
        return self.stored.digest

    @property
    def is_adapter(self) -> bool:
        """Whether the folder holds an adapter."""
        return "rank" in self.record

    @property
    def training(self) -> Mapping[str, Any]:
        """Record of the training; no digest covers it, so anything may be missing."""
        return mapping(self.record["training"])

    @property
    def kind(self) -> str | None:
        """Kind of the training cohort."""
        return text(field(self.training, "cohort", "kind"))

    @property
    def config(self) -> dict[str, Any]:
        """Configuration of the training: fields that bussynth knows, and no others."""
        known = {
            item.name: None for config in (TrainConfig, AdaptConfig) for item in fields(config)
        }
        given = mapping(self.training.get("config"))
        return {key: given[key] for key in known if key in given and key not in _HIDDEN}


def open_card_model(source: str, base: str | None = None) -> CardModel:
    """Open a model with its record.

    Args:
        source: Folder of a model or an adapter, or ``builtin:NAME``.
        base: What it was fitted to or started from, if that is not built in. An adapter needs
            it; of a model it tells more of the lineage.

    Raises:
        UsageError: No built-in model has this name, or a base is missing or not needed.
        IntegrityError: A file is damaged, the record names no training cohort, or the base is
            another one.
        DataError: There is no model.
    """
    folder = model_folder(source)
    adapter = not source.startswith(BUILTIN) and (folder / ADAPTER_FILE).is_file()
    stored = open_model(source, base if adapter else None)
    record = read_record(folder)
    cohort = digest(field(mapping(record["training"]), "cohort", "digest"))
    if cohort is None:
        raise IntegrityError(f"The record in {folder} does not say what the model learned from.")
    names = [*record["files"], ADAPTER_FILE if adapter else MODEL_FILE]
    return CardModel(
        stored=stored,
        record=record,
        cohort=cohort,
        folder=folder,
        name=source if source.startswith(BUILTIN) else None,
        bytes=sum((folder / name).stat().st_size for name in names),
        precision=_precision(folder, record),
        lineage=trace(mapping(record["training"]), base),
    )


def _precision(folder: Path, record: Mapping[str, Any]) -> str:
    (weights,) = (name for name in record["files"] if name.endswith(".safetensors"))
    with safe_open(folder / weights, "numpy") as tensors:
        found = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    return ", ".join(sorted(_PRECISIONS.get(name, name) for name in found))
