"""What the report says in words: to a privacy officer, not to a statistician.

No sentence claims more than the audit can carry. In particular none says what the law calls the
data; that is decided by people, with this report as one piece of evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["QUESTIONS", "VERDICTS", "VerdictText", "advice", "limits"]


@dataclass(frozen=True, kw_only=True)
class VerdictText:
    """Words for one verdict.

    Attributes:
        style: Name of its style in the page.
        headline: The verdict in one line.
        meaning: What it means.
        not_meaning: What it does not mean.
    """

    style: str
    headline: str
    meaning: str
    not_meaning: str


VERDICTS: Mapping[str, VerdictText] = {
    "FAIL": VerdictText(
        style="fail",
        headline="These images must not leave the site.",
        meaning=(
            "The audit found traces of training patients in the synthetic images: more than "
            "chance explains. The likeliest reason is that the generator has memorised some of "
            "what it was shown; if limits are listed below, train and control patients may also "
            "differ for other reasons. bussynth refuses to export these images."
        ),
        not_meaning=(
            "It does not mean that somebody has recognised a patient, nor that the method is "
            "unusable. It means that this set of images carries patient-specific information. "
            "Deleting only the flagged images is no remedy: the search finds the plainest copies "
            "first, and the gap that is left points at the patients removed."
        ),
    ),
    "INCONCLUSIVE": VerdictText(
        style="open",
        headline="The audit cannot tell. This is not a pass.",
        meaning=(
            "Nothing was found that proves leakage, but at least one condition that would make "
            "this silence trustworthy is not met. An instrument that was not shown to work says "
            "nothing by staying silent. The reasons and the remedies are listed below."
        ),
        not_meaning=(
            "It does not mean that the images are safe, and it does not mean that they are unsafe. "
            "Releasing them would be a decision without evidence."
        ),
    ),
    "NO EVIDENCE ABOVE FLOOR": VerdictText(
        style="clear",
        headline="No evidence of leakage above the demonstrated detection floor.",
        meaning=(
            "The audit searched the synthetic images for copies of training patients and compared "
            "training patients with patients the generator never saw. It found no difference that "
            "chance does not explain. It also showed that it can find what it looks for: copies "
            "planted on purpose were found at the rates given below. That rate is the floor."
        ),
        not_meaning=(
            "It does not prove that no patient can ever be recognised. Leakage weaker than the "
            "floor, or of a kind that was not planted, was not excluded. Whether the images may "
            "be shared, with whom and on what terms remains a decision of the institution, for "
            "this set of images, to be revisited when attacks improve."
        ),
    ),
}

QUESTIONS: Mapping[str, tuple[str, str]] = {
    "identity": (
        "Is a synthetic image the same picture as a real one?",
        "Every synthetic image, also mirrored and turned, is compared pixel by pixel with every "
        "real image.",
    ),
    "copies": (
        "Is a synthetic image a near-copy of one patient's image?",
        "A near-copy is much closer to one patient than to any other patient, even after small "
        "shifts, zooms and mirroring. Control patients, whom the generator never saw, show how "
        "often that happens without any copying.",
    ),
    "contrast": (
        "Are the synthetic images closer to training patients than to control patients?",
        "If nothing was memorised, a synthetic image is as likely to be nearest to a control "
        "patient as to a training patient: a share of one half, after allowing for the numbers "
        "of patients. A share above one half points to memory. The closest images are looked at "
        "separately, because a few copies vanish in an average.",
    ),
    "disclosure": (
        "Does the synthetic set come close to more training patients than control patients?",
        "For each patient it is asked whether any synthetic image comes unusually close. This "
        "happens by chance to control patients too; only the excess among training patients "
        "counts.",
    ),
}
"""Question in plain words and how it is answered, by name of the test."""

_CANNOT_SHOW: tuple[str, ...] = (
    "It examines the images, not the generator. If the model itself is to be shared, other attacks "
    "apply and this audit does not cover them.",
    "It says nothing of what the conditions, file names or accompanying texts may reveal.",
    "It gives no formal guarantee. Only training with differential privacy can bound what an "
    "attacker with unlimited knowledge may learn.",
    "It assumes that the train images are those the generator learned from, and that one person "
    "does not appear under two keys.",
    "It cannot see what was done to the images before. If images too close to training patients "
    "were removed, the rest looks clean, yet the gap points at those patients; whoever does so "
    "must say so.",
    "It is valid for exactly this set of images. Other images of the same generator, and the same "
    "images after some were removed, need an audit of their own; repeated audits against the same "
    "control patients weaken each other.",
)
"""Limits that no result changes."""

_MOSTLY_MISSED = 0.5


def limits(report: Mapping[str, Any]) -> list[str]:
    """Say what the audit cannot show: what this run would have missed, then what any run would.

    Args:
        report: Content of ``report.json``.
    """
    missed = [
        f"{entry['name']} ({100 * entry['recall']:.0f} % found)"
        for entry in report["controls"]["planted"]
        if entry["planted"] and entry["recall"] < _MOSTLY_MISSED
    ]
    first = (
        "It finds copies of the kinds that were planted, down to the severity shown. A copy "
        "altered in another way (a lesion pasted into another breast, a re-drawn image) may go "
        "unnoticed."
    )
    if missed:
        first += f" In this run, most copies altered so were missed: {', '.join(missed)}."
    return [first, *_CANNOT_SHOW]


def advice(report: Mapping[str, Any]) -> list[str]:
    """Say what to do next, from what the report holds.

    Args:
        report: Content of ``report.json``.

    Returns:
        One step a line; empty if nothing needs doing.
    """
    steps = []
    if report["verdict"] == "FAIL":
        steps.append(
            "Do not release the images. Train again with fewer steps, more patients or stronger "
            "augmentation, generate a new set, and audit that set."
        )
        steps.append(
            "If copies were found, the row numbers of the pairs are in private.json, for the eyes "
            "of the site alone."
        )
    counts, controls, settings = report["counts"], report["controls"], report["settings"]
    needed = settings["min_control_patients"]["value"]
    if not counts["patients_known"]:
        steps.append("Give the patient of every image (--patients), or audit a cohort.")
    elif counts["control_patients"] < needed:
        steps.append(
            f"Provide at least {needed} control patients: split a larger cohort, or hold out a "
            "larger share (bussynth split --control) before training."
        )
    if not counts["randomised_split"]:
        steps.append(
            "Split the cohort by patient with bussynth split before training, and audit with "
            "--real, so that chance and nothing else separates train from control."
        )
    duplicates = controls["duplicates"]
    if duplicates["identical"] or duplicates["near"]:
        steps.append(
            "Find the images that are in both train and control (rows in private.json). If they "
            "belong to one person, give that person one key, split and train again."
        )
    if any(recall["passed"] is False for recall in controls["planted"]):
        steps.append(
            "Some planted copies were not found often enough. Audit with more train images, at the "
            "full image size; if it persists, the images are too alike for this search and the "
            "audit cannot protect these patients."
        )
    if any(null["fired"] for null in controls["null"]):
        steps.append(
            "A comparison that must show nothing did. Look for a difference between train and "
            "control other than training: device, site, period, or a sorted table."
        )
    if any(test["estimate"] is None for test in report["tests"]):
        steps.append("Some tests had too few images or patients; generate or include more.")
    return steps
