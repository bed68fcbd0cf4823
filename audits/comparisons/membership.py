"""Membership inference: can an attacker tell from a score who was in train?

The attacker holds a patient's images and the synthetic images, and gives every patient a score,
large for "was in train". Reported are the AUC and, because an average hides the few patients who
are betrayed (Carlini et al., IEEE S&P 2022), the share of train patients recognised (TPR) while
few control patients are falsely accused (FPR 10 %, 1 %, 0.1 %). A share that the number of
control patients cannot resolve is "not estimable". The same for difficult groups of patients.
No precision (PPV) is given: it would depend on a prevalence that only the attacker knows.

The threshold is taken from control scores: as many train patients as possible are accused while
at most a share FPR of control patients is; ties go free. With n control patients, j of whom may
score above, the FPR of that threshold among new patients follows Beta(j + 1, n - j) or lies
below it: ``fpr_interval``. Given the threshold, the TPR has a Clopper-Pearson interval.

Strata. Control patients weigh train patients / control patients of their stratum, as in
:mod:`audits.comparisons.disclosure`, so that strata drawn unevenly do not pass for membership. In
the intervals n becomes Kish's effective number, (sum w)^2 / sum w^2: approximate then, exact for
equal weights.

Why the p-value is exact: scores and groups are blind to labels, patients are relabelled within
strata, and AUC and TPR are computed anew, threshold included. One p-value covers AUC and TPR at
FPR 10 % of all scores and groups by the largest standardised one (Westfall & Young 1993). Which
groups take part is decided by their size, not by labels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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
from audits.images import Patients
from audits.statistics.intervals import Interval, clopper_pearson

__all__ = ["Membership", "MembershipResult", "Recognised", "auc_interval", "membership"]

_TEST_FPR = 0.1
_MIN_CONTROL = {0.1: 100, 0.01: 1000, 0.001: 20_000}
_MIN_GROUP = 20

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Recognised:
    """Train patients recognised at one rate of false accusations.

    Attributes:
        fpr: Share of control patients that may be accused.
        tpr: Share of train patients accused, or None.
        interval: Clopper-Pearson interval of ``tpr`` at this threshold, or None.
        fpr_interval: Where the true FPR of this threshold lies, or None.
        reason: Why it is not estimable; empty otherwise.
    """

    fpr: float
    tpr: float | None
    interval: Interval | None
    fpr_interval: Interval | None
    reason: str


@dataclass(frozen=True)
class Membership:
    """What one score reveals about one group of patients.

    Attributes:
        score: Name of the score.
        group: Name of the group; "all" for everyone.
        n_train: Train patients.
        n_control: Control patients.
        auc: Chance that a train patient scores above a control patient, ties counted half;
            None when not estimable.
        interval: See :func:`auc_interval`; or None.
        p_value: One-sided permutation p-value of the AUC alone, or None.
        p_value_tpr: The same of the TPR at FPR 10 %.
        recognised: One entry for each FPR.
        reason: Why nothing is estimable; empty otherwise.
    """

    score: str
    group: str
    n_train: int
    n_control: int
    auc: float | None
    interval: Interval | None
    p_value: float | None
    p_value_tpr: float | None
    recognised: tuple[Recognised, ...]
    reason: str


@dataclass(frozen=True)
class MembershipResult:
    """Membership inference by all scores in all groups.

    Attributes:
        rows: One entry a score and group, groups within scores, "all" first.
        p_value: Joint one-sided permutation p-value, or None when nothing is estimable.
        excluded_patients: Patients of strata without train or without control patients.
        confidence: Of the intervals.
        reason: Why nothing is estimable; empty otherwise.
    """

    rows: tuple[Membership, ...]
    p_value: float | None
    excluded_patients: int
    confidence: float
    reason: str


def _accused(cumulated: Floats, ranking: Ranking, fpr: float) -> npt.NDArray[np.int64]:
    """How many patients, most suspicious first, are accused in each labelling."""
    ends = np.unique(ranking.end)
    allowed = (fpr + TOLERANCE) * cumulated[:, -1:]
    accused: npt.NDArray[np.int64] = np.r_[0, ends + 1][(cumulated[:, ends] <= allowed).sum(axis=1)]
    return accused


def _statistics(ranking: Ranking, labels: Labels, weights: Floats) -> Floats:
    """AUC and TPR at FPR 10 % of each labelling: float64 (labellings, 2).

    A labelling without train or without control patients gets 1/2 and 0.
    """
    members = labels[:, ranking.order]
    n_train = members.sum(axis=1)
    control = np.where(members, 0.0, weights[ranking.order])
    above = np.cumsum(control, axis=1)
    total = above[:, -1]
    # Control weight above a train patient, ties counted half.
    half = above
    if ranking.tied:
        before = above[:, ranking.start] - control[:, ranking.start]
        half = 0.5 * (before + above[:, ranking.end])
    accused = _accused(above, ranking, _TEST_FPR)
    positions = np.arange(members.shape[1])
    reached = (members & (positions < accused[:, None])).sum(axis=1)
    possible = (n_train > 0) & (total > 0)
    pairs = np.where(possible, n_train * total, 1.0)
    auc = 1.0 - np.where(members, half, 0.0).sum(axis=1) / pairs
    return np.stack(
        [
            np.where(possible, auc, 0.5),
            np.where(possible, reached / np.maximum(n_train, 1), 0.0),
        ],
        axis=1,
    )


def _effective(weights: Floats) -> float:
    """Kish's effective number; rounded so that equal weights give a whole number."""
    return round(float(weights.sum() ** 2 / np.square(weights).sum()), 6)


