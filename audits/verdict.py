"""From findings to one of three verdicts, every reason in a plain sentence.

FAIL beats INCONCLUSIVE: evidence of a copy does not go away because a control was weak. Without
evidence, any weakness makes the audit INCONCLUSIVE: a search that was not shown to find copies
says nothing by finding none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from audits.controls.nulls import NullComparison
from audits.controls.recall import ClassRecall
from audits.copies.findings import CopyFindings
from audits.settings import AuditSettings
from audits.statistics.intervals import holm

__all__ = ["Findings", "State", "Verdict", "decide"]


class State(StrEnum):
    """The three verdicts."""

    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    NO_EVIDENCE = "NO EVIDENCE ABOVE FLOOR"


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that decides the verdict.

    Attributes:
        n_synthetic: Synthetic images.
        n_train_patients: Train patients.
        n_control_patients: Control patients.
        patients_known: Whether patient keys were given.
        randomised_split: Whether patients were assigned by a recorded coin-flip.
        identical: Synthetic images equal to a real image.
        copies: Result of the copy search.
        p_values: Raw p-value of each test that can fail the audit, None when not estimable.
        duplicates_across: Control images with a duplicate in train.
        recalls: Recall of planted copies.
        nulls: Null comparisons.
        mismatch_rate: Share of searches that brute force contradicts.
        upper_risk: Upper bound on the excess disclosure, or None.
    """

    n_synthetic: int
    n_train_patients: int
    n_control_patients: int
    patients_known: bool
    randomised_split: bool
    identical: int
    copies: CopyFindings
    p_values: Mapping[str, float | None]
    duplicates_across: int
    recalls: Sequence[ClassRecall]
    nulls: Sequence[NullComparison]
    mismatch_rate: float
    upper_risk: float | None


@dataclass(frozen=True)
class Verdict:
    """The verdict.

    Attributes:
        state: FAIL, INCONCLUSIVE or NO EVIDENCE ABOVE FLOOR.
        failures: Why it fails, one sentence each.
        limits: Why it cannot conclude, one sentence each.
        statements: What was demonstrated, one sentence each.
        adjusted: Holm-adjusted p-value of each estimable test.
    """

    state: State
    failures: tuple[str, ...]
    limits: tuple[str, ...]
    statements: tuple[str, ...]
    adjusted: Mapping[str, float]

    @property
    def reasons(self) -> tuple[str, ...]:
        """All sentences, gravest first."""
        return (*self.failures, *self.limits, *self.statements)


def _failures(
    findings: Findings, settings: AuditSettings, adjusted: Mapping[str, float]
) -> list[str]:
    reasons = []
    if findings.identical:
        reasons.append(
            f"{findings.identical} synthetic images equal a real image pixel by pixel, "
            "up to mirroring and quarter turns."
        )
    copies = findings.copies
    if copies.above_control(settings.alpha):
        text = (
            f"{copies.train_images} synthetic images are near-copies of images of "
            f"{copies.train_patients} train patients"
        )
        if copies.control_images:
            text += (
                f", more than the {copies.control_patients} control patients hit explain "
                f"(p = {copies.excess_p:.2g})"
            )
        reasons.append(text + ".")
    questions = {
        "contrast": "Synthetic images are closer to train patients than to control patients",
        "disclosure": "More train patients than control patients have a close synthetic image",
    }
    for name, p_value in adjusted.items():
        if p_value <= settings.alpha:
            reasons.append(
                f"{questions.get(name, name)} (p = {p_value:.2g} after Holm's correction, "
                f"level {settings.alpha:g})."
            )
    return reasons


