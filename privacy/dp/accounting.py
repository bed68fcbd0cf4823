"""Accounting: how much all mechanisms together tell about one patient.

Two accountants are asked and the larger answer counts: privacy loss distributions (dp-accounting;
Koskela et al. 2020, Doroshenko et al. 2022, arXiv:2207.04380) and PRV (Opacus; Gopi et al. 2021,
arXiv:2106.02848) with its error added. Both are upper bounds. The central-limit approximation
("Gaussian DP") is no bound, it can say a tenth too little, so there is no way to ask for it.

Both compose mechanisms whose parameters were fixed before any of them looked at a patient. Where
some were chosen in view of what others released, composing them all the same and refusing what
exceeds a cap does not keep the cap in general (Regehr et al. 2026, arXiv:2602.15815). Adding up
Renyi divergences of one order that was fixed before does: :func:`filter_epsilon`.

Data sets are neighbours if one has **one patient more**, with all images (add or remove). For
replacing one patient by another the numbers are larger: :mod:`privacy.dp.comparisons`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from privacy.dp.errors import BudgetError, DPInputError
from privacy.dp.mechanism import SampledGaussian
from privacy.dp.rounding import rounded_up

__all__ = [
    "ADJACENCY",
    "Spent",
    "attacker_power",
    "check_delta",
    "check_probability",
    "epsilon",
    "filter_epsilon",
    "noise_multiplier",
    "pld_accountant",
    "profile",
    "rdp_epsilon",
]

ADJACENCY: Final = "add or remove one patient, with all images"

# Discretisation of the privacy loss. Rounding is pessimistic, so a coarser one is never unsafe;
# ten times finer takes ten times longer and says less by a thousandth, where PRV adds a hundredth.
# Where the loss is above 100 on average, steps of a part in 100,000 of it keep memory bounded.
_INTERVAL: Final = 1e-3
_STEPS_TO_MEAN: Final = 1e5
_PRV_ERROR: Final = 0.01
# Beyond this the numbers protect nobody, and the PRV accountant runs out of memory.
_HOPELESS: Final = 50.0
_LARGEST_NOISE: Final = 1e5
_LEAST_DELTA: Final = 1e-12
# Whole numbers: of others, the divergence of a sampled Gaussian is a series that may not converge.
_ORDERS: Final[tuple[int, ...]] = (*range(2, 64), *(2**power for power in range(6, 13)))


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What mechanisms cost together at one delta.

    Attributes:
        delta: The delta.
        pld: Epsilon by privacy loss distributions.
        prv: Epsilon by PRV, its error included; None above 50, where it is not computed.
        rdp: Epsilon by sums of Renyi divergences, of the order that says least; None where all
            mechanisms were fixed before the first of them looked.
    """

    delta: float
    pld: float
    prv: float | None
    rdp: float | None = None

    @property
    def epsilon(self) -> float:
        """The epsilon that is claimed: the largest of those computed; NaN if any of them is."""
        return float(np.max([one for one in (self.pld, self.prv, self.rdp) if one is not None]))


def check_delta(delta: float, patients: int) -> None:
    """Refuse a delta that would allow publishing a patient outright.

    Args:
        delta: Of a claim.
        patients: A **public** upper bound on the number of patients.

    Raises:
        DPInputError: delta is below 1e-12, where accountants lose their precision, or not below
            1 / (10 patients).
    """
    if patients < 1:
        raise DPInputError(
            f"The bound on the number of patients must be 1 or more, not {patients}."
        )
    limit = 1 / (10 * patients)
    if not _LEAST_DELTA <= delta < limit:
        raise DPInputError(
            f"delta={delta!r} must be at least {_LEAST_DELTA:g} and below {limit:.3g}, a tenth of "
            f"one in {patients} patients: a mechanism that publishes one patient in full with a "
            "chance of delta would meet a larger one. Half of that, 1 / (20 patients), is a good "
            "choice."
        )


def check_probability(delta: float) -> None:
    """Refuse a delta that is no chance.

    Raises:
        DPInputError: It is not above 0 and below 1.
    """
    if not 0 < delta < 1:
        raise DPInputError(f"delta={delta!r} must lie above 0 and below 1.")


