"""Patients who do not exist, as a step of a private training would see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from bussynth.generator.batches import Batch, compose
from bussynth.generator.conditions import ConditionBatch, ConditionEncoder
from bussynth.generator.dataset import TrainingSet
from bussynth.generator.design import Design
from bussynth.generator.diffusion import edm_loss
from bussynth.generator.transform import Haar
from privacy.dp.gradient_check import RowLosses, Rows

__all__ = ["losses_of", "made_up_patients"]

_SEED: Final = 0


def made_up_patients(design: Design, count: int) -> list[Rows]:
    """Rows of some patients: grey noise, and conditions that the network knows.

    Args:
        design: Decides sizes, conditions, and how many rows a patient has.
        count: How many patients.

    Returns:
        For each patient maps (n, c, h, w), noise like them, noise levels (n,), codes of the
        conditions, states and edges of the lesion boxes, and, where images are altered, how.
    """
    config, size = design.config, design.architecture.image_size
    images, draws = config.images_per_patient, config.noise_multiplicity
    stated = [_conditions(design.vocabulary, size, number) for number in range(count * images)]
    data = TrainingSet(
        images=np.random.default_rng(_SEED).integers(
            0, 256, size=(len(stated), *size), dtype=np.uint8
        ),
        encoded=ConditionEncoder(design.vocabulary, size).encode(stated),
        conditions=list(stated),
        patients=[str(number // images) for number in range(len(stated))],
    )
    stream = torch.Generator().manual_seed(_SEED)

    def patient(number: int) -> Rows:
        rows = torch.arange(number * images, (number + 1) * images).repeat_interleave(draws)
        batch = compose(
            data,
            rows,
            Haar(design.architecture.factor),
            config,
            lambda wanted: torch.rand(len(rows), wanted, generator=stream),
            lambda *shape: torch.randn(len(rows), *shape, generator=stream),
        )
        return _rows(batch)

    return [patient(number) for number in range(count)]


def _conditions(
    vocabulary: Mapping[str, Sequence[str]], size: tuple[int, int], number: int
) -> Mapping[str, Any]:
    """Every value in turn; a lesion box where there is a lesion."""
    height, width = size
    words: dict[str, Any] = {
        column: values[number % len(values)] for column, values in vocabulary.items()
    }
    box = (width / 4, height / 4, width / 2, height / 2)
    return words | {"lesion_box": None if words.get("pathology") == "normal" else box}


def _rows(batch: Batch) -> Rows:
    told = batch.conditions
    altered = () if told.augment is None else (told.augment,)
    return batch.clean, batch.noise, batch.sigma, told.codes, told.box_state, told.boxes, *altered


def losses_of(device: torch.device, prediction: str) -> RowLosses:
    """The loss of a training, of rows as :func:`made_up_patients` gives them.

    Args:
        device: Where the network is.
        prediction: What it predicts, see :mod:`bussynth.generator.diffusion`.
    """

    def losses(denoiser: nn.Module, rows: Rows) -> Tensor:
        clean, noise, sigma, codes, state, boxes, *altered = rows
        return edm_loss(
            denoiser,
            clean.to(device, memory_format=torch.channels_last),
            noise.to(device, memory_format=torch.channels_last),
            sigma.to(device),
            ConditionBatch(codes, state, boxes, *altered).to(device),
            prediction,
        )

    return losses