def _limits(findings: Findings, settings: AuditSettings) -> list[str]:
    reasons = [
        f"The setting {name} is below its default, so the audit finds less than it should."
        for name in settings.loosened()
    ]
    reasons += [
        f"With {settings.permutations} permutations no p-value can reach the level set by {name}, "
        "so these comparisons are silent whatever happened."
        for name in settings.unreachable(len(findings.p_values), len(findings.nulls))
    ]
    if not findings.n_synthetic:
        reasons.append("There are no synthetic images.")
    if not findings.n_train_patients:
        reasons.append("There are no train patients.")
    if not findings.patients_known:
        reasons.append(
            "Patient keys are missing, so images of one patient cannot be kept together and the "
            "p-values and intervals may be too optimistic."
        )
    elif findings.n_control_patients < settings.min_control_patients:
        reasons.append(
            f"There are {findings.n_control_patients} control patients, fewer than "
            f"{settings.min_control_patients}: too few to bound the risk of a patient."
        )
    if not findings.randomised_split:
        reasons.append(
            "Train and control patients were not assigned by a recorded random split, so a "
            "difference or its absence may come from how they were chosen."
        )
    if findings.duplicates_across:
        reasons.append(
            f"{findings.duplicates_across} control images are duplicates or near-duplicates of "
            "train images, so the control does not show what chance gives."
        )
    copies = findings.copies
    if copies.control_images and not copies.above_control(settings.alpha):
        reasons.append(
            f"The copy search fired on {copies.control_images} synthetic images that resemble "
            "control patients, who cannot have been copied, so it is not specific here."
        )
    elif copies.train_images and not copies.above_control(settings.alpha):
        reasons.append(
            f"The copy search flagged {copies.train_images} synthetic images that resemble train "
            "patients, but only just, at a threshold that control images came near."
        )
    for name, p_value in findings.p_values.items():
        if p_value is None:
            reasons.append(f"The {name} test is not estimable with these numbers.")
    for recall in findings.recalls:
        if recall.passed is False:
            reasons.append(
                f"Positive control '{recall.name}': {recall.found} of {recall.planted} planted "
                f"copies were found, which demonstrates a recall of {recall.lower:.3f} only; "
                f"{settings.min_recall:g} is required."
            )
    for null in findings.nulls:
        if null.fired:
            reasons.append(
                f"Null comparison '{null.name}' fired (p = {null.p_value:.2g}): train and "
                "control differ for reasons other than leakage, or the test is at fault."
            )
    if findings.mismatch_rate > 0:
        reasons.append(
            f"Brute force contradicts {findings.mismatch_rate:.2%} of the neighbour searches."
        )
    return reasons


def _statements(findings: Findings, settings: AuditSettings) -> list[str]:
    reasons = []
    decisive = [recall for recall in findings.recalls if recall.decisive and recall.planted]
    if decisive and findings.n_synthetic:
        floor = min(recall.lower for recall in decisive)
        reasons.append(
            f"The copy search flagged {findings.copies.train_images} of {findings.n_synthetic} "
            f"synthetic images at a demonstrated recall of at least {floor:.3f} for "
            f"{', '.join(recall.name for recall in decisive)}."
        )
    if findings.upper_risk is not None:
        reasons.append(
            f"At the distance that the closest {settings.disclosure_quantile:.3g} of all patients "
            f"reach, the excess disclosure of train patients is at most {findings.upper_risk:.1%} "
            "(one-sided bound). The share reached is fixed, so the bound compares train with "
            "control patients and is no limit on how many patients resemble a synthetic image."
        )
    return reasons


def decide(findings: Findings, settings: AuditSettings) -> Verdict:
    """Apply the rules.

    Args:
        findings: Results of all tests and controls.
        settings: The audit's settings.

    Returns:
        The verdict with every reason that applies, also those that another one outranks.
    """
    estimable = {name: p for name, p in findings.p_values.items() if p is not None}
    adjusted = dict(zip(estimable, holm(list(estimable.values())), strict=True))
    failures = _failures(findings, settings, adjusted)
    limits = _limits(findings, settings)
    if failures:
        state = State.FAIL
    elif limits:
        state = State.INCONCLUSIVE
    else:
        state = State.NO_EVIDENCE
    return Verdict(
        state, tuple(failures), tuple(limits), tuple(_statements(findings, settings)), adjusted
    )
