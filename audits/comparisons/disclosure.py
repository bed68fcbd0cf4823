"""Patient-level excess disclosure: how many more train than control patients come close.

A_g is the smallest distance between any image of patient g and any synthetic image. tau is the
distance that a declared share q of *control* patients reach, and a patient counts as disclosed
when A_g <= tau. Control patients were never shown to the generator, so their rate is the
"phantom" rate of chance, and

    R = (p_train - p_control) / (1 - p_control)

is the share of train patients disclosed beyond chance (residual risk; phantom disclosures:
arXiv:2606.16952). It reaches 1 when every train patient is copied.

Strata. The lottery may draw other shares from other strata. Control patients are then weighted
by train patients / control patients of their stratum, in tau as in p_control: both rates describe
strata in the proportions of train, and R speaks of the actual train patients. With one share
everywhere all weights are equal and nothing changes. Strata with one side only are left out.

Why the p-value is exact. It relabels patients within strata and recomputes everything that
depends on labels, tau included; the statistic is p_train - p_control. Several spaces share one
p-value by the largest standardised statistic (Westfall & Young 1993).

What the bounds assume. Synthetic images given, control patients are independent draws from their
stratum and train patients are disclosed independently of each other. Then, with k = ceil(q n) of n
control patients, F(tau), the true phantom rate, follows Beta(k, n + 1 - k) whatever the
distribution (order statistic), and stands above it where distances tie: the lower bound on the
phantom rate stays valid and the bound on R is conservative. tau given, the number of disclosed
train patients is binomial (or less spread, when strata differ: Hoeffding, Ann Math Stat 27
(1956)): Clopper-Pearson. Each of the two takes half the error. With unequal weights the Beta is
moment-matched, as Fay & Feuer (Stat Med 16 (1997)) do for standardised rates: approximate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.comparisons.ranking import (
    TOLERANCE,
    Ranking,
    control_weights,
    joint_p_values,
    relabelled,
    usable_only,
)
from audits.comparisons.reach import Reach, patient_minimum
from audits.images import Patients
from audits.statistics.intervals import clopper_pearson_lower, clopper_pearson_upper

__all__ = [
    "Disclosure",
    "DisclosurePoint",
    "DisclosureResult",
    "excess_disclosure",
    "patient_distances",
    "residual_risk",
]

_CURVE = (0.01, 0.02, 0.05, 0.1, 0.2)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Disclosure:
    """Excess disclosure of train patients in one feature space.

    Attributes:
        space: Feature space.
        n_train: Train patients compared.
        n_control: Control patients compared.
        disclosed_train: Train patients within tau.
        disclosed_control: Control patients within tau.
        train_rate: Share of train patients within tau.
        control_rate: Phantom rate: weighted share of control patients within tau.
        risk: R, at most 1, negative when control patients are closer; None when not estimable.
        lower: One-sided lower bound on R, or None.
        upper: One-sided upper bound on R, or None. Bounds hold for all spaces at once.
        p_value: One-sided permutation p-value of this space alone, or None.
        reason: Why something is not estimable; empty otherwise.
    """

    space: str
    n_train: int
    n_control: int
    disclosed_train: int
    disclosed_control: int
    train_rate: float | None
    control_rate: float | None
    risk: float | None
    lower: float | None
    upper: float | None
    p_value: float | None
    reason: str


@dataclass(frozen=True)
class DisclosurePoint:
    """One point of the curve of R against the phantom rate; its bounds hold for it alone.

    Attributes:
        space: Feature space.
        quantile: Declared share of control patients within tau.
        risk: R, or None.
        lower: One-sided lower bound, or None.
        upper: One-sided upper bound, or None.
    """

    space: str
    quantile: float
    risk: float | None
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class DisclosureResult:
    """Excess disclosure in all feature spaces.

    Attributes:
        rows: One entry a space, in the order given.
        worst: The row with the largest upper bound; None when nothing is estimable.
        p_value: Joint one-sided permutation p-value over spaces, or None.
        curve: R at several phantom rates, for a figure.
        quantile: Declared share of control patients within tau.
        confidence: Of each one-sided bound, simultaneous over spaces (Bonferroni).
        excluded_patients: Patients of strata without train or without control patients.
        reason: Why nothing is estimable; empty otherwise.
    """

    rows: tuple[Disclosure, ...]
    worst: Disclosure | None
    p_value: float | None
    curve: tuple[DisclosurePoint, ...]
    quantile: float
    confidence: float
    excluded_patients: int
    reason: str


def residual_risk(train_rate: float, control_rate: float) -> float:
    """(p_T - p_H) / (1 - p_H); at p_H = 1, 0 for p_T = 1 and minus infinity below.

    Args:
        train_rate: p_T, 0 to 1.
        control_rate: p_H, 0 to 1.

    Returns:
        The excess rate relative to what the control leaves.
    """
    if control_rate >= 1.0:
        return 0.0 if train_rate >= 1.0 else -np.inf
    return (train_rate - control_rate) / (1.0 - control_rate)


def patient_distances(reaches: Sequence[Reach], patients: Patients) -> dict[str, Floats]:
    """Smallest squared distance of each patient to any synthetic image.

    Args:
        reaches: One entry a feature space.
        patients: The numbering.

    Returns:
        float64 (patients,) for each space, infinity without synthetic images.
    """
    count = len(patients.member)
    return {
        reach.space: patient_minimum(
            reach.to_synthetic.squared.min(axis=1, initial=np.inf), patients.of_image, count
        )
        for reach in reaches
    }


@dataclass(frozen=True, eq=False)
class _Walk:
    """How far tau reaches in each labelling.

    Attributes:
        train: float64 (labellings,), p_train.
        control: float64 (labellings,), weighted p_control.
        first: int64 (labellings,), position of the control patient that sets tau.
        end: int64 (labellings,), last position within tau.
    """

    train: Floats
    control: Floats
    first: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]


def _walk(
    ranking: Ranking, labels: npt.NDArray[np.bool_], weights: Floats, quantile: float
) -> _Walk:
    """Walk outwards until a share of control weight is within tau, ties included."""
    members = labels[:, ranking.order]
    control = np.cumsum(np.where(members, 0.0, weights[ranking.order]), axis=1)
    total = control[:, -1]
    first = (control < ((quantile - TOLERANCE) * total)[:, None]).sum(axis=1)
    end = ranking.end[first]
    inside = np.arange(members.shape[1]) <= end[:, None]
    train = (members & inside).sum(axis=1) / members.sum(axis=1)
    return _Walk(train, np.take_along_axis(control, end[:, None], 1)[:, 0] / total, first, end)


def _phantom_bounds(at: Floats, within: Floats, total: Floats, side: float) -> tuple[float, float]:
    """One-sided bounds on the phantom rate F(tau), each with confidence ``side``.

    With equal weights the lower one is the quantile of Beta(k, n + 1 - k), the upper one that of
    Beta(k' + 1, n - k'), k' counting the control patients tied at tau as well.

    Args:
        at: Weights of the control patients up to the one that sets tau.
        within: The same, with those tied with it.
        total: Weights of all control patients.
        side: Confidence of each bound.
    """
    from scipy.special import betaincinv

    whole, largest = total.sum(), total.max()
    mass, spread = at.sum(), np.square(at).sum()
    a = mass**2 / spread
    low = betaincinv(a, a * whole / mass + 1.0 - a, 1.0 - side)
    mass, spread = within.sum() + largest, np.square(within).sum() + largest**2
    a = mass**2 / spread
    b = a * (whole + largest) / mass - a
    high = betaincinv(a, b, side) if b > TOLERANCE else 1.0
    return float(low), float(high)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _risk_with_bounds(
    ranking: Ranking, walk: _Walk, patients: Patients, weights: Floats, side: float
) -> tuple[float | None, float | None, float | None]:
    """R and its bounds; ``side`` is the confidence of each of the two rates."""
    first, end = int(walk.first[0]), int(walk.end[0])
    order = ranking.order
    control = ~patients.member[order]
    low, high = _phantom_bounds(
        weights[order[: first + 1][control[: first + 1]]],
        weights[order[: end + 1][control[: end + 1]]],
        weights[order[control]],
        side,
    )
    disclosed, n_train = int((~control[: end + 1]).sum()), patients.n_members
    # A weighted rate of 1 may miss 1 by rounding.
    phantom = 1.0 if walk.control[0] > 1.0 - TOLERANCE else float(walk.control[0])
    return (
        _finite(residual_risk(float(walk.train[0]), phantom)),
        _finite(residual_risk(clopper_pearson_lower(disclosed, n_train, side), high)),
        _finite(residual_risk(clopper_pearson_upper(disclosed, n_train, side), low)),
    )


def excess_disclosure(
    reaches: Mapping[str, Floats] | Sequence[Reach],
    patients: Patients,
    *,
    quantile: float,
    permutations: int,
    confidence: float,
    rng: np.random.Generator,
    curve: Sequence[float] = _CURVE,
) -> DisclosureResult:
    """Compare the disclosure rates of train and control patients in every feature space.

    Args:
        reaches: Feature spaces: by name the smallest squared distance of each patient to any
            synthetic image, float64 (patients,), or the reaches to take it from.
        patients: The numbering.
        quantile: Share of control patients within tau, above 0, at most 1. With n control
            patients it is rounded up to a multiple of 1 / n.
        permutations: Relabellings.
        confidence: Of each one-sided bound, over all spaces together.
        rng: Source of randomness.
        curve: Shares at which the curve is taken.

    Returns:
        The comparison. Without a stratum that holds train and control patients, or without a
        space, nothing is estimable and ``reason`` says so.

    Raises:
        ValueError: A share outside (0, 1], or a distance that is not a number.
    """
    shares = (quantile, *curve)
    if not all(0.0 < share <= 1.0 for share in shares):
        raise ValueError(f"Expected shares above 0 and at most 1. Got {shares!r}.")
    if not isinstance(reaches, Mapping):
        reaches = patient_distances(reaches, patients)
    part, kept = usable_only(patients)
    excluded = len(patients.member) - len(kept)
    reason = ""
    if not len(kept):
        reason = "no stratum holds train and control patients"
    elif not reaches:
        reason = "no feature space"
    if reason:
        rows = tuple(
            Disclosure(space, 0, 0, 0, 0, None, None, None, None, None, None, reason)
            for space in reaches
        )
        return DisclosureResult(rows, None, None, (), quantile, confidence, excluded, reason)

    weights = control_weights(part)
    rankings = {space: Ranking.of(np.asarray(values)[kept]) for space, values in reaches.items()}

    def statistics(labels: npt.NDArray[np.bool_]) -> Floats:
        walks = [_walk(ranking, labels, weights, quantile) for ranking in rankings.values()]
        return np.stack([walk.train - walk.control for walk in walks], axis=1)

    truth = part.member[None, :]
    blocks = [statistics(labels) for labels in relabelled(part, permutations, rng)]
    single, joint = joint_p_values(
        statistics(truth)[0], np.concatenate([np.empty((0, len(rankings))), *blocks])
    )

    # Half the error for each of the two rates; spaces share it (Bonferroni).
    alone = 1.0 - (1.0 - confidence) / 2.0
    together = 1.0 - (1.0 - confidence) / 2.0 / len(rankings)
    table, points = [], []
    for (space, ranking), p in zip(rankings.items(), single, strict=True):
        walk = _walk(ranking, truth, weights, quantile)
        risk, lower, upper = _risk_with_bounds(ranking, walk, part, weights, together)
        within = part.member[ranking.order[: int(walk.end[0]) + 1]]
        table.append(
            Disclosure(
                space,
                part.n_members,
                part.n_controls,
                int(within.sum()),
                int((~within).sum()),
                float(walk.train[0]),
                float(walk.control[0]),
                risk,
                lower,
                upper,
                float(p),
                "" if risk is not None else "every control patient is as close as tau",
            )
        )
        for share in curve:
            walk = _walk(ranking, truth, weights, share)
            points.append(
                DisclosurePoint(
                    space, share, *_risk_with_bounds(ranking, walk, part, weights, alone)
                )
            )
    worst = max(table, key=lambda row: -np.inf if row.upper is None else row.upper)
    return DisclosureResult(
        tuple(table), worst, joint, tuple(points), quantile, confidence, excluded, ""
    )
