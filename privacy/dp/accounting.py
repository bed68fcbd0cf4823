"""Accounting: how much all mechanisms together tell about one patient.

Two accountants are asked and the larger answer counts: privacy loss distributions (dp-accounting;
Koskela et al. 2020, Doroshenko et al. 2022, arXiv:2207.04380) and PRV (Opacus; Gopi et al. 2021,
arXiv:2106.02848) with its error added. Both are upper bounds. The central-limit approximation
("Gaussian DP") is no bound, it can say a tenth too little, so there is no way to ask for it.

Data sets are neighbours if one has **one patient more**, with all images (add or remove). For
replacing one patient by another the numbers are larger: :func:`epsilon_replacing`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from privacy.dp.errors import BudgetError, DPInputError
from privacy.dp.mechanism import SampledGaussian

__all__ = [
    "ADJACENCY",
    "Spent",
    "attacker_power",
    "check_delta",
    "epsilon",
    "epsilon_per_image",
    "epsilon_replacing",
    "group_guarantee",
    "noise_multiplier",
    "profile",
]

ADJACENCY: Final = "add or remove one patient, with all images"

#: Discretisation of the privacy loss. Rounding is pessimistic, so a coarser one is never unsafe;
#: ten times finer takes ten times longer and says less by a thousandth, where PRV adds a hundredth.
_INTERVAL: Final = 1e-3
_PRV_ERROR: Final = 0.01
# Beyond this the numbers protect nobody, and the PRV accountant runs out of memory.
_HOPELESS: Final = 50.0
_LARGEST_NOISE: Final = 1e5


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What mechanisms cost together at one delta.

    Attributes:
        delta: The delta.
        pld: Epsilon by privacy loss distributions.
        prv: Epsilon by PRV, its error included; None above 50, where it is not computed.
    """

    delta: float
    pld: float
    prv: float | None

    @property
    def epsilon(self) -> float:
        """The epsilon that is claimed: the larger of the two."""
        return self.pld if self.prv is None else max(self.pld, self.prv)


def check_delta(delta: float, patients: int) -> None:
    """Refuse a delta that would allow publishing a patient outright.

    Args:
        delta: Of a claim.
        patients: A **public** upper bound on the number of patients.

    Raises:
        DPInputError: delta is not above 0, or not below 1 / (10 patients).
    """
    if patients < 1:
        raise DPInputError(
            f"The bound on the number of patients must be 1 or more, not {patients}."
        )
    limit = 1 / (10 * patients)
    if not 0 < delta < limit:
        raise DPInputError(
            f"delta={delta!r} must lie above 0 and below {limit:.3g}, a tenth of one in {patients} "
            "patients: a mechanism that publishes one patient in full with a chance of delta "
            "would meet a larger one. 1 / patients^1.1 or less is usual."
        )


def epsilon(mechanisms: Sequence[SampledGaussian], delta: float) -> Spent:
    """Epsilon of mechanisms together.

    Args:
        mechanisms: All that looked at the patients; each may depend on results of the others.
        delta: In (0, 1).

    Raises:
        DPInputError: delta is out of range.

    Example:
        >>> round(
        ...     epsilon(
        ...         [SampledGaussian(noise_multiplier=2.0, sampling_rate=0.1, steps=1000)], 1e-4
        ...     ).epsilon,
        ...     2,
        ... )
        7.29
    """
    _check_probability(delta)
    done = [one for one in mechanisms if one.steps]
    if not done:
        return Spent(delta=delta, pld=0.0, prv=0.0)
    pld = float(_accountant(done).get_epsilon(delta))
    return Spent(delta=delta, pld=pld, prv=_prv(done, delta) if pld <= _HOPELESS else None)


def epsilon_replacing(mechanisms: Sequence[SampledGaussian], delta: float) -> float:
    """Epsilon where neighbours have one patient replaced by another, for comparison.

    Args:
        mechanisms: As in :func:`epsilon`.
        delta: In (0, 1).
    """
    _check_probability(delta)
    done = [one for one in mechanisms if one.steps]
    return float(_accountant(done, replacing=True).get_epsilon(delta)) if done else 0.0


def epsilon_per_image(mechanism: SampledGaussian, images: int, delta: float) -> float:
    """Epsilon **of a patient** where single images are sampled and clipped, for comparison.

    A patient with several images is then in a sum with as many of them as the draw took: a mixture
    of Gaussians (Ganesh 2024, arXiv:2401.10294).

    Args:
        mechanism: The mechanism as it runs, on images.
        images: Most images a patient has, 1 or more.
        delta: In (0, 1).
    """
    from dp_accounting import dp_event
    from scipy.stats import binom

    _check_probability(delta)
    if images < 1:
        raise DPInputError(f"A patient has 1 image or more, not {images}.")
    counts = np.arange(images + 1)
    event = dp_event.MixtureOfGaussiansDpEvent(
        mechanism.noise_multiplier,
        counts.tolist(),
        binom.pmf(counts, images, mechanism.sampling_rate).tolist(),
    )
    accountant = _empty()
    accountant.compose(event, mechanism.steps)
    return float(accountant.get_epsilon(delta))


def group_guarantee(epsilon: float, delta: float, members: int) -> tuple[float, float]:
    """What (epsilon, delta) for one member means for a group, for comparison.

    Vadhan 2017, "The Complexity of Differential Privacy", Lemma 2.2. The delta soon exceeds 1, and
    then nothing is guaranteed: image-level claims do not become patient-level ones this way.

    Args:
        epsilon: For one.
        delta: For one.
        members: Size of the group, 1 or more.

    Returns:
        Epsilon and delta of the group; delta at most 1.
    """
    if members < 1:
        raise DPInputError(f"A group has 1 member or more, not {members}.")
    total = members * epsilon
    if epsilon == 0:
        return 0.0, min(1.0, members * delta)
    if total > 700:  # beyond what a float can hold
        return total, 1.0
    return total, min(1.0, delta * math.expm1(total) / math.expm1(epsilon))