def _delong(ranking: Ranking, members: Labels, weights: Floats, auc: float) -> float:
    """Variance of the AUC by its structural components, with weighted control patients."""
    mine = members[ranking.order]
    control = np.where(mine, 0.0, weights[ranking.order])
    above = np.cumsum(control)
    half = 0.5 * (above[ranking.start] - control[ranking.start] + above[ranking.end])
    of_train = 1.0 - half[mine] / above[-1]
    counts = np.cumsum(mine)
    half = 0.5 * (counts[ranking.start] - mine[ranking.start] + counts[ranking.end])
    of_control = half[~mine] / mine.sum()
    share = control[~mine] / above[-1]
    m, n = len(of_train), len(of_control)
    if min(m, n) < 2:
        return 0.0
    spread = float(np.square(share * (of_control - auc)).sum()) * n / (n - 1)
    return float(of_train.var(ddof=1)) / m + spread


def auc_interval(
    auc: float, variance: float, trains: float, controls: float, confidence: float
) -> Interval:
    """Score interval of an AUC that does not collapse at 0 or 1.

    Newcombe's method 5: all a for which |auc - a| <= z sqrt(V(a)), V being Hanley & McNeil's
    variance. V is scaled up where DeLong's variance, free of their assumption, is larger.

    Args:
        auc: 0 to 1.
        variance: DeLong's variance at ``auc``.
        trains: Number of train patients.
        controls: (Effective) number of control patients.
        confidence: Nominal coverage.

    Returns:
        The interval.

    References:
        Newcombe, Stat Med 25 (2006) 559; DeLong et al., Biometrics 44 (1988) 837.
    """
    from scipy.special import ndtri

    def spread(a: float) -> float:
        half = (trains + controls) / 2.0 - 1.0
        shape = 1.0 + half * ((1.0 - a) / (2.0 - a) + a / (1.0 + a))
        return a * (1.0 - a) * shape / (trains * controls)

    here = spread(auc)
    scale = max(1.0, variance / here) if here > 0.0 else 1.0
    z = float(ndtri(0.5 + confidence / 2.0))

    def edge(far: float) -> float:
        near = auc
        for _ in range(60):
            middle = (near + far) / 2.0
            if (middle - auc) ** 2 <= z * z * scale * spread(middle):
                near = middle
            else:
                far = middle
        return far

    return Interval(edge(0.0), edge(1.0), confidence)


def _recognised(
    ranking: Ranking,
    members: Labels,
    weights: Floats,
    needed: Mapping[float, int],
    confidence: float,
) -> tuple[Recognised, ...]:
    """TPR at each FPR, or why the control patients do not suffice."""
    from scipy.special import betaincinv

    mine = members[ranking.order]
    above = np.cumsum(np.where(mine, 0.0, weights[ranking.order]))
    number = _effective(weights[~members])
    side = (1.0 - confidence) / 2.0
    rows = []
    for fpr, least in needed.items():
        if number < least:
            reason = f"{number:.0f} control patients, at least {least} needed"
            rows.append(Recognised(fpr, None, None, None, reason))
            continue
        accused = int(_accused(above[None, :], ranking, fpr)[0])
        reached, trains = int(mine[:accused].sum()), int(mine.sum())
        free = math.floor((fpr + TOLERANCE) * number)
        low, high = (betaincinv(free + 1.0, number - free, p) for p in (side, 1.0 - side))
        rows.append(
            Recognised(
                fpr,
                reached / trains,
                clopper_pearson(reached, trains, confidence),
                Interval(float(low), float(high), confidence),
                "",
            )
        )
    return tuple(rows)


