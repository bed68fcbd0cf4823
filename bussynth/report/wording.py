"""What the report says in words: to a privacy officer, not to a statistician.

No sentence claims more than the audit can carry. In particular none says what the law calls the
data; that is decided by people, with this report as one piece of evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["VERDICTS", "VerdictText", "limits"]


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
            "what it was shown. bussynth refuses to export these images."
        ),
        not_meaning=(
            "It does not mean that somebody has recognised a patient, nor that the method is "
            "unusable. Deleting only the flagged images is no remedy: the search finds the "
            "plainest copies first, and the gap that is left points at the patients removed."
        ),
    ),
    "INCONCLUSIVE": VerdictText(
        style="open",
        headline="The audit cannot tell. This is not a pass.",
        meaning=(
            "Nothing was found that proves leakage, but at least one condition that would make "
            "this silence trustworthy is not met. An instrument that was not shown to work says "
            "nothing by staying silent."
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
            "The audit searched for copies of training patients and compared training patients "
            "with patients the generator never saw. It found no difference that remains after "
            "allowing for the number of tests. It also showed that it can find what it looks for: "
            "planted copies altered lightly were found almost always. The more they are altered, "
            "the fewer are found; where detection ends is the floor. Kinds that were mostly missed "
            "are listed under “What this audit cannot show”."
        ),
        not_meaning=(
            "It does not prove that no patient can ever be recognised. Leakage weaker than the "
            "floor, or of a kind that was not planted, was not excluded. Whether the images may "
            "be shared, with whom and on what terms remains a decision of the institution."
        ),
    ),
}

_CANNOT_SHOW: tuple[str, ...] = (
    "It says nothing of what the conditions, file names or accompanying texts may reveal.",
    "It gives no formal guarantee. Only training with differential privacy can bound what an "
    "attacker with unlimited knowledge may learn.",
    "It assumes that the training images are those the generator learned from, and that one person "
    "does not appear under two keys.",
    "It cannot see what was done to the images before. If images too close to training patients "
    "were removed, the rest looks clean, yet the gap points at those patients; whoever does so "
    "must say so.",
    "It is valid for exactly this set of images. Other images of the same generator, and the same "
    "images after some were removed, need an audit of their own.",
    "Repeated audits against the same control patients weaken each other. Only runs that are in "
    "the ledger are counted.",
    "Attacks improve. A result of today should be looked at again when better ones are known.",
)
"""Limits that no result changes."""

_MODEL = (
    "It examines the images, not the generator. If the model itself is to be shared, other attacks "
    "apply and this audit does not cover them."
)
_MODEL_RELEASED = (
    "It attacks the model in one way only, by its own errors. Stronger attacks on models exist."
)

_MOSTLY_MISSED = 0.5
_TURNED = "upside down"


def limits(report: Mapping[str, Any]) -> list[str]:
    """Say what the audit cannot show: what this run would have missed, then what any run would.

    Args:
        report: Content of ``report.json``.
    """
    planted = report["controls"]["planted"]
    missed = [
        f"{entry['name']} ({100 * entry['recall']:.0f}\N{NO-BREAK SPACE}% found{_caught(entry)})"
        for entry in planted
        if entry["planted"] and entry["recall"] < _MOSTLY_MISSED
    ]
    untried = sorted({entry["family"] for entry in planted if not entry["planted"]})
    found = [
        "It finds copies of the kinds that were planted, down to the severity shown. A copy "
        "altered in another way may go unnoticed."
    ]
    if missed:
        found.append(
            "In this run, most copies altered so were missed by the near-copy search: "
            f"{', '.join(missed)}."
        )
    if untried:
        found.append(f"These kinds could not be planted in this run: {', '.join(untried)}.")
    released = (report.get("model") or {}).get("released")
    return [*found, _MODEL_RELEASED if released else _MODEL, *_CANNOT_SHOW]


def _caught(entry: Mapping[str, Any]) -> str:
    """A picture turned and not altered otherwise is found by the comparison of pixels."""
    if entry["name"] != _TURNED:
        return ""
    return "; an otherwise unchanged one is caught by “Same picture”"
