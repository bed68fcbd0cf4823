"""Each test's numbers turned into a result with a plain sentence."""

from __future__ import annotations

from collections.abc import Mapping

from audits.comparisons.contrast import Contrast
from audits.comparisons.disclosure import Disclosure
from audits.copies.findings import CopyFindings, Thresholds
from audits.copies.framings import SCALES
from audits.copies.identity import IdentityHit
from audits.outcome import Outcome, plain
from audits.settings import AuditSettings
from audits.statistics.intervals import Interval, clopper_pearson

__all__ = ["summarise_contrast", "summarise_copies", "summarise_disclosure", "summarise_identity"]

Counts = Mapping[str, int]


def summarise_identity(
    to_train: tuple[IdentityHit, ...], to_control: tuple[IdentityHit, ...], n: Counts
) -> Outcome:
    """Count synthetic images equal to a real image."""
    identical = {hit.query for hit in (*to_train, *to_control)}
    total = n["synthetic"]
    return Outcome(
        name="identity",
        question="Does a synthetic image equal a real image, up to mirroring and quarter turns?",
        n=n,
        estimate=len(identical) / total if total else None,
        interval=None,
        p_value=None,
        fired=bool(identical),
        sentence=(
            f"{len(to_train)} of {total} synthetic images equal a train image and "
            f"{len(to_control)} equal a control image."
        ),
        details={
            "images": len(identical),
            "equal_to_train": len(to_train),
            "equal_to_control": len(to_control),
        },
    )


def summarise_contrast(result: Contrast, n: Counts, alpha: float) -> Outcome:
    """Name the largest closest share and the joint p-value."""
    estimable = [share for share in result.shares if share.estimate is not None]
    overall = next((s for s in estimable if s.tail == 1.0), None)
    fired = result.p_value is not None and result.p_value <= alpha
    if result.p_value is None:
        sentence = "Not estimable: no share of the synthetic images rests on enough patients."
    else:
        top = max(estimable, key=lambda share: share.estimate or 0.0)
        which = "all" if top.tail == 1.0 else f"the closest {top.tail:.1%}"
        sentence = (
            f"The largest closest share is {top.estimate:.3f} among {which} synthetic images "
            f"({top.space}); one half means no preference for train patients. "
            f"Joint p = {result.p_value:.2g}."
        )
    return Outcome(
        name="contrast",
        question="Are synthetic images closer to train patients than to control patients?",
        n=n,
        estimate=overall.estimate if overall else None,
        interval=overall.interval if overall else None,
        p_value=result.p_value,
        fired=fired,
        sentence=sentence,
        details={"shares": [plain(share) for share in result.shares]},
    )


def summarise_disclosure(result: Disclosure | None, n: Counts, alpha: float) -> Outcome:
    """State both rates and the bound on the excess."""
    question = "Do more train patients than control patients have a close synthetic image?"
    if result is None:
        return Outcome(
            name="disclosure",
            question=question,
            n=n,
            estimate=None,
            interval=None,
            p_value=None,
            fired=False,
            sentence="Not estimable: it needs synthetic images, train and control patients.",
        )
    return Outcome(
        name="disclosure",
        question=question,
        n=n,
        estimate=result.risk,
        interval=Interval(result.lower, result.upper, round(2 * result.confidence - 1, 6)),
        p_value=result.p_value,
        fired=result.p_value <= alpha,
        sentence=(
            f"{result.disclosed_train} of {result.n_train} train patients and "
            f"{result.disclosed_control} of {result.n_control} control patients are within the "
            "distance that a declared share of all reaches: excess disclosure "
            f"{result.risk:.3f}, at most {result.upper:.3f} (one-sided "
            f"{result.confidence:.0%} bound)."
        ),
        details=plain(result),
    )


def summarise_copies(
    findings: CopyFindings, thresholds: Thresholds, n: Counts, settings: AuditSettings
) -> Outcome:
    """State copies, false alarms and what the threshold does to control images."""
    k, total = findings.train_images, findings.n_images
    return Outcome(
        name="copies",
        question="Is a synthetic image a near-copy of a train image?",
        n=n,
        estimate=k / total if total else None,
        interval=clopper_pearson(k, total, settings.confidence) if total else None,
        p_value=None,
        fired=findings.above_control(settings.alpha),
        sentence=(
            f"{k} of {total} synthetic images are near-copies of images of "
            f"{findings.train_patients} train patients; {findings.control_images} meet the same "
            f"criterion for control patients. Of {thresholds.control_images} control images "
            f"posing as synthetic, the declared threshold flagged {thresholds.control_fired}."
        ),
        details={**plain(findings), "thresholds": plain(thresholds), "scales": list(SCALES)},
    )
