"""Configurations of training and generating: what may change a result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bussynth.config import Config, option, suggest
from bussynth.errors import UsageError
from bussynth.generator.private_config import PrivateConfig

__all__ = ["PRESET_NAMES", "TARGETS", "AdaptConfig", "FitConfig", "GenerateConfig", "TrainConfig"]

#: Names of :data:`bussynth.generator.presets.PRESETS`; "auto" takes the one of the image size.
PRESET_NAMES: Final = (
    "auto",
    "tiny-32",
    "small-64",
    "base-128",
    "busgen-160",
    "large-160",
    "large-256",
)


@dataclass(frozen=True, kw_only=True)
class FitConfig(PrivateConfig):
    """How weights are fitted. ``None`` takes the value of the preset."""

    steps: int | None = option(None, "Training steps.", min=1)
    minutes: float | None = option(
        None, "Stop after this time of training, if earlier than steps.", min=0.01
    )
    batch_size: int | None = option(None, "Images a training step.", min=1, max=65536)
    accumulate: int = option(1, "Parts a step is computed in, to save memory.", min=1, max=65536)
    learning_rate: float | None = option(None, "Peak learning rate of AdamW.", min=1e-7, max=1.0)
    # Values that a base has not met start as "not stated" and have far to go.
    embedding_rate: float | None = option(
        None,
        "Learning rate of the condition embeddings over that of the rest; 10 from a base, 1 from "
        "scratch and with dp_epsilon, if not given.",
        min=0.0,
        max=1000.0,
    )
    schedule: str = option("cosine", "Learning rate after warm-up.", choices=("cosine", "constant"))
    warmup_steps: int = option(
        50, "Steps over which the learning rate rises, a tenth of all at most.", min=0
    )
    weight_decay: float = option(0.01, "Weight decay of AdamW.", min=0.0, max=1.0)
    clip_norm: float | None = option(
        None,
        "Largest norm of the gradient, 1 if not given; with dp_epsilon, of that of each patient, "
        "0.001 if not given.",
        min=1e-6,
    )
    ema_decay: float | None = option(None, "Decay of the weight average.", min=0.0, max=0.999999)
    condition_dropout: float = option(
        0.1, "Share of rows in which one condition is hidden, by condition.", min=0.0, max=1.0
    )
    joint_dropout: float = option(
        0.1, "Share of rows in which all conditions are hidden, for guidance.", min=0.0, max=1.0
    )
    flip: bool = option(True, "Mirror half of the images left to right.")
    augment: float = option(
        0.0,
        "Chance of each label-free alteration of a training image (zoom, stretch, shift, gain).",
        min=0.0,
        max=1.0,
    )
    # Higher than the -1.2 of Karras et al. 2022: lesions take shape at levels of 1 to 5, and below
    # there is little to learn but speckle (docs/results.md has the ablation).
    noise_mean: float = option(
        -0.4, "Mean of the natural logarithm of the noise levels of training.", min=-5.0, max=5.0
    )
    noise_std: float = option(
        1.2, "Standard deviation of that logarithm: how far the levels spread.", min=0.01, max=5.0
    )
    checkpoint_minutes: float = option(2.0, "Minutes between checkpoints.", min=0.0)
    checkpoint_steps: int | None = option(None, "Steps between checkpoints instead.", min=1)
    # With fewer, what the prior holds of a group comes close to what one patient has.
    prior_min_patients: int = option(
        5, "Fewest patients for which a combination of conditions is kept apart.", min=5
    )
    seed: int = option(0, "Seed of initial weights, order and noise.", min=0, max=2**63 - 1)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(FitConfig):
    """How a generator is trained. ``None`` takes the value of the preset."""

    preset: str = option("auto", "Size of the model.", choices=PRESET_NAMES)
    factor: int | None = option(None, "Reduction of the Haar transform: 1 (none), 2 or 4.")
    prediction: str | None = option(
        None,
        "What the network predicts: edm, or that of the base; epsilon is for comparison.",
        choices=("edm", "epsilon"),
    )
    base: str | None = option(
        None, "Model whose weights to start from: a folder or builtin:NAME. Its network is kept."
    )
    store: str = option(
        "float32", "Precision of the stored weights.", choices=("float32", "float16")
    )


#: Parts of the network that an adapter may reach, see :mod:`bussynth.generator.lora`.
TARGETS: Final = (
    "attention",
    "convolution",
    "projection",
    "conditions",
    "means",
    "biases",
    "output",
)


@dataclass(frozen=True, kw_only=True)
class AdaptConfig(FitConfig):
    """How an adapter is fitted to a base. ``None`` takes the value of the base's preset."""

    base: str = option("builtin:phantom-64", "The base: a model folder or builtin:NAME.")
    rank: int = option(8, "Rank of the low-rank updates.", min=1, max=256)
    alpha: float | None = option(
        None, "Scale of the updates times the rank; rank if not given.", min=0.001, max=100_000.0
    )
    targets: tuple[str, ...] = option(
        (),
        "Parts of the network that are adapted: attention, convolution, projection, conditions, "
        "means, biases, output. The first five if not given; with dp_epsilon, where few parameters "
        "are better, means and biases, and conditions if dp_values declares some.",
    )

    @property
    def scale(self) -> float:
        """What ``alpha`` stands for."""
        return float(self.rank if self.alpha is None else self.alpha)

    def __post_init__(self) -> None:
        """Check the targets too."""
        super().__post_init__()
        object.__setattr__(self, "targets", tuple(self.targets))
        problems = [
            f"targets: no part {name!r}{suggest(name, TARGETS)}"
            for name in self.targets
            if name not in TARGETS
        ]
        if len(set(self.targets)) != len(self.targets):
            problems.append("targets: name each part once")
        if problems:
            raise UsageError(f"{type(self).__name__} is not valid.", problems)


