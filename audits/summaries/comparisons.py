"""The comparisons of train with control patients in words: estimate, bound, p-value, sentence."""

from __future__ import annotations

from collections.abc import Mapping

from audits.comparisons.contrast import Contrast
from audits.comparisons.disclosure import DisclosureResult
from audits.comparisons.dp_bound import EpsilonBound
from audits.comparisons.inference import Inference
from audits.comparisons.linkability import Linkability
from audits.comparisons.membership import Membership, MembershipResult
from audits.comparisons.singling_out import SinglingOut
from audits.outcome import Outcome, percent, plain
from audits.statistics.intervals import Interval

__all__ = [
    "QUESTIONS",
    "summarise_contrast",
    "summarise_disclosure",
    "summarise_epsilon",
    "summarise_inference",
    "summarise_linkability",
    "summarise_membership",
    "summarise_singling_out",
]

Counts = Mapping[str, int]

QUESTIONS: Mapping[str, str] = {
    "contrast": "Are synthetic images closer to training patients than to control patients?",
    "disclosure": "Do more training patients than chance explains have a close synthetic image?",
    "membership": "Can an attacker tell who was in train from the synthetic images?",
    "singling_out": "Does a synthetic image isolate one training patient among many?",
    "linkability": "Do two images of one training patient lead to the same synthetic image?",
    "inference": "Do synthetic images tell more about training patients than about others?",
    "white_box": "Does the model itself tell who was in train?",
    "dp_bound": "How large must the epsilon of the training be, at least?",
}
"""What each test asks, by name."""


def _outcome(
    name: str,
    n: Counts,
    alpha: float,
    *,
    p_value: float | None,
    sentence: str,
    details: Mapping[str, object],
    estimate: float | None = None,
    interval: Interval | None = None,
) -> Outcome:
    return Outcome(
        name=name,
        question=QUESTIONS[name],
        n=n,
        estimate=estimate,
        interval=interval,
        p_value=p_value,
        fired=p_value is not None and p_value <= alpha,
        sentence=sentence,
        details=details,
    )


def _not_estimable(name: str, n: Counts, reason: str, details: Mapping[str, object]) -> Outcome:
    return _outcome(
        name,
        n,
        0.0,
        p_value=None,
        sentence=f"Not estimable: {reason or 'too few images or patients'}.",
        details=details,
    )


def _joint(p_value: float) -> str:
    return f"Joint p = {p_value:.2g}."


def summarise_contrast(result: Contrast, n: Counts, alpha: float) -> Outcome:
    """Name the largest closest share and the joint p-value."""
    details = {"shares": [plain(share) for share in result.shares]}
    estimable = [share for share in result.shares if share.estimate is not None]
    if result.p_value is None or not estimable:
        return _not_estimable(
            "contrast", n, "no share of the synthetic images rests on enough patients", details
        )
    overall = next((s for s in estimable if s.tail == 1.0), None)
    top = max(estimable, key=lambda share: share.estimate or 0.0)
    which = "all" if top.tail == 1.0 else f"the closest {percent(top.tail)}"
    return _outcome(
        "contrast",
        n,
        alpha,
        estimate=overall.estimate if overall else None,
        interval=overall.interval if overall else None,
        p_value=result.p_value,
        sentence=(
            f"The largest closest share is {top.estimate:.3f} among {which} synthetic images "
            f"({top.space}); one half means no preference for training patients. "
            f"{_joint(result.p_value)}"
        ),
        details=details,
    )


def summarise_disclosure(result: DisclosureResult, n: Counts, alpha: float) -> Outcome:
    """State the excess in the space with the largest bound."""
    details = plain(result)
    worst = result.worst
    if result.p_value is None or worst is None or worst.risk is None:
        return _not_estimable("disclosure", n, result.reason, details)
    interval = None
    if worst.lower is not None and worst.upper is not None:
        interval = Interval(worst.lower, worst.upper, round(2 * result.confidence - 1, 6))
    bound = "" if worst.upper is None else f", at most {percent(worst.upper)}"
    return _outcome(
        "disclosure",
        n,
        alpha,
        estimate=worst.risk,
        interval=interval,
        p_value=result.p_value,
        sentence=(
            f"At the distance that {percent(result.quantile)} of control patients reach by chance, "
            f"{worst.disclosed_train} of {worst.n_train} training and {worst.disclosed_control} of "
            f"{worst.n_control} control patients have a close synthetic image: beyond chance "
            f"{percent(worst.risk)} of the training patients{bound} (one-sided "
            f"{percent(result.confidence, 0)} bound; space with the largest bound: "
            f"{worst.space}). {_joint(result.p_value)}"
        ),
        details=details,
    )


def _largest(rows: tuple[Membership, ...]) -> Membership | None:
    known = [row for row in rows if row.auc is not None]
    return max(known, key=lambda row: row.auc or 0.0, default=None)


