"""The training images, decoded once."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bussynth.cohort import Cohort
from bussynth.errors import UsageError
from bussynth.generator.conditions import ConditionBatch, ConditionEncoder
from bussynth.generator.seeds import derive_seed
from bussynth.progress import SILENT, Progress

__all__ = ["MEMORY_LIMIT", "BatchOrder", "TrainingSet", "training_view"]

#: Bytes of decoded images held in memory; larger sets are mapped from an unnamed temporary file.
MEMORY_LIMIT = 2 * 2**30


def training_view(cohort: Cohort) -> Cohort:
    """The rows a generator may learn from.

    Real and phantom cohorts give their ``train`` patients only: control and test patients must
    stay unseen, or every audit and every utility figure is void. Synthetic cohorts have no
    patients and give all rows.

    Raises:
        UsageError: The cohort was never split.
    """
    if cohort.kind == "synthetic":
        return cohort
    if cohort.split_record is None:
        raise UsageError(
            f"{cohort.path} is not split by patient; run `bussynth split {cohort.path}` first."
        )
    return cohort.select(split="train")


@dataclass(frozen=True)
class TrainingSet:
    """Decoded images and encoded conditions of the training rows.

    Attributes:
        images: uint8 ``(n, H, W)``; in memory, or mapped from disk if large.
        encoded: Conditions of the n rows.
        conditions: The same in words, with ``lesion_box``, for fitting the prior.
        patients: Patient of each row; a row of its own where there is none.
    """

    images: npt.NDArray[np.uint8]
    encoded: ConditionBatch
    conditions: list[Mapping[str, Any]] = field(repr=False)
    patients: list[str] = field(repr=False)

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def load(
        cls, view: Cohort, encoder: ConditionEncoder, scratch: Path, progress: Progress = SILENT
    ) -> TrainingSet:
        """Decode all rows of a cohort view.

        Conditions that the model does not know of count as not stated.

        Args:
            view: The rows, see :func:`training_view`.
            encoder: Of the model to be trained.
            scratch: Folder for the temporary file of a large set. The file has no name, so it
                is gone when the process ends, however it ends.
            progress: Where to report.
        """
        shape = (len(view), *view.image_size)
        images: npt.NDArray[np.uint8]
        if int(np.prod(shape)) <= MEMORY_LIMIT:
            images = np.empty(shape, dtype=np.uint8)
        else:
            with tempfile.TemporaryFile(dir=scratch) as file:
                images = np.memmap(file, dtype=np.uint8, mode="w+", shape=shape)
        conditions: list[Mapping[str, Any]] = []
        patients: list[str] = []
        with progress.task("Decoding images", total=len(view)) as task:
            for rows in view.batches(256):
                for row in rows:
                    images[len(patients)] = row.image
                    stated = encoder.known(row.conditions)
                    conditions.append({**stated, "lesion_box": row.lesion_box})
                    patients.append(row.patient or f"row {len(patients)}")
                task.advance(len(rows))
        return cls(images, encoder.encode(conditions), conditions, patients)


class BatchOrder:
    """Which rows each training step sees: shuffled epochs, cut into batches without a rest.

    A pure function of (seed, step), so a resumed run continues the same order.

    Args:
        n: Number of rows, >= 1.
        batch_size: Rows a step.
        seed: Seed of the run.
    """

    def __init__(self, n: int, batch_size: int, seed: int) -> None:
        self._n, self._batch_size, self._seed = n, batch_size, seed
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def rows(self, step: int) -> Tensor:
        """Row numbers of step ``step`` (from 0), int64 ``(batch_size,)``."""
        position, end = step * self._batch_size, (step + 1) * self._batch_size
        parts = []
        while position < end:
            epoch, offset = divmod(position, self._n)
            if epoch != self._epoch:
                generator = torch.Generator().manual_seed(derive_seed("order", self._seed, epoch))
                self._order = torch.randperm(self._n, generator=generator)
                self._epoch = epoch
            part = self._order[offset : offset + end - position]
            parts.append(part)
            position += len(part)
        return torch.cat(parts)
