"""Bases: finished models that another training starts from, some of them in the box.

A base is named by its folder or as ``builtin:NAME``. Its weights fit a cohort with other
conditions: embeddings are carried over by the names of columns and values, and what the base has
not met starts as "not stated" is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from bussynth.builtin import BUILTIN, builtin_names, model_folder
from bussynth.errors import IntegrityError, UsageError
from bussynth.generator.network import Architecture
from bussynth.generator.storage import ADAPTER_FILE, StoredModel, read_model

__all__ = ["Base", "carry_over", "open_base"]


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base and how it was named.

    Attributes:
        model: The model.
        name: ``builtin:NAME``, or None for a folder, whose path no record holds.
    """

    model: StoredModel
    name: str | None

    def record(self) -> dict[str, Any]:
        """What a training record says of the base: its lineage."""
        cohort = self.model.training.get("cohort")
        return {"digest": self.model.digest, "name": self.name, "cohort": cohort}

    def architecture(
        self, image_size: tuple[int, int], vocabulary: Mapping[str, Sequence[str]]
    ) -> Architecture:
        """The base's network with the conditions of a cohort.

        Raises:
            UsageError: The base makes images of another size.
        """
        own = self.model.architecture
        if own.image_size != image_size:
            raise UsageError(
                f"The base makes images of {own.image_size[1]}x{own.image_size[0]} pixels, the "
                f"cohort has {image_size[1]}x{image_size[0]}; ingest at the size of the base or "
                f"choose another ({', '.join(builtin_names()) or 'none is built in'})."
            )
        return replace(own, values=tuple(len(vocabulary[c]) for c in sorted(vocabulary)))


def open_base(name: str) -> Base:
    """Open a base.

    Args:
        name: Path of a model folder, or ``builtin:NAME``.

    Raises:
        UsageError: There is no built-in model of this name, or the folder holds an adapter.
        IntegrityError: The model is unfinished or damaged.
        DataError: The folder holds no model.
    """
    folder = model_folder(name)
    if (folder / ADAPTER_FILE).is_file():
        raise UsageError(
            f"{folder} holds an adapter, which is no base; name the model that it was fitted to."
        )
    return Base(model=read_model(folder), name=name if name.startswith(BUILTIN) else None)


def carry_over(
    base: StoredModel, architecture: Architecture, vocabulary: Mapping[str, Sequence[str]]
) -> dict[str, Tensor]:
    """Weights of a base, fitted to the conditions of another vocabulary.

    Args:
        base: The base.
        architecture: Of :meth:`Base.architecture`.
        vocabulary: Values of each column of the cohort at hand.

    Returns:
        float32 weights by name.

    Raises:
        IntegrityError: The weights do not fit the base's own architecture.
    """
    if replace(architecture, values=base.architecture.values) != base.architecture:
        raise UsageError("The network to be trained is not that of the base.")
    weights = {k: v.float() for k, v in base.weights.items() if ".columns." not in k}
    old_columns = {column: j for j, column in enumerate(sorted(base.vocabulary))}
    try:
        width = weights["network.box_state.weight"].shape[1]
        for j, column in enumerate(sorted(vocabulary)):
            # Row 0 is "not stated". New values start as it, a new column without effect.
            table = torch.zeros(len(vocabulary[column]) + 1, width)
            if column in old_columns:
                old = base.weights[f"network.columns.{old_columns[column]}.weight"].float()
                rows = {value: row for row, value in enumerate(base.vocabulary[column], start=1)}
                table += old[0]
                for row, value in enumerate(vocabulary[column], start=1):
                    if value in rows:
                        table[row] = old[rows[value]]
            weights[f"network.columns.{j}.weight"] = table
        # A column that the cohort does not have stays "not stated" for good.
        for column in old_columns.keys() - set(vocabulary):
            unsaid = base.weights[f"network.columns.{old_columns[column]}.weight"][0].float()
            weights["network.box_state.weight"] = weights["network.box_state.weight"] + unsaid
    except (KeyError, IndexError, RuntimeError) as error:
        raise IntegrityError("The weights of the base do not fit its architecture.") from error
    return weights
