"""Every check of a training that needs no training: what `--dry-run` shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from bussynth.builtin import model_folder
from bussynth.cohort import Cohort
from bussynth.cohort.split import check_assignment
from bussynth.config import RunOptions
from bussynth.errors import DataError, IntegrityError, UsageError
from bussynth.generator.base import Base, open_base
from bussynth.generator.checkpoint import CHECKPOINT_FILE, TRAINING_FILE, read_training
from bussynth.generator.config import TARGETS, AdaptConfig, FitConfig, TrainConfig
from bussynth.generator.dataset import MEMORY_LIMIT, training_view
from bussynth.generator.device import resolve_device
from bussynth.generator.distributed import World
from bussynth.generator.lora import WHOLE_TARGETS, adapter_shapes, reached
from bussynth.generator.network import Architecture, ConditionalUNet
from bussynth.generator.place import check_apart, check_place
from bussynth.generator.presets import PRESETS, Preset
from bussynth.generator.private_config import PrivateConfig
from bussynth.generator.private_plan import (
    PrivatePlan,
    check_public_base,
    cohort_commitment,
    plan_private,
    public_vocabulary,
)
from bussynth.generator.storage import ADAPTER_FILE, MODEL_FILE, read_record

__all__ = ["TrainPlan", "check_adapt", "check_train", "recorded"]

# How often progress is saved changes no weight.
_FREE_KEYS = ("checkpoint_minutes", "checkpoint_steps")
# A base is known by its digest; its path is nobody's business.
_UNRECORDED = ("base",)
# Bytes a tensor of safetensors costs beside its numbers: name, shape and place.
_HEADER = 140
_PRIVATE_STEPS = 200
_PRIVATE_TARGETS = ("attention", "conditions")


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
        file_bytes: Estimated size of the file of weights.
        device: Where it would run.
        state: "new", "resume" (an unfinished run of the same command) or "finished".
        vocabulary: Values of each condition, those of the cohort unless the training is private.
        private: What a private training releases and costs, or None.
        force: Whether what lies in the place may be replaced.
        finish: Whether an unfinished run ends with the weights it has.
    """

    config: FitConfig
    architecture: Architecture
    vocabulary: Mapping[str, Sequence[str]]
    base: Base | None
    identity: dict[str, Any]
    parameters: int
    images: int
    memory_mib: int
    file_bytes: int
    device: str
    state: str
    private: PrivatePlan | None = None
    force: bool = False
    finish: bool = False

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
            "file_bytes": self.file_bytes,
            "device": self.device,
            "state": self.state,
            "private": None if self.private is None else self.private.to_dict(),
            "finish": self.finish,
        }


def recorded(config: FitConfig) -> dict[str, Any]:
    """Configuration as a record holds it: without the path of the base."""
    left = {*_UNRECORDED, *(() if config.private else PrivateConfig.names())}
    return {k: v for k, v in config.to_dict().items() if k not in left}


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


def _resolve(config: _Fit, preset: Preset, steps: int, world: World) -> _Fit:
    """Fill in the preset's values; a limit in minutes alone means no limit in steps."""
    based = getattr(config, "base", None) is not None
    if config.private:
        steps = _PRIVATE_STEPS
        _check_private(config, world)
    resolved = replace(
        config,
        steps=steps if config.steps is None and config.minutes is None else config.steps,
        batch_size=config.batch_size or preset.batch_size,
        learning_rate=config.learning_rate or preset.learning_rate,
        ema_decay=preset.ema_decay if config.ema_decay is None else config.ema_decay,
        embedding_rate=(
            (10.0 if based else 1.0) if config.embedding_rate is None else config.embedding_rate
        ),
    )
    share = world.size * resolved.accumulate
    if (resolved.batch_size or 1) % share:
        raise UsageError(
            f"batch_size={resolved.batch_size} cannot be cut into {share} equal parts "
            f"({world.size} processes, accumulate={resolved.accumulate})."
        )
    return resolved


def _check_private(config: FitConfig, world: World) -> None:
    """Refuse settings that have no meaning in a private training."""
    problems = []
    if config.minutes is not None:
        problems.append("minutes: how many steps fit into them depends on the patients; give steps")
    if config.batch_size is not None:
        problems.append("batch_size: patients are drawn, not images; give dp_batch")
    if config.accumulate != 1:
        problems.append("accumulate: a step is always computed in parts")
    if world.size > 1:
        problems.append("several processes: a private training runs in one")
    if problems:
        raise UsageError("These settings do not go with dp_epsilon.", problems)


