"""Which network a training trains, and what of it: everything a plan needs no cohort for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import torch

from bussynth.errors import UsageError
from bussynth.generator.base import Base, open_base
from bussynth.generator.config import TARGETS, AdaptConfig, FitConfig, TrainConfig
from bussynth.generator.distributed import World
from bussynth.generator.lora import WHOLE_TARGETS, adapter_shapes, reached
from bussynth.generator.network import Architecture, ConditionalUNet
from bussynth.generator.presets import PRESETS, Preset
from bussynth.generator.private_plan import public_vocabulary

__all__ = ["Design", "design_adapter", "design_model"]

_PRIVATE_STEPS: Final = 200
# Below the gradients of patients (docs/results.md), so that all say as much as noise allows; AdamW
# does not mind the scale.
_PRIVATE_CLIP_NORM: Final = 1e-3
# Few large steps: noise is what limits them (docs/results.md has the comparison).
_PRIVATE_ADAPT_STEPS: Final = 20
_USUAL_TARGETS: Final[tuple[str, ...]] = (
    "attention",
    "convolution",
    "projection",
    "conditions",
    "means",
)
_PRIVATE_TARGETS: Final[tuple[str, ...]] = ("means", "biases")


@dataclass(frozen=True, kw_only=True)
class Design:
    """The network of a training.

    Attributes:
        config: The configuration with the preset's values filled in.
        architecture: The network.
        vocabulary: Values of each condition.
        base: What to start from, or None.
        parameters: Number of weights of the network.
        trained: Number of those that are trained.
        stored: Bytes of each tensor of the file of weights.
    """

    config: FitConfig
    architecture: Architecture
    vocabulary: Mapping[str, Sequence[str]]
    base: Base | None
    parameters: int
    trained: int
    stored: tuple[int, ...]


def design_model(
    config: TrainConfig,
    image_size: tuple[int, int],
    vocabulary: Mapping[str, Sequence[str]],
    world: World,
) -> Design:
    """The network of ``train``.

    Args:
        config: What to train.
        image_size: Height and width of the images, pixels.
        vocabulary: Values of each condition; a private training does not look at them.
        world: The processes.

    Raises:
        UsageError: Size, settings or base do not go together.
        IntegrityError: The base is damaged.
    """
    name, preset = _preset(config.preset, image_size, config.factor)
    resolved = replace(_resolve(config, preset, preset.steps, world), preset=name)
    base = None if config.base is None else open_base(config.base)
    vocabulary = public_vocabulary(config, base) if config.private else vocabulary
    if base is None:
        architecture = Architecture.of(
            preset,
            image_size,
            vocabulary,
            factor=config.factor,
            prediction=config.prediction or "edm",
            augmented=config.augment > 0,
        )
    else:
        architecture = base.architecture(image_size, vocabulary)
        _check_flags(config, architecture)
        resolved = replace(resolved, factor=architecture.factor)
        _check_augment(config, architecture)
    sizes = [parameter.numel() for parameter in _network(architecture).parameters()]
    return Design(
        config=replace(resolved, prediction=architecture.prediction),
        architecture=architecture,
        vocabulary=vocabulary,
        base=base,
        parameters=sum(sizes),
        trained=sum(sizes),
        stored=tuple(size * (2 if config.store == "float16" else 4) for size in sizes),
    )


def design_adapter(
    config: AdaptConfig,
    image_size: tuple[int, int],
    vocabulary: Mapping[str, Sequence[str]],
    world: World,
) -> Design:
    """The network of ``adapt``; arguments and errors as of :func:`design_model`."""
    base = open_base(config.base)
    vocabulary = public_vocabulary(config, base) if config.private else vocabulary
    architecture = base.architecture(image_size, vocabulary)
    _check_augment(config, architecture)
    preset = PRESETS.get(base.model.training.get("config", {}).get("preset"), PRESETS["small-64"])
    network = _network(architecture)
    targets = _targets(config, network)
    resolved = _resolve(config, preset, preset.adapt_steps, world)
    sizes = adapter_shapes(network, config.rank, targets)
    return Design(
        config=replace(resolved, alpha=config.scale, targets=targets),
        architecture=architecture,
        vocabulary=vocabulary,
        base=base,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        trained=sum(sizes),
        stored=tuple(2 * count for count in sizes),
    )


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
    rate: float | None = preset.learning_rate
    embeddings, clip_norm = 10.0 if based else 1.0, 1.0
    if config.private:
        steps, embeddings, clip_norm = _PRIVATE_STEPS, 1.0, _PRIVATE_CLIP_NORM
        if isinstance(config, AdaptConfig):
            steps, rate = _PRIVATE_ADAPT_STEPS, None  # it depends on the noise
        _check_private(config, world)
    resolved = replace(
        config,
        steps=steps if config.steps is None and config.minutes is None else config.steps,
        batch_size=config.batch_size or preset.batch_size,
        learning_rate=config.learning_rate or rate,
        clip_norm=config.clip_norm or clip_norm,
        ema_decay=preset.ema_decay if config.ema_decay is None else config.ema_decay,
        embedding_rate=embeddings if config.embedding_rate is None else config.embedding_rate,
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
        usual = _PRIVATE_TARGETS if config.private else _USUAL_TARGETS
        if config.dp_values:  # the base may not have met them
            usual += ("conditions",)
        return tuple(one for one in there if one in usual)
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
