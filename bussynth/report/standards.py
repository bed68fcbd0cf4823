"""Which question of which law or guideline this report holds evidence for.

Evidence, not an answer: whether a law is complied with is decided by people who know the
recipient, the purpose and the other safeguards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bussynth.report.cards import Card

__all__ = ["Evidence", "evidence"]


@dataclass(frozen=True)
class Evidence:
    """One row of the table.

    Attributes:
        source: The law or guideline, with its date.
        asks: What it asks.
        here: What in this report is evidence for it.
        tests: Tests that give evidence, with their outcome.
        missing: What this report cannot say about it.
    """

    source: str
    asks: str
    here: str
    tests: tuple[tuple[str, str], ...]
    missing: str


_WP216 = "Article 29 Working Party, Opinion 05/2014 (WP216), 10 April 2014"
_CNIL = "CNIL, letter on a published metric for synthetic data, 13 February 2023"

_ROWS: Sequence[tuple[str, str, str, tuple[str, ...], str]] = (
    (
        _WP216,
        "Singling out: can one person be isolated?",
        "How often a synthetic image points at exactly one training patient, against control "
        "patients.",
        ("singling_out", "disclosure"),
        "Isolation by what accompanies the images.",
    ),
    (
        _WP216,
        "Linkability: can two records of one person be linked?",
        "How often two images of a training patient lead to the same synthetic image, against "
        "control patients.",
        ("linkability",),
        "Links to registers or texts.",
    ),
    (
        _WP216,
        "Inference: can something be deduced about a person?",
        "How well labels are guessed for training patients, against control patients.",
        ("inference", "membership"),
        "Labels that were not given to the audit.",
    ),
    (
        "EDPB, Opinion 28/2024 on AI models, 17 December 2024",
        "Is the likelihood of extracting personal data, or of obtaining it by queries, "
        "insignificant? Case by case, documented, with attack tests.",
        "Documented attack tests on the generated images, with their power; on the model only if "
        "it was audited too.",
        ("identity", "copies", "membership", "white_box", "dp_bound"),
        "Whether the likelihood is insignificant. Attacks that query the model.",
    ),
    (
        _CNIL,
        "A decision case by case, for each generated dataset.",
        "This report holds for exactly one set of images, named by its digest.",
        (),
        "Any other set of the same generator.",
    ),
    (
        _CNIL,
        "Chosen examples, such as outliers, beside global scores.",
        "The closest images and the most unusual patients are looked at by themselves.",
        ("contrast", "membership"),
        "–",
    ),
    (
        _CNIL,
        "Thresholds and guidance from the provider; the controller decides.",
        "Every threshold is listed with its reason; every test says how to read it.",
        (),
        "The decision.",
    ),
    (
        _CNIL,
        "Regular reassessment.",
        "Date, versions, settings and run ledger, so that the audit can be repeated.",
        (),
        "Attacks not yet known.",
    ),
    (
        _CNIL,
        "Generating the data is itself a processing of personal data.",
        "Nothing.",
        (),
        "The lawfulness of training and generation.",
    ),
    (
        "HIPAA, 45 CFR 164.514(b)(1), expert determination",
        "A qualified expert finds the risk very small, and documents methods and results. The "
        "rule names no number.",
        "A technical annex for the expert: methods, results, power and limits.",
        ("disclosure", "membership"),
        "The determination. A tool is no expert.",
    ),
    (
        "ICO guidance of 28 March 2025, motivated intruder test",
        "Could a motivated intruder identify somebody, or is that sufficiently remote? Review "
        "regularly.",
        "An intruder who holds a patient’s image and the synthetic images, and nothing else, was "
        "played by a program.",
        ("copies", "membership", "linkability"),
        "Intruders with other knowledge, and people instead of programs.",
    ),
    (
        "European Health Data Space, Regulation (EU) 2025/327, Articles 66 and 73, recital 77",
        "Non-personal data where they suffice; only such data may be downloaded from a secure "
        "processing environment.",
        "The summary that is exported with the images, as a document for the check of outputs.",
        ("identity", "copies", "disclosure"),
        "Whether the images are personal data.",
    ),
)


def evidence(cards: Sequence[Card]) -> list[Evidence]:
    """Fill the table with the outcomes of this run.

    Args:
        cards: The tests of the report; those not made are left out.
    """
    known: Mapping[str, Card] = {card.name: card for card in cards}
    return [
        Evidence(
            source,
            asks,
            here,
            tuple((known[name].text.short, known[name].label) for name in tests if name in known),
            missing,
        )
        for source, asks, here, tests, missing in _ROWS
    ]
