"""Every check of a training that needs no training: what `--dry-run` shows."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from bussynth import atomic
from bussynth.cohort import Cohort
from bussynth.cohort.split import check_assignment
from bussynth.config import RunOptions
from bussynth.errors import DataError, IntegrityError, UsageError
from bussynth.generator.base import Base, open_base
from bussynth.generator.checkpoint import TRAINING_FILE
from bussynth.generator.config import AdaptConfig, FitConfig, TrainConfig
from bussynth.generator.dataset import MEMORY_LIMIT, training_view
from bussynth.generator.device import resolve_device
from bussynth.generator.distributed import World
from bussynth.generator.network import Architecture, ConditionalUNet
from bussynth.generator.presets import PRESETS, Preset
from bussynth.generator.storage import ADAPTER_FILE, MODEL_FILE, read_record

__all__ = ["TrainPlan", "check_adapt", "check_train", "recorded"]

_MARKERS = (MODEL_FILE, ADAPTER_FILE, TRAINING_FILE)
# How often progress is saved changes no weight.
_FREE_KEYS = ("checkpoint_minutes", "checkpoint_steps")
# A base is known by its digest; its path is nobody's business.
_UNRECORDED = ("base",)


@dataclass(frozen=True, kw_only=True)
class TrainPlan:
    """What a training would do.

    Attributes:
        config: The configuration with the preset's values filled in.
        architecture: The network.
        base: What to start from, or None.
        identity: What makes two runs the same run: configuration, cohort, images, architecture,
            base.
        parameters: Number of weights of the network.
        images: Number of training images.
        memory_mib: Estimated memory in MiB, without the libraries themselves.
        device: Where it would run.
        state: "new", "resume" (an unfinished run of the same command) or "finished".
    """

    config: FitConfig
    architecture: Architecture
    base: Base | None
    identity: dict[str, Any]
    parameters: int
    images: int
    memory_mib: int
    device: str
    state: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "config": recorded(self.config),
            "architecture": self.architecture.to_dict(),
            "base": None if self.base is None else self.base.record(),
            "identity": self.identity,
            "parameters": self.parameters,
            "images": self.images,
            "memory_mib": self.memory_mib,
            "device": self.device,
            "state": self.state,
        }


def recorded(config: FitConfig) -> dict[str, Any]:
    """Configuration as a record holds it: without the path of the base."""
    return {k: v for k, v in config.to_dict().items() if k not in _UNRECORDED}


def _preset(
    name: str, image_size: tuple[int, int], factor: int | None = None
) -> tuple[str, Preset]:
    height, width = image_size

    def fits(preset: Preset) -> bool:
        divisor = preset.divisor(factor)
        return height % divisor == 0 and width % divisor == 0

    if name != "auto":
        preset = PRESETS[name]
        if not fits(preset):
            fitting = [n for n, p in PRESETS.items() if fits(p)]
            others = f" or train preset {', '.join(fitting)}" if fitting else ""
            raise UsageError(
                f"preset={name!r} needs height and width divisible by {preset.divisor(factor)}, "
                f"but images are {width}x{height}; ingest at {preset.image_size} pixels{others}."
            )
        return name, preset
    for found, preset in PRESETS.items():
        if image_size == (preset.image_size, preset.image_size) and fits(preset):
            return found, preset
    sizes = ", ".join(f"{n} ({p.image_size})" for n, p in PRESETS.items())
    raise UsageError(
        f"No preset was made for images of {width}x{height}; name one with --preset or ingest at "
        f"the size of one: {sizes}."
    )


_Fit = TypeVar("_Fit", bound=FitConfig)


def _resolve(config: _Fit, preset: Preset, steps: int) -> _Fit:
    """Fill in the preset's values; a limit in minutes alone means no limit in steps."""
    resolved = replace(
        config,
        steps=steps if config.steps is None and config.minutes is None else config.steps,
        batch_size=config.batch_size or preset.batch_size,
        learning_rate=config.learning_rate or preset.learning_rate,
        ema_decay=preset.ema_decay if config.ema_decay is None else config.ema_decay,
    )
    share = World.current().size * resolved.accumulate
    if (resolved.batch_size or 1) % share:
        raise UsageError(
            f"batch_size={resolved.batch_size} cannot be cut into {share} equal parts "
            f"({World.current().size} processes, accumulate={resolved.accumulate})."
        )
    return resolved


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
        UsageError: Cohort, size, device, base, or an earlier training with another configuration.
        DataError: There are no training images.
        IntegrityError: The cohort was changed after it was written or split, or the base damaged.
    """
    name, preset = _preset(config.preset, cohort.image_size, config.factor)
    resolved = replace(_resolve(config, preset, preset.steps), preset=name)
    base = None if config.base is None else open_base(config.base)
    if base is None:
        architecture = Architecture.of(
            preset,
            cohort.image_size,
            cohort.vocabulary,
            factor=config.factor,
            prediction=config.prediction,
            augmented=config.augment > 0,
        )
    else:
        architecture = base.architecture(cohort.image_size, cohort.vocabulary)
        resolved = replace(resolved, factor=architecture.factor, prediction=architecture.prediction)
        _check_augment(config, architecture)
    return _plan(cohort, Path(out), resolved, architecture, base, preset, options, force)


def check_adapt(
    cohort: Cohort,
    out: Path | str,
    config: AdaptConfig,
    *,
    options: RunOptions | None = None,
    force: bool = False,
) -> TrainPlan:
    """Check an adaptation without starting it; arguments and errors as of :func:`check_train`."""
    base = open_base(config.base)
    architecture = base.architecture(cohort.image_size, cohort.vocabulary)
    _check_augment(config, architecture)
    preset = PRESETS.get(base.model.training.get("config", {}).get("preset"), PRESETS["small-64"])
    resolved = replace(
        _resolve(config, preset, preset.adapt_steps),
        alpha=float(config.rank if config.alpha is None else config.alpha),
    )
    return _plan(cohort, Path(out), resolved, architecture, base, preset, options, force)


def _check_augment(config: FitConfig, architecture: Architecture) -> None:
    if config.augment > 0 and not architecture.augmented:
        raise UsageError(
            "The base was trained without label-free augmentation and cannot be told how images "
            "were altered; leave augment at 0."
        )


def _plan(
    cohort: Cohort,
    out: Path,
    config: FitConfig,
    architecture: Architecture,
    base: Base | None,
    preset: Preset,
    options: RunOptions | None,
    force: bool,
) -> TrainPlan:
    device = resolve_device((options or RunOptions()).device)
    images = len(training_view(cohort))
    if images == 0:
        raise DataError(f"{cohort.path} has no images in its train split.")
    cohort.verify()
    check_assignment(cohort)
    with torch.device("meta"):
        parameters = sum(p.numel() for p in ConditionalUNet(architecture).parameters())
    identity = _identity(config, cohort, images, architecture, base)
    state = "new" if force else _state(out, identity)
    if state == "new":
        atomic.check_output(out, force=force, markers=_MARKERS)
    return TrainPlan(
        config=config,
        architecture=architecture,
        base=base,
        identity=identity,
        parameters=parameters,
        images=images,
        memory_mib=_memory(preset, architecture, parameters, config.batch_size or 1, images),
        device=str(device),
        state=state,
    )


def _identity(
    config: FitConfig, cohort: Cohort, images: int, architecture: Architecture, base: Base | None
) -> dict[str, Any]:
    science = {k: v for k, v in recorded(config).items() if k not in _FREE_KEYS}
    as_read_back: dict[str, Any] = json.loads(json.dumps(science))
    return as_read_back | {
        "base": None if base is None else base.model.digest,
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
    if (out / MODEL_FILE).is_file() or (out / ADAPTER_FILE).is_file():
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
