"""From a plan to a finished model folder: train, fit the prior, write the record last."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import diffusers
import torch

from bussynth import atomic
from bussynth.cohort import Cohort
from bussynth.generator.base import carry_over
from bussynth.generator.batches import BatchMaker
from bussynth.generator.checkpoint import CHECKPOINT_FILE, TRAINING_FILE, write_training
from bussynth.generator.conditions import ConditionEncoder
from bussynth.generator.config import AdaptConfig, TrainConfig
from bussynth.generator.dataset import TrainingSet, training_view
from bussynth.generator.design import Design
from bussynth.generator.diffusion import Denoiser
from bussynth.generator.distributed import World
from bussynth.generator.lora import adapter_names, inject
from bussynth.generator.place import RECORDS
from bussynth.generator.plan import TrainPlan, recorded
from bussynth.generator.prior import ConditionPrior
from bussynth.generator.seeds import derive_seed
from bussynth.generator.storage import write_adapter, write_model
from bussynth.generator.training import TrainedWeights, build_denoiser, fit
from bussynth.generator.transform import Haar
from bussynth.progress import Progress

__all__ = [
    "build",
    "load_data",
    "remove_leftovers",
    "train_model",
    "training_record",
    "write_trained",
]


def train_model(cohort: Cohort, out: Path, plan: TrainPlan, progress: Progress) -> None:
    """Carry out a plan up to and including ``model.json``, or ``adapter.json``.

    Args:
        cohort: Cohort, split by patient unless synthetic.
        out: Folder to make.
        plan: What to train, see :mod:`bussynth.generator.plan`.
        progress: Gets loss and images a second.
    """
    device = torch.device(plan.device)
    world = World.current(device)
    world.wait()  # until every process has looked at the folder
    if world.first and plan.state == "new":
        # An earlier output, checked before, steps aside whole: killed at any time, the folder is
        # the old one or the new one.
        with atomic.new_directory(out, force=plan.force, markers=tuple(RECORDS)) as staging:
            write_training(staging, plan.identity)
    world.wait()
    data = load_data(cohort, out, plan, progress)
    denoiser = build(plan)
    batches = BatchMaker(data, Haar(plan.architecture.factor), plan.config, world)
    trained = fit(batches, denoiser, plan.config, out, device, progress, finish=plan.finish)
    if world.first:
        prior = ConditionPrior.fit(
            data.conditions,
            data.patients,
            plan.vocabulary,
            cohort.image_size,
            plan.config.prior_min_patients,
        )
        patients = len(set(data.patients)) if cohort.kind != "synthetic" else None
        record = training_record(plan, trained) | {
            "cohort": {"digest": cohort.digest, "kind": cohort.kind},
            "images": plan.images,
            "patients": patients,
        }
        write_trained(out, plan, prior, trained, record)
    world.wait()


def load_data(cohort: Cohort, out: Path, plan: TrainPlan, progress: Progress) -> TrainingSet:
    """Decode the training images of a cohort and encode their conditions."""
    encoder = ConditionEncoder(plan.vocabulary, cohort.image_size)
    return TrainingSet.load(training_view(cohort), encoder, out, progress)


def build(plan: Design | TrainPlan) -> Denoiser:
    """The network a plan starts from."""
    denoiser = build_denoiser(plan.architecture, plan.config.seed)
    if plan.base is not None:
        denoiser.load_state_dict(
            carry_over(plan.base.model, plan.architecture, plan.vocabulary), strict=True
        )
    if isinstance(plan.config, AdaptConfig):
        inject(
            denoiser,
            plan.config.rank,
            plan.config.scale,
            plan.config.targets,
            derive_seed("adapter", plan.config.seed),
        )
    return denoiser


def write_trained(
    out: Path,
    plan: TrainPlan,
    prior: ConditionPrior,
    trained: TrainedWeights,
    record: Mapping[str, Any],
) -> None:
    """Write what was trained, the record last."""
    content: dict[str, Any] = {
        "architecture": plan.architecture,
        "vocabulary": plan.vocabulary,
        "prior": prior,
        "training": record,
    }
    if isinstance(plan.config, AdaptConfig) and plan.base is not None:
        write_adapter(
            out,
            **content,
            weights=adapter_names(trained.weights),
            base={"digest": plan.base.model.digest, "name": plan.base.name},
            rank=plan.config.rank,
            alpha=plan.config.scale,
        )
    else:
        half = isinstance(plan.config, TrainConfig) and plan.config.store == "float16"
        write_model(out, **content, weights=trained.weights, half=half)


def training_record(plan: TrainPlan, trained: TrainedWeights) -> dict[str, Any]:
    """What is known of a training whatever it learned from."""
    return {
        "identity": plan.identity,
        "config": recorded(plan.config),
        "base": None if plan.base is None else plan.base.record(),
        "parameters": plan.parameters,
        "trained_parameters": sum(tensor.numel() for tensor in trained.weights.values()),
        "steps": trained.position.step,
        "finished_early": trained.early,
        "seconds": round(trained.position.seconds, 1),
        "loss": trained.loss,
        "device": torch.device(plan.device).type,
        "processes": World.current().size,
        "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__},
    }


def remove_leftovers(out: Path) -> None:
    """Drop the state of a finished training: optimizer and raw weights are of no more use.

    And what a kill left of an earlier output that was being replaced.
    """
    for path in [out / CHECKPOINT_FILE, out / TRAINING_FILE, *out.glob(".*.partial-*")]:
        with suppress(FileNotFoundError):
            path.unlink()
    place = out.resolve()
    for stale in place.parent.glob(f".{glob.escape(place.name)}.partial-*"):
        shutil.rmtree(stale, ignore_errors=True)