@dataclass(frozen=True, eq=False)
class _Cell:
    """One score in one group, prepared for many labellings."""

    score: str
    group: str
    inside: npt.NDArray[np.int64]
    ranking: Ranking


def _cells(
    scores: Mapping[str, Floats], groups: Mapping[str, Labels], kept: npt.NDArray[np.int64]
) -> list[_Cell]:
    return [
        _Cell(score, group, inside, Ranking.of(-np.asarray(values, np.float64)[kept][inside]))
        for score, values in scores.items()
        for group, chosen in groups.items()
        for inside in [np.flatnonzero(np.asarray(chosen)[kept])]
    ]


def membership(
    scores: Mapping[str, Floats],
    patients: Patients,
    *,
    permutations: int,
    confidence: float,
    rng: np.random.Generator,
    groups: Mapping[str, Labels] | None = None,
    min_control: Mapping[float, int] | None = None,
    min_group: int = _MIN_GROUP,
) -> MembershipResult:
    """Measure and test how well scores tell train from control patients.

    Args:
        scores: By name, float64 (patients,), large for train, finite, blind to labels.
        patients: The numbering.
        permutations: Relabellings.
        confidence: Of the intervals.
        rng: Source of randomness.
        groups: By name, bool (patients,): difficult groups, blind to labels.
        min_control: Control patients needed for each FPR; by default 100 for 10 %, 1,000 for 1 %
            and 20,000 for 0.1 %.
        min_group: Patients a group must hold to be looked at.

    Returns:
        The result. Patients of strata with one side only are left out.

    Raises:
        ValueError: Scores that are not finite, or of another length than patients.
    """
    count = len(patients.member)
    for name, values in scores.items():
        if np.shape(values) != (count,) or not np.isfinite(values).all():
            raise ValueError(f"Expected {count} finite scores {name!r}.")
    needed = _MIN_CONTROL if min_control is None else min_control
    everyone = {"all": np.ones(count, np.bool_), **(groups or {})}
    part, kept = usable_only(patients)
    excluded = count - len(kept)
    cells = _cells(scores, everyone, kept)
    reason = ""
    if not len(kept):
        reason = "no stratum holds train and control patients"
    elif not scores:
        reason = "no score"

    tested = [
        c for c in cells if len(c.inside) and (c.group == "all" or len(c.inside) >= min_group)
    ]
    weights = control_weights(part) if len(kept) else np.empty(0)

    def statistics(labels: Labels) -> Floats:
        return np.concatenate(
            [_statistics(c.ranking, labels[:, c.inside], weights[c.inside]) for c in tested],
            axis=1,
        )

    singles: dict[tuple[str, str], tuple[float, float]] = {}
    joint = None
    if tested:
        observed = statistics(part.member[None, :])[0]
        blocks = [statistics(labels) for labels in relabelled(part, permutations, rng)]
        empty = np.empty((0, len(observed)))
        single, joint = joint_p_values(observed, np.concatenate([empty, *blocks]))
        for number, cell in enumerate(tested):
            singles[cell.score, cell.group] = (
                float(single[2 * number]),
                float(single[2 * number + 1]),
            )

    rows = []
    for cell in cells:
        members = part.member[cell.inside]
        trains, controls = int(members.sum()), int((~members).sum())
        why = reason
        if not why and (cell.score, cell.group) not in singles:
            why = f"{len(cell.inside)} patients, fewer than {min_group}"
        elif not why and not (trains and controls):
            why = "train or control patients are missing"
        if why:
            rows.append(
                Membership(
                    cell.score, cell.group, trains, controls, None, None, None, None, (), why
                )
            )
            continue
        own = weights[cell.inside]
        auc = float(_statistics(cell.ranking, members[None, :], own)[0, 0])
        variance = _delong(cell.ranking, members, own, auc)
        rows.append(
            Membership(
                cell.score,
                cell.group,
                trains,
                controls,
                auc,
                auc_interval(auc, variance, trains, _effective(own[~members]), confidence),
                *singles[cell.score, cell.group],
                _recognised(cell.ranking, members, own, needed, confidence),
                "",
            )
        )
    return MembershipResult(tuple(rows), joint, excluded, confidence, reason)
