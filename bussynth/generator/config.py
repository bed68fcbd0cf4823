"""Configurations of training and generating: what may change a result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bussynth.config import Config, option

__all__ = ["PRESET_NAMES", "GenerateConfig", "TrainConfig"]

#: Names of :data:`bussynth.generator.presets.PRESETS`; "auto" takes the one of the image size.
PRESET_NAMES: Final = ("auto", "tiny-32", "small-64", "base-128", "busgen-160")


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """How a generator is trained. ``None`` takes the value of the preset."""

    preset: str = option("auto", "Size of the model.", choices=PRESET_NAMES)
    steps: int | None = option(None, "Training steps.", min=1)
    minutes: float | None = option(
        None, "Stop after this time of training, if earlier than steps.", min=0.01
    )
    batch_size: int | None = option(None, "Images a training step.", min=1, max=65536)
    learning_rate: float | None = option(None, "Peak learning rate of AdamW.", min=1e-7, max=1.0)
    schedule: str = option("cosine", "Learning rate after warm-up.", choices=("cosine", "constant"))
    warmup_steps: int = option(50, "Steps over which the learning rate rises.", min=0)
    weight_decay: float = option(0.01, "Weight decay of AdamW.", min=0.0, max=1.0)
    clip_norm: float = option(1.0, "Largest norm of the gradient.", min=1e-6)
    ema_decay: float | None = option(None, "Decay of the weight average.", min=0.0, max=0.999999)
    condition_dropout: float = option(
        0.1, "Share of rows in which one condition is hidden, by condition.", min=0.0, max=1.0
    )
    joint_dropout: float = option(
        0.1, "Share of rows in which all conditions are hidden, for guidance.", min=0.0, max=1.0
    )
    flip: bool = option(True, "Mirror half of the images left to right.")
    checkpoint_minutes: float = option(2.0, "Minutes between checkpoints.", min=0.0)
    checkpoint_steps: int | None = option(None, "Steps between checkpoints instead.", min=1)
    prior_min_patients: int = option(
        5, "Fewest patients for which a combination of conditions is kept apart.", min=1
    )
    seed: int = option(0, "Seed of initial weights, order and noise.", min=0, max=2**63 - 1)


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(Config):
    """What is generated from a model."""

    n: int = option(256, "Number of images.", min=1, max=100_000_000, flags=("-n", "--n"))
    seed: int = option(0, "Seed; image i depends on the seed and on i alone.", min=0, max=2**63 - 1)
    steps: int = option(20, "Sampling steps, each one or two network passes.", min=1, max=1000)
    guidance: float = option(
        1.0, "Guidance scale; 1 is none, larger follows the conditions more.", min=0.0, max=20.0
    )
    conditions: Mapping[str, Any] = option(
        {},
        'Conditions held fixed, e.g. {"pathology": "malignant"}; the rest are drawn.',
        flags=("--condition",),
    )
    chunk_size: int = option(256, "Images a resumable piece of work.", min=1, max=65536)
