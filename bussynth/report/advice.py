"""What to do next, one step for each condition that is not met."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["advice"]

_TRAIN_AGAIN = (
    "Do not release the images. Train again with fewer steps, more patients or stronger "
    "augmentation, or with differential privacy; generate a new set, and audit that set."
)
_LOOK = (
    "The pictures behind the findings are in report.internal.html, for the eyes of the site alone."
)
_PATIENTS = "Give the patient of every image (--patients), or audit a cohort."
_LOTTERY = (
    "Split the cohort by patient with bussynth split before training, and audit with --real, so "
    "that chance and nothing else separates training from control."
)
_DUPLICATES = (
    "Some images are in both training and control; report.internal.html shows them. If they belong "
    "to one person, give that person one key, split and train again."
)
_PLANTED = (
    "Some planted copies were not found often enough: {names}. Audit with more training images, at "
    "the full image size. If it persists, these images are too alike for the search, and the audit "
    "cannot vouch for them."
)
_TOO_FEW_PLANTED = (
    "Only {planted} copies were planted in a class. Even if all are found, that demonstrates a "
    "recall of {reached:.2f} only. Plant more (planted = 300), with enough training images."
)
_SEARCHES = (
    "No copy search passed its own controls on these images. Audit at the full image size, with "
    "more real images."
)
_LEARNED = (
    "No encoder trained on these images passed its controls. Audit with more real images, or give "
    "an encoder of your own (--encoder)."
)
_NULLS = (
    "A comparison that must show nothing did. Look for a difference between training and control "
    "other than training: device, site, period, or a sorted table."
)
_MISMATCH = (
    "Two ways of computing the same neighbours disagree. Report it to the authors of bussynth with "
    "the versions listed below; do not rely on this audit."
)
_FALSE_ALARMS = (
    "The copy search fired on control patients too. Look at the pictures in report.internal.html: "
    "are there empty frames, test images or text screens? Take them out of the cohort and split "
    "again."
)
_FEW = (
    "Some tests had too few images or patients ({names}). Generate more images, or include more "
    "patients."
)
_CHANGED = "Audit again with the default settings; a loosened line cannot end in a clean verdict."


def advice(report: Mapping[str, Any]) -> list[str]:
    """Say what to do next, from what the report holds.

    Args:
        report: Content of ``report.json``.

    Returns:
        One step a line; empty if nothing needs doing.
    """
    counts, controls, settings = report["counts"], report["controls"], report["settings"]
    failed = report["verdict"] == "FAIL"
    steps = [_TRAIN_AGAIN, _LOOK] if failed else []
    needed = settings["min_control_patients"]["value"]
    if not counts["patients_known"]:
        steps.append(_PATIENTS)
    elif counts["control_patients"] < needed:
        steps.append(
            f"Provide at least {needed} control patients: split a larger cohort, or hold out a "
            "larger share (bussynth split --control) before training."
        )
    if not counts["randomised_split"]:
        steps.append(_LOTTERY)
    duplicates = controls["duplicates"]
    if duplicates["identical"] or duplicates["near"]:
        steps.append(_DUPLICATES)
    names = [entry["name"] for entry in controls["planted"] if entry["passed"] is False]
    planted = max((entry["planted"] for entry in controls["planted"]), default=0)
    # The one-sided bound on the recall when all are found (Clopper & Pearson).
    reached = (1.0 - settings["confidence"]["value"]) ** (1.0 / planted) if planted else 0.0
    if planted and reached < settings["min_recall"]["value"]:
        steps.append(_TOO_FEW_PLANTED.format(planted=planted, reached=reached))
    else:
        if names:
            steps.append(_PLANTED.format(names=", ".join(names)))
        if report["channels"] and not any(c["admitted"] for c in report["channels"]):
            steps.append(_SEARCHES)
    learned = any(s["admitted"] for s in report["spaces"] if s["family"] == "learned")
    if settings["encoders"]["value"] and not learned:
        steps.append(_LEARNED)
    if any(null["fired"] for null in controls["null"]):
        steps.append(_NULLS)
    if controls["self_check"]["mismatch_rate"]:
        steps.append(_MISMATCH)
    copies = next((test for test in report["tests"] if test["name"] == "copies"), None)
    if copies and copies["details"].get("control_images") and not copies["fired"]:
        steps.append(_FALSE_ALARMS)
    missing = [t["name"].replace("_", " ") for t in report["tests"] if t["estimate"] is None]
    if missing:
        steps.append(_FEW.format(names=", ".join(missing)))
    if any("looser than its default" in reason for reason in report["limits"]):
        steps.append(_CHANGED)
    return steps
