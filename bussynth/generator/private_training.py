"""Training with differential privacy for every patient.

The counterpart of :func:`bussynth.generator.training.fit`: patients, not images, are drawn, and
what a patient adds to a step is bounded and hidden in noise (:mod:`privacy.dp.training`). Neither
losses nor counts are kept: they would be looks at the patients that nothing accounts for.

A run that is stopped goes on when the same command is given again. Steps that were charged after
the last checkpoint are lost: they have been paid for and are not taken twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from bussynth.errors import UsageError
from bussynth.generator.batches import compose
from bussynth.generator.checkpoint import (
    Position,
    Window,
    read_private,
    read_training,
    restore,
    store,
    write_training,
)
from bussynth.generator.config import FitConfig
from bussynth.generator.dataset import TrainingSet
from bussynth.generator.diffusion import Denoiser, edm_loss
from bussynth.generator.ema import WeightAverage
from bussynth.generator.prior import ConditionPrior
from bussynth.generator.private_plan import PrivatePlan
from bussynth.generator.private_prior import patient_vectors, prior_bins, private_prior
from bussynth.generator.training import (
    Schedule,
    TrainedWeights,
    freeze_unused,
    make_optimizer,
    set_rate,
)
from bussynth.generator.transform import Haar
from bussynth.progress import SILENT, Progress
from privacy.dp.errors import BudgetError
from privacy.dp.histogram import noisy_sum
from privacy.dp.ledger import Ledger
from privacy.dp.rounding import rounded_up
from privacy.dp.training import private_steps

__all__ = ["PrivateFit", "fit_privately", "patient_losses"]

_SECONDS_BETWEEN: Final = 5.0
_COUNTS: Final = "counts of conditions and lesion boxes"
_STEPS: Final = "training of the generator"


@dataclass(frozen=True)
class PrivateFit:
    """Outcome of :func:`fit_privately`.

    Attributes:
        trained: Averaged weights; the loss is None.
        prior: Of conditions and boxes, from noisy counts.
    """

    trained: TrainedWeights
    prior: ConditionPrior


def fit_privately(
    data: TrainingSet,
    denoiser: Denoiser,
    transform: Haar,
    config: FitConfig,
    plan: PrivatePlan,
    ledger: Ledger,
    folder: Path,
    device: torch.device,
    vocabulary: Mapping[str, Sequence[str]],
    progress: Progress = SILENT,
    *,
    finish: bool = False,
) -> PrivateFit:
    """Count, train, or go on with either, until the plan ends.

    Args:
        data: Images and conditions of the training patients.
        denoiser: What to train; parameters that require no gradient stay as they are.
        transform: To the maps of the network.
        config: Resolved configuration.
        plan: What it releases and costs.
        ledger: Of the cohort.
        folder: Where ``training.json`` and the checkpoint lie.
        device: Where to train.
        vocabulary: Public values of each condition.
        progress: Where to report; gets the epsilon of the plan, which its first step spends.
        finish: Take no more steps; what was planned is spent all the same.

    Raises:
        UsageError: The ledger has lost this training, or there is nothing to finish.
        DPInputError: The cap would be exceeded, the ledger cannot be used, or the network cannot
            be trained privately.
    """
    released = read_private(folder)
    counting, training = _register(ledger, plan, released["run"], begun="counts" in released)
    size = data.images.shape[1], data.images.shape[2]
    if "counts" not in released:
        vectors = patient_vectors(data.conditions, data.patients, vocabulary, size)
        _charge_counts(ledger, counting)
        noisy = noisy_sum(vectors, prior_bins(vocabulary), plan.counts.noise_multiplier)
        released["counts"] = [round(float(value), 4) for value in noisy]
        write_training(folder, read_training(folder), released)
    prior = private_prior(
        np.array(released["counts"]), plan.counts.noise_multiplier, vocabulary, size
    )
    trained = _train(
        data,
        denoiser,
        transform,
        config,
        plan,
        ledger,
        training,
        folder,
        device,
        progress,
        finish=finish,
    )
    return PrivateFit(trained, prior)


def _register(ledger: Ledger, plan: PrivatePlan, run: str, *, begun: bool) -> tuple[str, str]:
    """Reserve the whole plan, or find what an earlier start of this run has reserved."""
    found = {
        one.purpose: one.identity for one in ledger.registered() if one.public.get("run") == run
    }
    if found:
        return found[_COUNTS], found[_STEPS]
    if begun:
        raise UsageError(
            "The ledger does not know of this training, which has looked at the patients: it was "
            "cut, or is an older copy. Bring back the ledger that paid for it."
        )
    public = {"run": run, **asdict(plan.training)}
    counting, training = ledger.register_plan(
        [(_COUNTS, plan.counts, public), (_STEPS, plan.training.mechanism, public)]
    )
    return counting, training


def _charge_counts(ledger: Ledger, identity: str) -> None:
    try:
        ledger.charge(identity)
    except BudgetError as error:
        raise UsageError(
            "The training was killed between paying for its counts and keeping them. They are "
            "spent; start again with --force."
        ) from error


def _train(
    data: TrainingSet,
    denoiser: Denoiser,
    transform: Haar,
    config: FitConfig,
    plan: PrivatePlan,
    ledger: Ledger,
    identity: str,
    folder: Path,
    device: torch.device,
    progress: Progress,
    *,
    finish: bool,
) -> TrainedWeights:
    denoiser = denoiser.to(device).train()
    freeze_unused(denoiser, config)
    optimizer = make_optimizer(denoiser, config)
    average = WeightAverage(denoiser, config.ema_decay or 0.0)
    position, _ = restore(folder, denoiser, average, optimizer)
    begun = next(one for one in ledger.registered() if one.identity == identity)
    taken, total = begun.taken, plan.training.steps
    finish = finish or begun.closed or taken == total
    if finish and position.step == 0:
        raise UsageError(
            f"The training in {folder} has kept no step, so there is no average to make a model "
            "of; leave --finish out, or start again with --force. What it cost stays spent."
        )
    schedule, rate = Schedule.of(config), config.learning_rate or 0.0
    steps = private_steps(
        denoiser,
        patient_losses(data, denoiser, transform, config, plan, device),
        len(set(data.patients)),
        plan.training,
        ledger,
        identity,
        optimizer,
        threads=torch.get_num_threads() if device.type == "cpu" else 1,
    )
    with progress.task("Training privately", total=total, unit="steps", done=taken) as task:
        start, offset, saved = time.monotonic(), position.seconds, -_SECONDS_BETWEEN
        spent = f"{rounded_up(plan.epsilon):.3g}"
        while not finish and taken < total:
            set_rate(optimizer, rate * schedule.rate(replace(position, step=taken)))
            taken = next(steps)
            average.update(denoiser, taken)
            seconds = time.monotonic() - start
            position = Position(taken, offset + seconds)
            task.advance(1, epsilon=spent)
            if taken == total or seconds - saved >= _SECONDS_BETWEEN:
                store(folder, denoiser, average, optimizer, position, Window())
                saved = seconds
    steps.close()
    ledger.close(identity)
    return TrainedWeights(average.weights, position, None, early=taken < total)


def patient_losses(
    data: TrainingSet,
    denoiser: Denoiser,
    transform: Haar,
    config: FitConfig,
    plan: PrivatePlan,
    device: torch.device,
) -> Callable[[int, int], Tensor]:
    """Losses of the rows of a patient: some images, with several draws of noise for each.

    Args:
        data: Images and conditions of the training patients.
        denoiser: The network.
        transform: To its maps.
        config: Resolved configuration.
        plan: Says how many rows a patient has.
        device: Where to compute.

    Returns:
        The losses of a patient, by number in the order of ``data.patients``; see
        :data:`privacy.dp.training.Losses`.

    Every draw is fresh from the operating system. With draws that follow from a seed and a place
    in the data set, one patient less would change those of all the others.
    """
    owned: dict[str, list[int]] = {}
    for row, patient in enumerate(data.patients):
        owned.setdefault(patient, []).append(row)
    rows = [torch.tensor(own) for own in owned.values()]
    images, draws = plan.training.images_per_patient, plan.training.noise_multiplicity

    def losses(patient: int, step: int) -> Tensor:
        chance = torch.Generator().manual_seed(int.from_bytes(os.urandom(8)) >> 1)
        chosen = _choose(rows[patient], images, chance).repeat_interleave(draws)

        def uniform(count: int) -> Tensor:
            return torch.rand(len(chosen), count, generator=chance)

        def normal(*shape: int) -> Tensor:
            return torch.randn(len(chosen), *shape, generator=chance)

        batch = compose(data, chosen, transform, config, uniform, normal)
        return edm_loss(
            denoiser,
            batch.clean.to(device, memory_format=torch.channels_last),
            batch.noise.to(device, memory_format=torch.channels_last),
            batch.sigma.to(device),
            batch.conditions.to(device),
            denoiser.prediction,
        )

    return losses


def _choose(own: Tensor, count: int, chance: torch.Generator) -> Tensor:
    """Some images of a patient: different ones if there are enough."""
    if len(own) >= count:
        return own[torch.randperm(len(own), generator=chance)[:count]]
    return own[torch.randint(len(own), (count,), generator=chance)]
