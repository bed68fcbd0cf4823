"""From a plan to a finished model folder: train, fit the prior, write the record last."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import diffusers
import torch

from bussynth import atomic
from bussynth.cohort import Cohort
from bussynth.generator.checkpoint import CHECKPOINT_FILE, TRAINING_FILE
from bussynth.generator.conditions import ConditionEncoder
from bussynth.generator.dataset import TrainingSet, training_view
from bussynth.generator.plan import TrainPlan
from bussynth.generator.prior import ConditionPrior
from bussynth.generator.storage import MODEL_FILE, write_model
from bussynth.generator.training import TrainedWeights, fit
from bussynth.progress import Progress

__all__ = ["remove_leftovers", "train_model"]


def train_model(cohort: Cohort, out: Path, plan: TrainPlan, progress: Progress) -> None:
    """Carry out a plan up to and including ``model.json``.

    Args:
        cohort: Cohort, split by patient unless synthetic.
        out: Model folder to make.
        plan: What to train, see :func:`bussynth.generator.plan.check_train`.
        progress: Gets loss and images a second.
    """
    if plan.state == "new":
        if out.exists():
            # Checked before: empty, or an earlier output that --force gives up. The record goes
            # first, so that no half-removed folder passes for a model.
            (out / MODEL_FILE).unlink(missing_ok=True)
            shutil.rmtree(out)
        out.mkdir(parents=True)
        atomic.write_json(out / TRAINING_FILE, plan.identity)
    encoder = ConditionEncoder(cohort.vocabulary, cohort.image_size)
    data = TrainingSet.load(training_view(cohort), encoder, out, progress)
    trained = fit(data, plan.architecture, plan.config, out, torch.device(plan.device), progress)
    prior = ConditionPrior.fit(
        data.conditions,
        data.patients,
        cohort.vocabulary,
        cohort.image_size,
        plan.config.prior_min_patients,
    )
    write_model(
        out,
        architecture=plan.architecture,
        vocabulary=cohort.vocabulary,
        weights=trained.weights,
        prior=prior,
        training=_record(cohort, plan, data, trained),
    )


def _record(
    cohort: Cohort, plan: TrainPlan, data: TrainingSet, trained: TrainedWeights
) -> dict[str, Any]:
    return {
        "identity": plan.identity,
        "config": plan.config.to_dict(),
        "cohort": {"digest": cohort.digest, "kind": cohort.kind},
        "images": plan.images,
        "patients": len(set(data.patients)) if cohort.kind != "synthetic" else None,
        "parameters": plan.parameters,
        "steps": trained.position.step,
        "seconds": round(trained.position.seconds, 1),
        "loss": trained.loss,
        "device": torch.device(plan.device).type,
        "versions": {"torch": torch.__version__, "diffusers": diffusers.__version__},
    }


def remove_leftovers(out: Path) -> None:
    """Drop the state of a finished training: optimizer and raw weights are of no more use."""
    for path in [out / CHECKPOINT_FILE, out / TRAINING_FILE, *out.glob(".*.partial-*")]:
        with suppress(FileNotFoundError):
            path.unlink()
