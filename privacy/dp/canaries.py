"""Canaries: made-up patients whose presence shows as plainly as the guarantee allows.

For an audit in one run (Steinke, Nasr & Jagielski 2023, arXiv:2305.08846): a fair coin decides for
each canary whether it is trained on, and an attacker who sees everything that is released guesses
the coins. More right guesses than the claimed epsilon allows refute the claim.

Each canary has a weight of its own (a Dirac canary): every row of it has a gradient along that
weight, far longer than the clipping norm. So it says the most that a patient can, and canaries do
not disturb each other. They are trained in a run and a ledger of their own, never beside patients.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from privacy.dp.ledger import Ledger
from privacy.dp.plan import DPPlan
from privacy.dp.training import private_steps

__all__ = ["one_run"]

# Gradient over the clipping norm: a missing clip is to show.
_STEEP: Final = 100.0


def one_run(
    plan: DPPlan, ledger: Ledger, *, canaries: int = 1000
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64]]:
    """Train on a random half of some canaries, and score all by what is released.

    The score is the logarithm of how much likelier a canary's own weights, after each step, are
    with it than without it (Neyman & Pearson 1933), if the training does as the plan says. It needs
    no knowledge of who was drawn in a step.

    Args:
        plan: Of the training.
        ledger: Where it is registered and charged: of these canaries alone.
        canaries: How many there are.

    Returns:
        Whether each canary was trained on, bool (canaries,), and its score, float64 (canaries,).

    Raises:
        BudgetError: The plan exceeds the cap of the ledger.
    """
    # The coins come from elsewhere than the randomness that is put to the test.
    included = np.random.default_rng().random(canaries) < 0.5
    numbers = torch.from_numpy(np.flatnonzero(included))
    module = nn.Embedding(canaries, 1)
    nn.init.zeros_(module.weight)
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    identity = ledger.register("one-run audit", plan.mechanism)

    def losses(chosen: int, step: int) -> Tensor:
        own = module(numbers[chosen].expand(plan.rows))
        return torch.as_tensor(-_STEEP * plan.clip_norm * own.squeeze(1))

    scores = torch.zeros(canaries, dtype=torch.float64)
    before = torch.zeros(canaries)
    for _ in private_steps(module, losses, len(numbers), plan, ledger, identity, optimizer):
        after = module.weight.detach().flatten().clone()
        scores += _evidence((after - before) * plan.expected_patients / plan.clip_norm, plan)
        before = after
    return included, scores.numpy()


def _evidence(released: Tensor, plan: DPPlan) -> Tensor:
    """Log-likelihood ratio of one step: in the sum with a chance of the rate, or never.

    Args:
        released: What each canary's weight got, in clipping norms: 0 or 1, and noise.
        plan: Holds the rate and the noise.
    """
    rate = torch.tensor(plan.sampling_rate, dtype=torch.float64)
    drawn = (released.double() - 0.5) / plan.noise_multiplier**2
    return torch.logaddexp(torch.log1p(-rate), torch.log(rate) + drawn)