def summarise_membership(
    result: MembershipResult, n: Counts, alpha: float, name: str = "membership"
) -> Outcome:
    """State the strongest score over all patients and what it recognises at few false alarms."""
    details = plain(result)
    over_all = tuple(row for row in result.rows if row.group == "all")
    attacks, everyone = len(over_all), _largest(over_all)
    if result.p_value is None or everyone is None:
        return _not_estimable(name, n, result.reason, details)
    parts = []
    for entry in everyone.recognised:
        if entry.tpr is None:
            parts.append(f"at {percent(entry.fpr)} false alarms not estimable ({entry.reason})")
        else:
            parts.append(f"{percent(entry.tpr)} at {percent(entry.fpr)} false alarms")
    return _outcome(
        name,
        n,
        alpha,
        estimate=everyone.auc,
        interval=everyone.interval,
        p_value=result.p_value,
        sentence=(
            f"The strongest of {attacks} attacks ({everyone.score}) ranks a training patient above "
            f"a control patient with probability {everyone.auc:.3f}; one half is chance, and the "
            "interval does not allow for the choice of the strongest. Training patients it "
            f"recognises: {'; '.join(parts)}. {_joint(result.p_value)}"
        ),
        details=details,
    )


def summarise_singling_out(result: SinglingOut, n: Counts, alpha: float) -> Outcome:
    """State both isolation rates where they differ most."""
    details = plain(result)
    known = [row for row in result.rows if row.train is not None and row.control is not None]
    if result.p_value is None or not known:
        return _not_estimable("singling_out", n, result.reason, details)
    row = min(known, key=lambda row: 1.0 if row.p_value is None else row.p_value)
    return _outcome(
        "singling_out",
        n,
        alpha,
        estimate=row.risk,
        p_value=result.p_value,
        sentence=(
            f"Where the difference is clearest ({row.space}), {percent(row.train)} of "
            f"{row.n_images} synthetic images isolate one of {row.n_group} training patients and "
            f"{percent(row.control)} one of {row.n_group} control patients; a guess "
            f"isolates {percent(row.baseline)}. {_joint(result.p_value)}"
        ),
        details=details,
    )


def summarise_linkability(result: Linkability, n: Counts, alpha: float) -> Outcome:
    """State both rates of linked pairs where they differ most."""
    details = plain(result)
    known = [row for row in result.rows if row.train is not None and row.control is not None]
    if result.p_value is None or not known:
        return _not_estimable("linkability", n, result.reason, details)
    row = min(known, key=lambda row: 1.0 if row.p_value is None else row.p_value)
    return _outcome(
        "linkability",
        n,
        alpha,
        estimate=row.risk,
        p_value=result.p_value,
        sentence=(
            f"Where the difference is clearest ({row.space}, {row.neighbours} neighbours), "
            f"{percent(row.train)} of the pairs of images of one training patient share a "
            f"synthetic neighbour and {percent(row.control)} of those of a control patient. "
            f"{_joint(result.p_value)}"
        ),
        details=details,
    )


def summarise_inference(result: Inference, n: Counts, alpha: float) -> Outcome:
    """State both accuracies where they differ most."""
    details = plain(result)
    known = [row for row in result.rows if row.train is not None and row.control is not None]
    if result.p_value is None or not known:
        return _not_estimable("inference", n, result.reason, details)
    row = min(known, key=lambda row: 1.0 if row.p_value is None else row.p_value)
    return _outcome(
        "inference",
        n,
        alpha,
        estimate=row.risk,
        p_value=result.p_value,
        sentence=(
            f"Where the difference is clearest ({row.attribute}, {row.space}), the nearest "
            f"synthetic images tell it right for {percent(row.train)} of training and "
            f"{percent(row.control)} of control patients. {_joint(result.p_value)}"
        ),
        details=details,
    )


def summarise_epsilon(result: EpsilonBound, n: Counts) -> Outcome:
    """State the lower bound, which can refute a claim of differential privacy and nothing else."""
    details = plain(result)
    if result.epsilon_add_remove is None:
        return _not_estimable("dp_bound", n, result.reason, details)
    return Outcome(
        name="dp_bound",
        question=QUESTIONS["dp_bound"],
        n=n,
        estimate=result.epsilon_add_remove,
        interval=None,
        p_value=None,
        fired=False,
        sentence=(
            "Any claim of differential privacy for adding or removing one patient must state an "
            f"epsilon of at least {result.epsilon_add_remove:.2f} (at delta {result.delta:g}, "
            f"{percent(result.confidence, 0)} confidence, {result.bits} pairs of patients). It "
            "is a lower bound: it can refute a claim and says nothing about safety."
        ),
        details=details,
    )