@dataclass(frozen=True, kw_only=True)
class GenerateConfig(Config):
    """What is generated from a model."""

    n: int = option(256, "Number of images.", min=1, max=100_000_000, flags=("-n", "--n"))
    seed: int = option(0, "Seed; image i depends on the seed and on i alone.", min=0, max=2**63 - 1)
    steps: int = option(12, "Sampling steps, each one or two network passes.", min=1, max=1000)
    guidance: float = option(
        1.0, "Guidance scale; 1 is none, larger follows the conditions more.", min=0.0, max=20.0
    )
    conditions: Mapping[str, Any] = option(
        {},
        'Conditions held fixed, e.g. {"pathology": "malignant"}; the rest are drawn. A lesion box '
        "is x0,y0,x1,y1 in pixels, as in lesion_box=10,12,40,36.",
        flags=("--condition",),
    )
    guard: str = option(
        "none",
        "Keep images away from training images; voids a formal-dp claim.",
        choices=("none", "rejection", "cpsample", "both"),
    )
    guard_alpha: float = option(
        0.01, "Share of images like control images that rejection may reject.", min=1e-6, max=0.5
    )
    guard_attempts: int = option(10, "Draws of an image before it is left out.", min=1, max=1000)
    guard_steps: int | None = option(
        None,
        "Training steps of the classifier behind cpsample; from the number of images if not given.",
        min=1,
        max=1_000_000,
    )
    chunk_size: int = option(256, "Images a resumable piece of work.", min=1, max=65536)

    def __post_init__(self) -> None:
        """Read a lesion box that a flag gives as text too."""
        super().__post_init__()
        box = self.conditions.get("lesion_box")
        if isinstance(box, str):
            conditions = {**self.conditions, "lesion_box": _box(box)}
            object.__setattr__(self, "conditions", conditions)


def _box(text: str) -> list[float]:
    """Four numbers with commas between, with or without brackets."""
    inner = text.strip()
    if (inner[:1], inner[-1:]) in (("(", ")"), ("[", "]")):
        inner = inner[1:-1]
    try:
        x0, y0, x1, y1 = (float(part) for part in inner.split(","))
    except ValueError as error:
        raise UsageError(
            "lesion_box must be four numbers with commas between, x0,y0,x1,y1 in pixels, as in "
            "--condition lesion_box=10,12,40,36."
        ) from error
    return [x0, y0, x1, y1]
