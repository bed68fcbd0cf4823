"""Training with differential privacy for every patient: DP-SGD on patients.

A step is charged in the ledger, patients are drawn by chance, each gives one clipped gradient, and
noise is added once. A step without any patient is a step like any other. What is released, all
weights after all steps, is covered by what the ledger holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from privacy.dp.clipping import PatientSum
from privacy.dp.errors import DPInputError
from privacy.dp.ledger import Ledger
from privacy.dp.patient_gradients import PatientGradients
from privacy.dp.plan import DPPlan
from privacy.dp.randomness import poisson_sample

__all__ = ["Losses", "private_steps"]

#: Losses of the rows of some patients in a step: float (patients times rows,), those of a patient
#: together. A loss must depend on nothing of other patients.
Losses = Callable[[Sequence[int], int], Tensor]


def private_steps(
    module: nn.Module,
    losses: Losses,
    population: int,
    plan: DPPlan,
    ledger: Ledger,
    identity: str,
    optimizer: torch.optim.Optimizer,
    *,
    patients_at_once: int = 4,
) -> Iterator[int]:
    """Train; yields the number of each step after it was taken.

    Stop asking, and no more is spent. Given the same ledger and identity again, it goes on behind
    the last step charged. While it runs, parameters of the module require no gradient.

    Args:
        module: In training mode; parameters that require a gradient are trained.
        losses: See :data:`Losses`.
        population: How many patients there are: private, used for drawing only.
        plan: The constants that were registered.
        ledger: Where each step is charged before it is taken.
        identity: Of the mechanism in the ledger.
        optimizer: Of the trained parameters; its learning rate may be changed between steps.
        patients_at_once: Patients computed together, which saves memory and changes nothing but
            rounding.

    Raises:
        DPInputError: The plan is not what was registered, or losses have the wrong shape.
        BudgetError: Another run took the steps.
        LedgerError: The ledger cannot be used.
    """
    registered = next((one for one in ledger.registered() if one.identity == identity), None)
    if registered is None or registered.mechanism != plan.mechanism:
        raise DPInputError("The ledger holds no such mechanism; register the plan that is run.")
    gradients = PatientGradients(module, plan.rows)
    try:
        total = PatientSum(gradients.parameters, plan.clip_norm, plan.rows)
        _check_optimizer(optimizer, gradients.parameters)
        for _ in range(registered.mechanism.steps - registered.taken):
            step = ledger.charge(identity)
            drawn = poisson_sample(population, plan.sampling_rate)
            for begin in range(0, len(drawn), patients_at_once):
                part = drawn[begin : begin + patients_at_once]
                found = losses(part, step)
                if found.shape != (len(part) * plan.rows,):
                    raise DPInputError(
                        f"losses of {len(part)} patients: expected shape "
                        f"({len(part) * plan.rows},), one a row. Got {tuple(found.shape)}."
                    )
                found.sum().backward()  # type: ignore[no-untyped-call]
                total.add(gradients.take())
            total.release(plan.noise_multiplier, plan.expected_patients)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            yield step
    finally:
        gradients.detach()


def _check_optimizer(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> None:
    held = {p for group in optimizer.param_groups for p in group["params"]}
    if held != set(parameters):
        raise DPInputError(
            "The optimizer must hold exactly the trainable parameters: what it holds beside them "
            "would get no gradient, and what it lacks would not be trained."
        )
