"""The pre-flight check of a private training, on the network that it would train.

The network is designed and built as ``train`` and ``adapt`` do, and the loss is theirs; only the
patients are made up, so that no cohort and no budget is needed and nothing that is shown tells of
anybody. The checks themselves are those of :mod:`privacy.dp` and work on any network.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import nn

from bussynth.builtin import model_folder
from bussynth.doctor.config import DoctorConfig
from bussynth.doctor.finding import Finding
from bussynth.doctor.made_up import losses_of, made_up_patients
from bussynth.errors import BussynthError
from bussynth.generator.base import Base
from bussynth.generator.config import AdaptConfig, TrainConfig
from bussynth.generator.design import Design, design_adapter, design_model
from bussynth.generator.device import resolve_device
from bussynth.generator.distributed import World
from bussynth.generator.folder import build
from bussynth.generator.lora import targets_words
from bussynth.generator.presets import PRESETS
from bussynth.generator.private_plan import check_public_base
from bussynth.generator.storage import read_record
from bussynth.generator.training import freeze_unused
from bussynth.progress import SILENT, Progress
from privacy.dp import preflight, self_test
from privacy.dp.check import Check, timed
from privacy.dp.gradient_check import check_gradients, extreme_patients, gradient_of

__all__ = ["check_denoiser", "look_at_private_training"]

_BASE: Final = "builtin:phantom-64"
_PATIENTS: Final = 3
_CHECKS: Final = 11
# Public, and without influence on the network.
_BUDGET: Final[dict[str, Any]] = {"dp_epsilon": 1.0, "dp_patients": 1000}
# A training from scratch is told its conditions; where it is not told, these stand in for them.
_VALUES: Final = {"pathology": ("normal", "benign", "malignant"), "device": ("a", "b")}
_NETWORK: Final = 2
_BUG: Final = 1


def look_at_private_training(
    config: DoctorConfig, device: str = "auto", progress: Progress = SILENT
) -> list[Finding]:
    """Check the network that ``train`` or ``adapt`` would train with ``--dp-epsilon``.

    Args:
        config: Which network.
        device: Where it would be trained.
        progress: Gets a check after the other.

    Returns:
        A finding for each check, with the time it took in seconds; the rest of them also after a
        problem, as far as they can be made.

    Raises:
        UsageError: The device is not there.
    """
    place, found = resolve_device(device), []
    with progress.task("Checking", total=_CHECKS, unit="checks") as task:
        for one in _findings(config, place):
            found.append(one)
            task.advance(1)
    return found


def _findings(config: DoctorConfig, device: torch.device) -> Iterator[Finding]:
    try:
        design = _design(config, device)
        denoiser = build(design).to(device).train()
    except BussynthError as error:
        yield Finding(
            name="network",
            state="problem",
            text=error.message,
            details=error.problems,
            code=error.exit_code,
        )
        return
    freeze_unused(denoiser, design.config)
    yield _network(design)
    yield _lineage(design.base, declared=config.dp_public_base)
    yield from check_denoiser(denoiser, design, device)


def _design(config: DoctorConfig, device: torch.device) -> Design:
    """The network of the training that is asked about."""
    shared: dict[str, Any] = {
        "images_per_patient": config.images_per_patient,
        "noise_multiplicity": config.noise_multiplicity,
        "clip_norm": config.clip_norm,
        "augment": config.augment,
        "dp_values": config.dp_values,
        "dp_public_base": config.dp_public_base,
        **_BUDGET,
    }
    world = World.current(device)
    if config.preset is None:
        base = config.base or _BASE
        adapt = AdaptConfig(base=base, rank=config.rank, targets=config.targets, **shared)
        return design_adapter(adapt, _image_size(base), {}, world)
    if config.base is not None:
        size = _image_size(config.base)
    else:
        side = PRESETS.get(config.preset, PRESETS["small-64"]).image_size
        size = side, side
        shared["dp_values"] = config.dp_values or _VALUES
    train = TrainConfig(preset=config.preset, base=config.base, **shared)
    return design_model(train, size, {}, world)


def _image_size(base: str) -> tuple[int, int]:
    height, width = read_record(model_folder(base))["architecture"]["image_size"]
    return height, width


def _network(design: Design) -> Finding:
    config, (height, width) = design.config, design.architecture.image_size
    what = f"the whole network, {design.trained:,} weights"
    if isinstance(config, AdaptConfig):
        what = (
            f"an adapter ({targets_words(config.targets, config.rank)}), {design.trained:,} "
            f"numbers on a network of {design.parameters:,} weights"
        )
    return Finding(
        name="network",
        state="ok",
        text=f"{what}, {width}x{height} pixels",
        data={
            "trained": design.trained,
            "parameters": design.parameters,
            "rank": getattr(config, "rank", None),
            "targets": getattr(config, "targets", None),
            "preset": getattr(config, "preset", None),
            "architecture": design.architecture.to_dict(),
            "vocabulary": {column: list(words) for column, words in design.vocabulary.items()},
            "base": None if design.base is None else design.base.record(),
        },
    )


def _lineage(base: Base | None, *, declared: bool) -> Finding:
    """Whether what is frozen or started from is public."""
    if base is None:
        return Finding(name="base", state="ok", text="none, training starts from random weights")
    try:
        check_public_base(base, None, declared=declared)
    except BussynthError as error:
        return Finding(name="base", state="problem", text=error.message, code=error.exit_code)
    known = "declared" if declared else "it leads back to phantoms alone"
    return Finding(name="base", state="ok", text=f"public: {base.name or known}")


def check_denoiser(denoiser: nn.Module, design: Design, device: torch.device) -> Iterator[Finding]:
    """Every check of a network that is ready to be trained.

    Args:
        denoiser: In training mode, on the device.
        design: What decides its losses.
        device: Where it is to be trained.

    Yields:
        A finding for each check.
    """
    losses = losses_of(device, design.architecture.prediction)
    patients = made_up_patients(design, _PATIENTS)
    trained = [parameter for parameter in denoiser.parameters() if parameter.requires_grad]
    clip_norm = design.config.clip_norm or 1.0

    def clipping() -> Check:
        tried = {"ordinary": patients[0], **extreme_patients(patients[0])}
        gradients = {
            f"a patient who is {name}": gradient_of(denoiser, losses, rows)
            for name, rows in tried.items()
        }
        return self_test.check_clipping(trained, clip_norm, gradients)

    yield _finding(timed("layers", lambda: preflight.check_layers(denoiser)), _NETWORK)
    if trained:
        threads = torch.get_num_threads() if device.type == "cpu" else 1
        for check in check_gradients(denoiser, losses, patients, threads=threads):
            yield _finding(check, _NETWORK)
        yield _finding(timed("clipping", clipping), _BUG)
        noise = timed("noise", lambda: self_test.check_noise(trained, clip_norm))
        yield _finding(noise, _BUG)
    yield _finding(timed("accounting", self_test.check_accounting), _BUG)
    yield _finding(timed("random source", self_test.check_randomness), _BUG)


def _finding(check: Check, code: int) -> Finding:
    return Finding(
        name=check.name,
        state=check.state,
        text=check.text,
        details=(*check.problems, *check.warnings),
        data=dict(check.measured),
        seconds=check.seconds,
        code=code,
    )