def epsilon(
    mechanisms: Sequence[SampledGaussian], delta: float, *, adaptive: bool = False
) -> Spent:
    """Epsilon of mechanisms together.

    Proved for mechanisms that were all fixed before the first of them looked. What they compute
    may depend on results of each other (Zhu et al. 2022, arXiv:2106.08567), and their steps may
    come in any order (Vadhan & Zhang 2023, arXiv:2207.08335). Where parameters followed from
    results as well, ``adaptive`` gives what would be proved had just this budget been set before;
    what is proved of a larger one is :func:`filter_epsilon`.

    Args:
        mechanisms: All that looked at the patients.
        delta: In (0, 1).
        adaptive: Whether some were chosen in view of what others released.

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
    check_probability(delta)
    return _epsilon(_done(mechanisms), delta, adaptive)


@lru_cache(maxsize=1024)
def _epsilon(done: tuple[SampledGaussian, ...], delta: float, adaptive: bool) -> Spent:
    """What :func:`epsilon` says; kept, as it takes a second and ledgers ask the same again."""
    if not done:
        return Spent(delta=delta, pld=0.0, prv=0.0, rdp=0.0 if adaptive else None)
    pld = float(pld_accountant(done).get_epsilon(delta))
    return Spent(
        delta=delta,
        pld=pld,
        prv=_prv(done, delta) if pld <= _HOPELESS else None,
        rdp=rdp_epsilon(done, delta) if adaptive else None,
    )


def rdp_epsilon(mechanisms: Sequence[SampledGaussian], delta: float) -> float:
    """Epsilon of mechanisms together by sums of Renyi divergences, of the order that says least.

    Args:
        mechanisms: All that looked at the patients, at least one step of them.
        delta: In (0, 1).
    """
    return float(_rdp_accountant(_done(mechanisms), _ORDERS).get_epsilon(delta))


def filter_epsilon(
    plans: Sequence[SampledGaussian],
    delta: float,
    *,
    first: Sequence[SampledGaussian],
    cap: float,
) -> float:
    """Epsilon by which a Renyi filter judges plans that may depend on results of each other.

    Let the parameters of each mechanism depend in any way on what those before it released. If
    the sum of their divergences of **one** order, fixed beforehand, can never exceed a bound, then
    all of it together has at most that divergence (Feldman & Zrnic 2021, arXiv:2008.11193; Lecuyer
    2021, arXiv:2103.01379), also where the mechanisms take turns (Haney et al. 2023,
    arXiv:2309.05901), and so it is (epsilon, delta)-private (Canonne et al. 2020,
    arXiv:2004.00010, proposition 12). So the cap holds if nothing is begun that would bring this
    epsilon above it.

    To take the order that looks best in the end would be a choice in view of results, which the
    theorem does not cover. The order follows from what was known before the first look: of some,
    it is the one at which the first plan could be repeated most often under the cap. A poor choice
    costs budget and no privacy; far below the cap, this epsilon is much too large.

    Args:
        plans: The mechanisms of all plans.
        delta: In (0, 1).
        first: Those of the plan that was made before anybody looked.
        cap: Epsilon that must never be exceeded.

    Example:
        >>> plan = [SampledGaussian(noise_multiplier=1.0)]
        >>> round(filter_epsilon(plan * 2, 1e-4, first=plan, cap=8.0), 2)
        6.65
    """
    order = _filter_order(_done(first), delta, cap)
    return float(_rdp_accountant(_done(plans), [order]).get_epsilon(delta))


@lru_cache(maxsize=256)
def _filter_order(first: tuple[SampledGaussian, ...], delta: float, cap: float) -> int:
    orders = np.array(_ORDERS, np.float64)
    bounds = cap - np.log1p(-1 / orders) + np.log(delta * orders) / (orders - 1)
    each = np.maximum(_rdp_accountant(first, _ORDERS).rdp, np.finfo(np.float64).tiny)
    return _ORDERS[int(np.argmax(bounds / each))]


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
        spent: What has looked at the patients before, or is of the same plan. To what comes after
            other plans a ledger also applies :func:`filter_epsilon`, so leave room for that.

    Returns:
        The noise multiplier, rounded up to four digits.

    Raises:
        DPInputError: The target is not above 0, or no noise reaches it.
        BudgetError: What was spent leaves nothing.
    """
    check_probability(delta)
    if not (math.isfinite(target) and target > 0):
        raise DPInputError(f"epsilon={target!r} must be a number above 0.")
    if steps < 1:
        raise DPInputError(f"steps={steps!r}: a mechanism to plan takes at least one.")
    before = epsilon(spent, delta).epsilon
    if not before < target:
        raise BudgetError(
            f"Nothing is left: {before:.3g} of an epsilon of {target:.3g} (delta {delta:.3g}) is "
            "spent."
        )

    def everything(noise: float) -> list[SampledGaussian]:
        planned = SampledGaussian(noise_multiplier=noise, sampling_rate=sampling_rate, steps=steps)
        return [*spent, planned]

    @cache
    def excess(logarithm: float) -> float:
        cost = float(pld_accountant(_done(everything(math.exp(logarithm)))).get_epsilon(delta))
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
    found = math.exp(brentq(excess, low, high, xtol=2e-4) if excess(low) > 0 else low)
    noise, more = rounded_up(found, 4), 1.0005
    while not epsilon(everything(noise), delta).epsilon <= target:
        noise, more = rounded_up(noise * more, 4), more * more
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
    done = _done(mechanisms)
    if not done:
        return np.zeros(len(epsilons))
    accountant = pld_accountant(done)
    return np.array([float(accountant.get_delta(float(one))) for one in epsilons])


