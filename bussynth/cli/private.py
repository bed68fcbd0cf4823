"""What a private training says before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from privacy.dp.rounding import rounded_up

if TYPE_CHECKING:
    from bussynth.generator.private_plan import PrivatePlan

__all__ = ["claim_words", "outcome_words", "plan_words"]


def plan_words(plan: PrivatePlan | None) -> str:
    """The plan of a private training in a paragraph; empty for any other training."""
    if plan is None:
        return ""
    steps = plan.training
    lines = [
        f"Private for every patient, with all images: epsilon {rounded_up(plan.epsilon):.3g} at "
        f"delta {rounded_up(plan.cap.delta):.3g} (add or remove one patient), spent with the "
        "first step.",
        f"  {steps.steps:,} steps; each draws a patient with a chance of {steps.sampling_rate:.3g} "
        f"(about {steps.expected_patients:g} patients, {steps.images_per_patient} images of each, "
        f"{steps.noise_multiplicity} draws of noise an image).",
        f"  Noise {steps.noise_multiplier:.4g} times the clipping norm, {plan.noise_to_signal:.2g} "
        "times the most that all patients of a step can say; counts of conditions and boxes with "
        f"a noise of {plan.counts.noise_multiplier:.3g} patients.",
    ]
    return "\n".join(["", *lines, *(f"  Beware: {one}." for one in plan.advice())])


def outcome_words(record: Mapping[str, Any]) -> str:
    """How a training ended: its time and loss, or what it has cost."""
    privacy, steps = record.get("privacy"), f"{record['steps']} steps"
    if privacy is None:
        return f"{steps} in {record['seconds']:.0f} s, loss {record['loss']:.4g}"
    return f"{steps}, {claim_words(privacy)}"


def claim_words(privacy: Mapping[str, Any]) -> str:
    """The guarantee of a record in a few words."""
    return (
        f"({rounded_up(privacy['epsilon']):.3g}, {rounded_up(privacy['delta']):.3g})-"
        "differentially private for every patient, everything in the ledger of the cohort included"
    )
