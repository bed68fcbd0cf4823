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
from audits.outcome import percent
from audits.settings import CLEAR_SHARE, AuditSettings
from audits.statistics.intervals import holm

__all__ = ["Findings", "State", "Verdict", "decide"]


_INDISPENSABLE = ("contrast", "disclosure", "membership", "singling_out")
"""Tests without which no verdict but FAIL or INCONCLUSIVE is given.

Linkability needs patients with several images and inference needs labels: where there are none,
the question does not arise.
"""

_EXCLUDED = 0.05
"""Share of the train patients that may lie in strata without a control patient: nothing shows
what chance does to them, so no test includes them. Own choice."""


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
        upper_risk: Largest upper bound on the excess disclosure over the spaces, or None.
        learned: For each encoder trained on these images, whether its positive controls passed.
        learned_expected: Whether the settings ask for such encoders.
        excluded_train: Train patients in strata without a control patient.
        excluded_control: Control patients in strata without a train patient.
        untested_tails: Shares of the closest images that were too few to be tested.
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
    learned: Sequence[bool] = ()
    learned_expected: bool = False
    excluded_train: int = 0
    excluded_control: int = 0
    untested_tails: Sequence[float] = ()


@dataclass(frozen=True)
class Verdict:
    """The verdict.

    Attributes:
        state: FAIL, INCONCLUSIVE or NO EVIDENCE ABOVE FLOOR.
        failures: Why it fails, one sentence each.
        limits: Why it cannot conclude, one sentence each.
        statements: What was demonstrated, one sentence each.
        adjusted: Holm-adjusted p-value of each estimable test; the excess of copies is one of
            them.
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
    if _copied(findings, settings, adjusted):
        text = (
            f"{copies.train_images} synthetic images are near-copies of images of "
            f"{copies.train_patients} training patients"
        )
        if copies.control_images:
            text += (
                f", more than the {copies.control_patients} control patients hit explain "
                f"(p = {copies.excess_p:.2g})"
            )
        reasons.append(text + ".")
    questions = {
        "contrast": "Synthetic images are closer to training patients than to control patients",
        "disclosure": "More training patients than control patients have a close synthetic image",
        "membership": "Training patients can be told from control patients by the synthetic images",
        "singling_out": "Synthetic images isolate training patients more often than control "
        "patients",
        "linkability": "Synthetic images link the images of a training patient more often than "
        "those of a control patient",
        "inference": "Synthetic images reveal labels of training patients better than those of "
        "control patients",
        "white_box": "Training patients can be told from control patients by the model itself",
    }
    for name, p_value in adjusted.items():
        if name != "copies" and p_value <= settings.alpha:
            reasons.append(
                f"{questions.get(name, name)} (p = {p_value:.2g} after Holm's correction, "
                f"level {settings.alpha:g})."
            )
    return reasons


def _copied(findings: Findings, settings: AuditSettings, adjusted: Mapping[str, float]) -> bool:
    copies = findings.copies
    return copies.certain or (bool(copies.train_images) and adjusted["copies"] <= settings.alpha)


def _limits(
    findings: Findings, settings: AuditSettings, adjusted: Mapping[str, float]
) -> list[str]:
    reasons = [
        f"The setting {name} is looser than its default, so the audit may find less than it should."
        for name in settings.loosened()
    ]
    reasons += [
        f"With {settings.permutations} permutations no p-value can reach the level set by {name}, "
        "so these comparisons are silent whatever happened."
        for name in settings.unreachable(1 + len(findings.p_values), len(findings.nulls))
    ]
    compared = findings.n_control_patients - findings.excluded_control
    if not findings.n_synthetic:
        reasons.append("There are no synthetic images.")
    if not findings.n_train_patients:
        reasons.append("There are no train patients.")
    if not findings.patients_known:
        reasons.append(
            "Patient keys are missing, so images of one patient cannot be kept together and the "
            "p-values and intervals may be too optimistic."
        )
    elif compared < settings.min_control_patients:
        reasons.append(
            f"There are {compared} control patients in strata with training patients, fewer than "
            f"{settings.min_control_patients}: too few to bound the risk of a patient."
        )
    if findings.excluded_train > _EXCLUDED * findings.n_train_patients:
        reasons.append(
            f"{findings.excluded_train} of {findings.n_train_patients} training patients are in "
            "strata without a control patient, so nothing was said about them. Draw the lottery "
            "within fewer, larger strata."
        )
    if not findings.randomised_split:
        reasons.append(
            "Train and control patients were not assigned by a recorded random split, so a "
            "difference or its absence may come from how they were chosen."
        )
    if findings.duplicates_across:
        reasons.append(
            f"{findings.duplicates_across} control images are duplicates or near-duplicates of "
            "training images, so the control does not show what chance gives."
        )
    copies = findings.copies
    copied = _copied(findings, settings, adjusted)
    if copies.control_images and not copied:
        reasons.append(
            f"The copy search fired on {copies.control_images} synthetic images that resemble "
            "control patients, who cannot have been copied, so it is not specific here."
        )
    elif copies.train_images and not copied:
        reasons.append(
            f"The copy search flagged {copies.train_images} synthetic images that resemble train "
            "patients, but no more than chance may bring among so many images."
        )
    for name, p_value in findings.p_values.items():
        if p_value is None and name in _INDISPENSABLE:
            reasons.append(f"The {name} test is not estimable with these numbers.")
    if findings.learned_expected and not findings.learned:
        reasons.append(
            "There are too few real images to train an encoder on, so copies that only an encoder "
            "finds would go unnoticed."
        )
    elif findings.learned_expected and not any(findings.learned):
        reasons.append(
            "No encoder trained on these images passed its positive controls, so copies that only "
            "an encoder finds would go unnoticed."
        )
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
            f"Brute force contradicts {percent(findings.mismatch_rate, 2)} of the neighbour "
            "searches."
        )
    return reasons


def _statements(findings: Findings, settings: AuditSettings) -> list[str]:
    reasons = []
    decisive = [recall for recall in findings.recalls if recall.decisive and recall.planted]
    if decisive and findings.n_synthetic:
        floor = min(recall.lower for recall in decisive)
        reasons.append(
            f"The copy search flagged {findings.copies.train_images} of {findings.n_synthetic} "
            f"synthetic images. It finds at least {percent(floor)} of copies of each of these "
            f"kinds ({percent(settings.confidence, 0)} confidence): "
            f"{', '.join(recall.name for recall in decisive)}."
        )
    if findings.upper_risk is not None:
        reasons.append(
            f"At most {percent(findings.upper_risk)} of the "
            f"{findings.n_train_patients - findings.excluded_train} training patients compared "
            "have a synthetic image closer than chance explains (one-sided "
            f"{percent(settings.confidence, 0)} bound over all spaces; close: as near as the "
            f"nearest {percent(settings.disclosure_quantile, 0)} of the control patients)."
        )
    if findings.untested_tails:
        shares = ", ".join(f"{100 * share:.3g} %" for share in sorted(findings.untested_tails))
        reasons.append(
            f"Whether the closest synthetic images prefer training patients was not tested for the "
            f"closest {shares}: fewer than {settings.min_tail} images. So few copies are left to "
            "the copy search."
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
    # A copy beyond doubt has spent its share of alpha; the other tests divide what is left.
    left = 1.0 - CLEAR_SHARE
    estimable = {"copies": findings.copies.excess_p} | {
        name: min(1.0, p / left) for name, p in findings.p_values.items() if p is not None
    }
    adjusted = dict(zip(estimable, holm(list(estimable.values())), strict=True))
    failures = _failures(findings, settings, adjusted)
    limits = _limits(findings, settings, adjusted)
    if failures:
        state = State.FAIL
    elif limits:
        state = State.INCONCLUSIVE
    else:
        state = State.NO_EVIDENCE
    return Verdict(
        state, tuple(failures), tuple(limits), tuple(_statements(findings, settings)), adjusted
    )