def attacker_power(mechanisms: Sequence[SampledGaussian], false_positives: float) -> float:
    """Most patients an attacker can find, at a share of false alarms, whatever is known.

    An attacker who decides from everything released whether a given patient was in the data, and
    who is wrong about outsiders with a chance of ``false_positives``, is right about members with
    a chance of at most this (Kairouz et al. 2015, arXiv:1311.0776, over the whole profile).

    Args:
        mechanisms: As in :func:`epsilon`; fixed before anybody looked.
        false_positives: In [0, 1].

    Returns:
        The largest chance of a true positive.
    """
    epsilons = np.concatenate([np.linspace(0, 2, 81), np.linspace(2.05, 20, 120)])
    pairs = zip(epsilons.tolist(), profile(mechanisms, epsilons).tolist(), strict=True)
    return min(power_within(one, delta, false_positives) for one, delta in pairs)


def power_within(epsilon: float, delta: float, false_positives: float) -> float:
    """As :func:`attacker_power`, from one (epsilon, delta) alone.

    Args:
        epsilon: 0 or more.
        delta: In [0, 1].
        false_positives: In [0, 1].
    """
    if not 0 <= false_positives <= 1:
        raise DPInputError(f"false_positives={false_positives!r} must lie in 0 .. 1.")
    above = math.exp(epsilon) * false_positives + delta
    below = 1 - (1 - false_positives - delta) * math.exp(-epsilon)
    return min(1.0, above, below)


def pld_accountant(mechanisms: Sequence[SampledGaussian] = (), *, replacing: bool = False) -> Any:
    """An accountant of privacy loss distributions that has composed some mechanisms.

    Args:
        mechanisms: What to compose.
        replacing: Neighbours have one patient replaced by another, not added or removed.
    """
    from dp_accounting import NeighboringRelation
    from dp_accounting.pld import PLDAccountant

    relation = (
        NeighboringRelation.REPLACE_ONE if replacing else NeighboringRelation.ADD_OR_REMOVE_ONE
    )
    interval = max(_INTERVAL, sum(map(_mean_loss, mechanisms)) / _STEPS_TO_MEAN)
    return _composed(PLDAccountant(relation, value_discretization_interval=interval), mechanisms)


def _rdp_accountant(mechanisms: Sequence[SampledGaussian], orders: Sequence[int]) -> Any:
    from dp_accounting.rdp import RdpAccountant

    return _composed(RdpAccountant(orders), mechanisms)


def _composed(accountant: Any, mechanisms: Sequence[SampledGaussian]) -> Any:
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent

    for one in mechanisms:
        event: Any = GaussianDpEvent(one.noise_multiplier)
        if one.sampling_rate < 1:
            event = PoissonSampledDpEvent(one.sampling_rate, event)
        accountant.compose(event, one.steps)
    return accountant


def _mean_loss(mechanism: SampledGaussian) -> float:
    """At least the mean privacy loss: by convexity, and by the divergence of order 2."""
    noise, rate = mechanism.noise_multiplier, mechanism.sampling_rate
    second = math.log1p(rate**2 * math.expm1(noise**-2))
    return mechanism.steps * min(rate / (2 * noise**2), second)


def _done(mechanisms: Sequence[SampledGaussian]) -> tuple[SampledGaussian, ...]:
    return tuple(one for one in mechanisms if one.steps)


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
