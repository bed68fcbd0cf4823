"""Every check of a training that needs no training: what `--dry-run` shows."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bussynth import atomic
from bussynth.cohort import Cohort
from bussynth.cohort.split import check_assignment
from bussynth.config import RunOptions
from bussynth.errors import DataError, IntegrityError, UsageError
from bussynth.generator.checkpoint import TRAINING_FILE
from bussynth.generator.config import TrainConfig
from bussynth.generator.dataset import MEMORY_LIMIT, training_view
from bussynth.generator.device import resolve_device
from bussynth.generator.network import Architecture, ConditionalUNet
from bussynth.generator.presets import PRESETS, Preset
from bussynth.generator.storage import MODEL_FILE, read_record

__all__ = ["TrainPlan", "check_train"]

_MARKERS = (MODEL_FILE, TRAINING_FILE)
# How often progress is saved changes no weight.
_FREE_KEYS = ("checkpoint_minutes", "checkpoint_steps")


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """What a training would do.

    Attributes:
        config: The configuration with the preset's values filled in.
        architecture: The network.
        identity: What makes two runs the same run: configuration, cohort, images, architecture.
        parameters: Number of weights.
        images: Number of training images.
        memory_mib: Estimated memory in MiB, without the libraries themselves.
        device: Where it would run.
        state: "new", "resume" (an unfinished run of the same command) or "finished".
    """

    config: TrainConfig
    architecture: Architecture
    identity: dict[str, Any]
    parameters: int
    images: int
    memory_mib: int
    device: str
    state: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {
            "config": self.config.to_dict(),
            "architecture": self.architecture.to_dict(),
        }


def _preset(config: TrainConfig, image_size: tuple[int, int]) -> tuple[str, Preset]:
    height, width = image_size
    if config.preset != "auto":
        preset = PRESETS[config.preset]
        if height % preset.divisor or width % preset.divisor:
            fitting = [
                n for n, p in PRESETS.items() if not (height % p.divisor or width % p.divisor)
            ]
            others = f" or train preset {', '.join(fitting)}" if fitting else ""
            raise UsageError(
                f"preset={config.preset!r} needs height and width divisible by {preset.divisor}, "
                f"but images are {width}x{height}; ingest at {preset.image_size} pixels{others}."
            )
        return config.preset, preset
    for name, preset in PRESETS.items():
        if image_size == (preset.image_size, preset.image_size):
            return name, preset
    sizes = ", ".join(f"{n} ({p.image_size})" for n, p in PRESETS.items())
    raise UsageError(
        f"No preset was made for images of {width}x{height}; name one with --preset or ingest at "
        f"the size of one: {sizes}."
    )


def _resolve(config: TrainConfig, name: str, preset: Preset) -> TrainConfig:
    """Fill in the preset's values; a limit in minutes alone means no limit in steps."""
    steps = config.steps
    if steps is None and config.minutes is None:
        steps = preset.steps
    return replace(
        config,
        preset=name,
        steps=steps,
        batch_size=config.batch_size or preset.batch_size,
        learning_rate=config.learning_rate or preset.learning_rate,
        ema_decay=preset.ema_decay if config.ema_decay is None else config.ema_decay,
    )


def check_train(
    cohort: Cohort,
    out: Path | str,
    config: TrainConfig,
    *,
    options: RunOptions | None = None,
    force: bool = False,
) -> TrainPlan:
    """Check a training without starting it.

    Args:
        cohort: Cohort, split by patient unless synthetic.
        out: The model folder to make or to go on with.
        config: What to train.
        options: Where to run.
        force: Replace an earlier model or training.

    Returns:
        The plan.

    Raises:
        UsageError: Cohort, size, device, or an earlier training with another configuration.
        DataError: There are no training images.
        IntegrityError: The cohort was changed after it was written or split.
    """
    out = Path(out)
    device = resolve_device((options or RunOptions()).device)
    view = training_view(cohort)
    name, preset = _preset(config, cohort.image_size)
    resolved = _resolve(config, name, preset)
    images = len(view)
    if images == 0:
        raise DataError(f"{cohort.path} has no images in its train split.")
    cohort.verify()
    check_assignment(cohort)
    architecture = Architecture.of(preset, cohort.image_size, cohort.vocabulary)
    with torch.device("meta"):
        parameters = sum(p.numel() for p in ConditionalUNet(architecture).parameters())
    identity = _identity(resolved, cohort, images, architecture)
    state = "new" if force else _state(out, identity)
    if state == "new":
        atomic.check_output(out, force=force, markers=_MARKERS)
    return TrainPlan(
        config=resolved,
        architecture=architecture,
        identity=identity,
        parameters=parameters,
        images=images,
        memory_mib=_memory(preset, architecture, parameters, resolved.batch_size or 1, images),
        device=str(device),
        state=state,
    )


def _identity(
    config: TrainConfig, cohort: Cohort, images: int, architecture: Architecture
) -> dict[str, Any]:
    science = {k: v for k, v in config.to_dict().items() if k not in _FREE_KEYS}
    return science | {
        "cohort": cohort.digest,
        "images": images,
        "architecture": architecture.to_dict(),
    }


def _memory(
    preset: Preset, architecture: Architecture, parameters: int, batch: int, images: int
) -> int:
    """Rough estimate in MiB: five copies of the weights, images, and activations."""
    height, width = architecture.latent_size
    positions = sum(
        c * height * width * 0.25**level for level, c in enumerate(architecture.channels)
    )
    # About fourteen maps a residual layer are kept for the backward pass (measured on the CPU).
    activations = 4 * batch * positions * 14 * (2 * preset.layers + 1)
    pixels = min(images * architecture.image_size[0] * architecture.image_size[1], MEMORY_LIMIT)
    return round((20 * parameters + activations + pixels) / 2**20)


def _state(out: Path, identity: dict[str, Any]) -> str:
    """Whether ``out`` is free, or a run of the same command."""
    if (out / MODEL_FILE).is_file():
        found, state = read_record(out)["training"].get("identity"), "finished"
    elif (out / TRAINING_FILE).is_file():
        try:
            found, state = json.loads((out / TRAINING_FILE).read_text(encoding="utf-8")), "resume"
        except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
            raise IntegrityError(
                f"{out / TRAINING_FILE} cannot be read; start again with --force."
            ) from error
    else:
        return "new"
    if not isinstance(found, dict):
        raise IntegrityError(f"{out} does not say how it was trained; start again with --force.")
    problems = [
        f"{key}: {found.get(key)!r} there, {identity.get(key)!r} now"
        for key in sorted(set(found) | set(identity))
        if found.get(key) != identity.get(key)
    ]
    if problems:
        raise UsageError(
            f"{out} holds a training of another configuration or cohort; give that one again, "
            "choose another folder, or use --force to start over.",
            problems,
        )
    return state
