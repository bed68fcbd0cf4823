"""Every check of a training that needs no training: what `--dry-run` shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bussynth.builtin import model_folder
from bussynth.cohort import Cohort
from bussynth.cohort.split import check_assignment
from bussynth.config import RunOptions
from bussynth.errors import DataError, IntegrityError, UsageError
from bussynth.generator.base import Base
from bussynth.generator.checkpoint import CHECKPOINT_FILE, TRAINING_FILE, read_training
from bussynth.generator.config import AdaptConfig, FitConfig, TrainConfig
from bussynth.generator.dataset import MEMORY_LIMIT, training_view
from bussynth.generator.design import Design, design_adapter, design_model
from bussynth.generator.device import resolve_device
from bussynth.generator.distributed import World
from bussynth.generator.network import Architecture
from bussynth.generator.place import check_apart, check_place
from bussynth.generator.private_config import PrivateConfig
from bussynth.generator.private_plan import (
    PrivatePlan,
    check_public_base,
    check_room,
    cohort_commitment,
    plan_private,
)
from bussynth.generator.storage import ADAPTER_FILE, MODEL_FILE, read_record

__all__ = ["TrainPlan", "check_adapt", "check_train", "recorded"]

# How often progress is saved changes no weight.
_FREE_KEYS = ("checkpoint_minutes", "checkpoint_steps")
# A base is known by its digest; its path is nobody's business.
_UNRECORDED = ("base",)
# Bytes a tensor of safetensors costs beside its numbers: name, shape and place.
_HEADER = 140


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
    design = design_model(config, cohort.image_size, cohort.vocabulary, World.current(device))
    return _plan(cohort, Path(out), design, device, force=force, finish=finish)


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
    design = design_adapter(config, cohort.image_size, cohort.vocabulary, World.current(device))
    return _plan(cohort, Path(out), design, device, force=force, finish=finish)


def _plan(
    cohort: Cohort, out: Path, design: Design, device: torch.device, *, force: bool, finish: bool
) -> TrainPlan:
    """Check what trainings and adapters have in common."""
    if force and finish:
        raise UsageError("finish keeps an unfinished training, force gives it up; choose one.")
    images = len(training_view(cohort))
    if images == 0:
        raise DataError(f"{cohort.path} has no images in its train split.")
    cohort.verify()
    check_assignment(cohort)
    config, architecture, base = design.config, design.architecture, design.base
    named = getattr(config, "base", None)
    if named is not None:
        check_apart(out, model_folder(named))
    private = _private(cohort, config, base, design.trained)
    if private is not None and config.learning_rate is None:
        config = replace(config, learning_rate=private.adapt_rate)
    identity = _identity(config, cohort, images, architecture, base)
    state = "new" if force else _state(out, identity)
    if state == "new":
        check_place(out, force=force)
        if private is not None:
            check_room(cohort, config, private.mechanisms)
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
        vocabulary=design.vocabulary,
        base=base,
        identity=identity,
        parameters=design.parameters,
        images=images,
        memory_mib=_memory(architecture, design.parameters, config.batch_size or 1, images),
        file_bytes=sum(design.stored) + _HEADER * len(design.stored),
        device=str(device),
        state=state,
        private=private,
        force=force,
        finish=finish,
    )


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