def check_train(
    cohort: Cohort,
    out: Path | str,
    config: TrainConfig,
    *,
    options: RunOptions | None = None,
    force: bool = False,
    finish: bool = False,
) -> TrainPlan:
    """Check a training without starting it.

    Args:
        cohort: Cohort, split by patient unless synthetic.
        out: The model folder to make or to go on with.
        config: What to train.
        options: Where to run.
        force: Replace an earlier model or training.
        finish: End an unfinished training with the weights it has.

    Returns:
        The plan.

    Raises:
        UsageError: Cohort, size, device, base, place, or an earlier training with another
            configuration; or there is none to finish.
        DataError: There are no training images.
        IntegrityError: The cohort was changed after it was written or split, or the base damaged.
    """
    device = resolve_device((options or RunOptions()).device)
    name, preset = _preset(config.preset, cohort.image_size, config.factor)
    resolved = replace(_resolve(config, preset, preset.steps, World.current(device)), preset=name)
    base = None if config.base is None else open_base(config.base)
    vocabulary = _vocabulary(cohort, config, base)
    if base is None:
        architecture = Architecture.of(
            preset,
            cohort.image_size,
            vocabulary,
            factor=config.factor,
            prediction=config.prediction or "edm",
            augmented=config.augment > 0,
        )
    else:
        architecture = base.architecture(cohort.image_size, vocabulary)
        _check_flags(config, architecture)
        resolved = replace(resolved, factor=architecture.factor)
        _check_augment(config, architecture)
    resolved = replace(resolved, prediction=architecture.prediction)
    network = _network(architecture)
    return _plan(
        cohort,
        Path(out),
        resolved,
        network,
        vocabulary,
        base,
        device,
        sum(p.numel() for p in network.parameters()),
        [p.numel() * (2 if config.store == "float16" else 4) for p in network.parameters()],
        force=force,
        finish=finish,
    )


def check_adapt(
    cohort: Cohort,
    out: Path | str,
    config: AdaptConfig,
    *,
    options: RunOptions | None = None,
    force: bool = False,
    finish: bool = False,
) -> TrainPlan:
    """Check an adaptation without starting it; arguments and errors as of :func:`check_train`."""
    device = resolve_device((options or RunOptions()).device)
    base = open_base(config.base)
    vocabulary = _vocabulary(cohort, config, base)
    architecture = base.architecture(cohort.image_size, vocabulary)
    _check_augment(config, architecture)
    preset = PRESETS.get(base.model.training.get("config", {}).get("preset"), PRESETS["small-64"])
    network = _network(architecture)
    targets = _targets(config, network)
    resolved = replace(
        _resolve(config, preset, preset.adapt_steps, World.current(device)),
        alpha=config.scale,
        targets=targets,
    )
    sizes = adapter_shapes(network, config.rank, targets)
    return _plan(
        cohort,
        Path(out),
        resolved,
        network,
        vocabulary,
        base,
        device,
        sum(sizes),
        [2 * count for count in sizes],
        force=force,
        finish=finish,
    )


def _network(architecture: Architecture) -> ConditionalUNet:
    """The network without memory for its weights."""
    with torch.device("meta"):
        return ConditionalUNet(architecture)


def _check_flags(config: TrainConfig, architecture: Architecture) -> None:
    """Refuse what would be another network than the base's."""
    preset, kept = PRESETS.get(config.preset), architecture
    problems = []
    if preset and (preset.channels, preset.layers, preset.attention) != (
        kept.channels,
        kept.layers,
        kept.attention,
    ):
        problems.append(f"preset={config.preset!r} is another network")
    if config.factor not in (None, kept.factor):
        problems.append(f"factor={config.factor!r}, the base has {kept.factor!r}")
    if config.prediction not in (None, kept.prediction):
        problems.append(f"prediction={config.prediction!r}, the base has {kept.prediction!r}")
    if problems:
        raise UsageError(
            "The network of a base is kept; leave these settings out, or train without a base.",
            problems,
        )