def noise_multiplier(
    target: float,
    delta: float,
    *,
    sampling_rate: float,
    steps: int,
    spent: Sequence[SampledGaussian] = (),
) -> float:
    """Smallest noise that keeps everything together within a budget.

    Args:
        target: Epsilon that must not be exceeded.
        delta: In (0, 1).
        sampling_rate: Of the mechanism to plan.
        steps: Of the mechanism to plan, 1 or more.
        spent: What has looked at the patients before.

    Returns:
        The noise multiplier, rounded up to four digits.

    Raises:
        DPInputError: The target is not above 0, or no noise reaches it.
        BudgetError: What was spent leaves nothing.
    """
    _check_probability(delta)
    if not (math.isfinite(target) and target > 0):
        raise DPInputError(f"epsilon={target!r} must be a number above 0.")
    if steps < 1:
        raise DPInputError(f"steps={steps!r}: a mechanism to plan takes at least one.")
    before = epsilon(spent, delta).epsilon
    if before >= target:
        raise BudgetError(
            f"Nothing is left: {before:.3g} of an epsilon of {target:.3g} (delta {delta:.3g}) is "
            "spent."
        )

    def everything(noise: float) -> list[SampledGaussian]:
        planned = SampledGaussian(noise_multiplier=noise, sampling_rate=sampling_rate, steps=steps)
        return [*spent, planned]

    def excess(logarithm: float) -> float:
        cost = float(_accountant(everything(math.exp(logarithm))).get_epsilon(delta))
        return math.log(max(cost, 1e-300) / target)

    low, high = math.log(0.1), math.log(0.4)
    while excess(high) > 0:
        low, high = high, high + math.log(4)
        if high > math.log(_LARGEST_NOISE):
            raise DPInputError(
                f"No noise reaches an epsilon of {target:.3g} at delta {delta:.3g} in {steps} "
                "steps. Take fewer steps, a lower sampling rate or a larger epsilon."
            )
    from scipy.optimize import brentq

    # A little is left for the error that PRV adds; and the answer is to be right as it is written.
    noise = _rounded_up(math.exp(brentq(excess, low, high, xtol=2e-4) if excess(low) > 0 else low))
    while epsilon(everything(noise), delta).epsilon > target:
        noise = _rounded_up(noise * 1.0005)
    return noise


def profile(
    mechanisms: Sequence[SampledGaussian], epsilons: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Delta at each of several epsilons: the privacy profile.

    Args:
        mechanisms: As in :func:`epsilon`.
        epsilons: float64 (n,), 0 or more.

    Returns:
        float64 (n,), in [0, 1].
    """
    done = [one for one in mechanisms if one.steps]
    if not done:
        return np.zeros(len(epsilons))
    accountant = _accountant(done)
    return np.array([float(accountant.get_delta(float(one))) for one in epsilons])


def attacker_power(mechanisms: Sequence[SampledGaussian], false_positives: float) -> float:
    """Most patients an attacker can find, at a share of false alarms, whatever is known.

    An attacker who decides from everything released whether a given patient was in the data, and
    who is wrong about outsiders with a chance of ``false_positives``, is right about members with
    a chance of at most this (Kairouz et al. 2015, arXiv:1311.0776, over the whole profile).

    Args:
        mechanisms: As in :func:`epsilon`.
        false_positives: In [0, 1].

    Returns:
        The largest chance of a true positive.
    """
    if not 0 <= false_positives <= 1:
        raise DPInputError(f"false_positives={false_positives!r} must lie in 0 .. 1.")
    epsilons = np.concatenate([np.linspace(0, 2, 81), np.linspace(2.05, 20, 120)])
    deltas = profile(mechanisms, epsilons)
    above = np.exp(epsilons) * false_positives + deltas
    below = 1 - (1 - false_positives - deltas) * np.exp(-epsilons)
    return float(min(1.0, above.min(), below.min()))


def _check_probability(delta: float) -> None:
    if not 0 < delta < 1:
        raise DPInputError(f"delta={delta!r} must lie above 0 and below 1.")


def _rounded_up(value: float) -> float:
    """The next number with four digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 3)
    return round(math.ceil(value / unit - 1e-9) * unit, 10)


def _empty(*, replacing: bool = False) -> Any:
    from dp_accounting import NeighboringRelation
    from dp_accounting.pld import PLDAccountant

    relation = (
        NeighboringRelation.REPLACE_ONE if replacing else NeighboringRelation.ADD_OR_REMOVE_ONE
    )
    return PLDAccountant(relation, value_discretization_interval=_INTERVAL)


def _accountant(mechanisms: Sequence[SampledGaussian], *, replacing: bool = False) -> Any:
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent

    accountant = _empty(replacing=replacing)
    for one in mechanisms:
        event: Any = GaussianDpEvent(one.noise_multiplier)
        if one.sampling_rate < 1:
            event = PoissonSampledDpEvent(one.sampling_rate, event)
        accountant.compose(event, one.steps)
    return accountant


def _prv(mechanisms: Sequence[SampledGaussian], delta: float) -> float:
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    accountant.history = [
        (one.noise_multiplier, one.sampling_rate, one.steps) for one in mechanisms
    ]
    with warnings.catch_warnings(), np.errstate(divide="ignore"):  # log(1 - rate) at a rate of 1
        # It bounds its range by RDP first, and says where that bound is not tight.
        warnings.filterwarnings("ignore", "Optimal order")
        return float(accountant.get_epsilon(delta, eps_error=_PRV_ERROR))
