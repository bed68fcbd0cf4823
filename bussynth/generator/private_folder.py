"""From a plan to a finished private model folder; the counterpart of ``folder``.

What is written tells of the patients only what the ledger accounts for: weights, a prior from
noisy counts, and constants that were public before. No digest, count or loss of the cohort.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any, Final

import torch

from bussynth import atomic
from bussynth.cohort import Cohort
from bussynth.errors import UsageError
from bussynth.generator.checkpoint import write_training
from bussynth.generator.folder import build, load_data, training_record, write_trained
from bussynth.generator.place import RECORDS
from bussynth.generator.plan import TrainPlan
from bussynth.generator.private_plan import budget_ledger, cohort_commitment
from bussynth.generator.private_record import privacy_record
from bussynth.generator.private_training import fit_privately
from bussynth.generator.refusals import refusals
from bussynth.generator.transform import Haar
from bussynth.progress import Progress
from privacy.dp.preflight import check_network

__all__ = ["train_privately"]

_COVERED: Final = (
    "the weights of the model and its prior of conditions and lesion boxes",
    "every image that is generated from them",
)


@refusals()
def train_privately(cohort: Cohort, out: Path, plan: TrainPlan, progress: Progress) -> None:
    """Carry out a plan up to and including ``model.json``, or ``adapter.json``.

    Args:
        cohort: Cohort, split by patient.
        out: Folder to make.
        plan: What to train; its ``private`` is not None.
        progress: Gets the epsilon spent.

    Raises:
        UsageError: The network cannot be trained privately, or the ledger forbids it.
    """
    if plan.private is None:
        raise UsageError("The plan is not of a private training.")
    device, config = torch.device(plan.device), plan.config
    denoiser = build(plan)
    check_network(denoiser)
    ledger = budget_ledger(cohort, config)
    if plan.state == "new":
        identity = plan.identity | {"cohort": cohort_commitment(cohort)}
        with atomic.new_directory(out, force=plan.force, markers=tuple(RECORDS)) as staging:
            write_training(staging, identity, {"run": secrets.token_hex(16)})
    else:
        identity = plan.identity
    data = load_data(cohort, out, plan, progress)
    fit = fit_privately(
        data,
        denoiser,
        Haar(plan.architecture.factor),
        config,
        plan.private,
        ledger,
        out,
        device,
        plan.vocabulary,
        progress,
        finish=plan.finish,
    )
    record: dict[str, Any] = training_record(plan, fit.trained) | {
        "identity": identity,
        "cohort": {"digest": None, "kind": cohort.kind},
        "images": None,
        "patients": None,
        "seconds": None,  # a matter of how many were drawn
    }
    public = {} if plan.base is None else {"base": plan.base.model.digest}
    record["privacy"] = privacy_record(ledger, _COVERED, public)
    write_trained(out, plan, fit.prior, fit.trained, record)