def _targets(config: AdaptConfig, network: ConditionalUNet) -> tuple[str, ...]:
    """Parts to adapt: those named, which the base must have, or the usual ones that it has."""
    there = tuple(one for one in TARGETS if one in WHOLE_TARGETS or reached(network.unet, one))
    if not config.targets:
        return tuple(one for one in there if not config.private or one in _PRIVATE_TARGETS)
    absent = [target for target in config.targets if target not in there]
    if absent:
        raise UsageError(
            f"targets: the network of the base has no {', '.join(absent)}; choose among "
            f"{', '.join(there)}."
        )
    return config.targets


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
    network: ConditionalUNet,
    vocabulary: Mapping[str, Sequence[str]],
    base: Base | None,
    device: torch.device,
    trained: int,
    stored: Sequence[int],
    *,
    force: bool,
    finish: bool,
) -> TrainPlan:
    """Check what trainings and adapters have in common.

    ``trained`` is the number of trained parameters, ``stored`` the bytes of each tensor.
    """
    if force and finish:
        raise UsageError("finish keeps an unfinished training, force gives it up; choose one.")
    images = len(training_view(cohort))
    if images == 0:
        raise DataError(f"{cohort.path} has no images in its train split.")
    cohort.verify()
    check_assignment(cohort)
    architecture = network.architecture
    named = getattr(config, "base", None)
    if named is not None:
        check_apart(out, model_folder(named))
    parameters = sum(p.numel() for p in network.parameters())
    private = _private(cohort, config, base, trained)
    identity = _identity(config, cohort, images, architecture, base)
    state = "new" if force else _state(out, identity)
    if state == "new":
        check_place(out, force=force)
    if finish and not (state == "resume" and (out / CHECKPOINT_FILE).is_file()):
        found = {
            "new": "holds no training",
            "resume": "holds a training that has not come to its first checkpoint",
            "finished": "is finished already",
        }
        raise UsageError(f"{out} {found[state]}; there is nothing to finish, leave --finish out.")
    return TrainPlan(
        config=config,
        architecture=architecture,
        vocabulary=vocabulary,
        base=base,
        identity=identity,
        parameters=parameters,
        images=images,
        memory_mib=_memory(architecture, parameters, config.batch_size or 1, images),
        file_bytes=sum(stored) + _HEADER * len(stored),
        device=str(device),
        state=state,
        private=private,
        force=force,
        finish=finish,
    )


def _vocabulary(
    cohort: Cohort, config: FitConfig, base: Base | None
) -> Mapping[str, Sequence[str]]:
    return public_vocabulary(config, base) if config.private else cohort.vocabulary


def _private(
    cohort: Cohort, config: FitConfig, base: Base | None, trained: int
) -> PrivatePlan | None:
    """Plan of a private training, or None."""
    if not config.private:
        return None
    if cohort.kind == "synthetic":
        raise UsageError("A synthetic cohort has no patients to protect; train without dp_epsilon.")
    if base is not None:
        check_public_base(base, cohort, declared=config.dp_public_base)
    return plan_private(config, trained)


def _identity(
    config: FitConfig, cohort: Cohort, images: int, architecture: Architecture, base: Base | None
) -> dict[str, Any]:
    science = {k: v for k, v in recorded(config).items() if k not in _FREE_KEYS}
    as_read_back: dict[str, Any] = json.loads(json.dumps(science))
    return as_read_back | {
        "base": None if base is None else base.model.digest,
        # A model that is private for every patient must not tell which patients it is of.
        "cohort": cohort_commitment(cohort) if config.private else cohort.digest,
        "images": None if config.private else images,
        "architecture": architecture.to_dict(),
    }


def _memory(architecture: Architecture, parameters: int, batch: int, images: int) -> int:
    """Rough estimate in MiB: five copies of the weights, images, and activations."""
    height, width = architecture.latent_size
    positions = sum(
        c * height * width * 0.25**level for level, c in enumerate(architecture.channels)
    )
    # About fourteen maps a residual layer are kept for the backward pass (measured on the CPU).
    activations = 4 * batch * positions * 14 * (2 * architecture.layers + 1)
    pixels = min(images * architecture.image_size[0] * architecture.image_size[1], MEMORY_LIMIT)
    return round((20 * parameters + activations + pixels) / 2**20)


def _state(out: Path, identity: dict[str, Any]) -> str:
    """Whether ``out`` is free, or a run of the same command."""
    if (out / MODEL_FILE).is_file() or (out / ADAPTER_FILE).is_file():
        found, state = read_record(out)["training"].get("identity"), "finished"
    elif (out / TRAINING_FILE).is_file():
        found, state = read_training(out), "resume"
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
