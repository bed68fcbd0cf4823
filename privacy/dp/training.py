"""Training with differential privacy for every patient: DP-SGD on patients.

A step is charged in the ledger, patients are drawn by chance, each gives one clipped gradient, and
noise is added once. A step without any patient is a step like any other. What is released, all
weights after all steps, is covered by what the ledger holds.

The gradient of a patient is computed alone, from that patient's rows and the weights. So whatever
the network does, and however its kernels round, what one patient adds does not depend on who else
was drawn; per-example gradients of a common batch promise that for exact numbers only (Casacuberta
et al. 2022, arXiv:2207.10635, on what rounding can do).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import torch
from torch import Tensor, nn

from privacy.dp.clipping import PatientSum
from privacy.dp.errors import DPInputError
from privacy.dp.ledger import Ledger
from privacy.dp.patient_gradient import patient_gradient
from privacy.dp.plan import DPPlan
from privacy.dp.preflight import check_network
from privacy.dp.randomness import poisson_sample
from privacy.dp.threads import Threads

__all__ = ["Losses", "private_steps"]

#: Losses of the rows of a patient in a step, float (rows,), from the patient's number and that of
#: the step. They must be a matter of the patient alone: draws of noise may come from fresh
#: randomness, or from a stream that belongs to the patient; not from one that is shared with the
#: other patients or keyed by the place among them, which changes when one is missing.
Losses = Callable[[int, int], Tensor]


def private_steps(
    module: nn.Module,
    losses: Losses,
    population: int,
    plan: DPPlan,
    ledger: Ledger,
    identity: str,
    optimizer: torch.optim.Optimizer,
    *,
    threads: int = 1,
) -> Generator[int, None, None]:
    """Train; yields the number of each step after it was taken.

    Stop asking, and no more steps are taken. Given the same ledger and identity again, it goes on
    behind the last step charged.

    An error in the losses of a patient ends the training only after the step was released, without
    that patient: otherwise the number of steps would tell who was in them.

    Args:
        module: In training mode; parameters that require a gradient are trained.
        losses: See :data:`Losses`.
        population: How many patients there are: private, used for drawing only.
        plan: The constants that were registered.
        ledger: Where each step is charged before it is taken.
        identity: Of the mechanism in the ledger.
        optimizer: Of the trained parameters; its learning rate may be changed between steps.
        threads: Patients computed at a time, each on a thread of its own; with more than one,
            ``losses`` must bear to be called from several at once.

    Raises:
        DPInputError: The plan is not what was registered, the network cannot be trained privately,
            it changed its buffers, or losses have the wrong shape.
        BudgetError: Another run took the steps.
        LedgerError: The ledger cannot be used.
    """
    registered = next((one for one in ledger.registered() if one.identity == identity), None)
    if registered is None or registered.mechanism != plan.mechanism:
        raise DPInputError("The ledger holds no such mechanism; register the plan that is run.")
    check_network(module)
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    _check_optimizer(optimizer, parameters)
    buffers = {name: value.clone() for name, value in module.named_buffers()}
    total = PatientSum(parameters, plan.clip_norm)

    def gradients(patient: int) -> Sequence[Tensor | None]:
        return patient_gradient(losses(patient, step), parameters, plan.rows)

    with Threads(threads) as pool:
        for _ in range(registered.mechanism.steps - registered.taken):
            step = ledger.charge(identity)
            failure: Exception | None = None
            drawn = poisson_sample(population, plan.sampling_rate)
            for found in pool.map(gradients, drawn):
                try:
                    if isinstance(found, Exception):
                        raise found
                    total.add(found)
                except Exception as error:
                    failure = error
            total.release(plan.noise_multiplier, plan.expected_patients)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if failure is not None:
                raise failure
            _check_buffers(module, buffers)
            yield step


def _check_buffers(module: nn.Module, before: dict[str, Tensor]) -> None:
    """Put buffers back that a look at patients has changed, and say so."""
    changed = []
    for name, value in module.named_buffers():
        if name not in before or not torch.equal(value, before[name]):
            changed.append(f"{name}: a buffer that the training changed; it is put back")
            value.copy_(before.get(name, torch.zeros_like(value)))
    if changed:
        raise DPInputError("The network keeps something of patients without noise.", changed)


def _check_optimizer(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> None:
    held = {p for group in optimizer.param_groups for p in group["params"]}
    if held != set(parameters):
        raise DPInputError(
            "The optimizer must hold exactly the trainable parameters: what it holds beside them "
            "would get no gradient, and what it lacks would not be trained."
        )
