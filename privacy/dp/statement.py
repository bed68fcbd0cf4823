"""The privacy statement: what is promised to every patient, written from the ledger.

Nothing in it is typed by hand or taken from what somebody aimed at: epsilon is what the accounting
makes of the steps that were charged. The parts follow section 5.3.3 of Ponomareva et al. 2023 (How
to DP-fy ML, arXiv:2303.00654).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Final

from privacy.dp.accounting import ADJACENCY, attacker_power, epsilon_replacing
from privacy.dp.ledger import Ledger

__all__ = ["SCHEMA", "Statement", "state"]

SCHEMA: Final = "bussynth-dp-statement/1"
_UNIT: Final = "a patient of this site, with all images"
_NOT_COVERED: Final = (
    "that the patient's hospital took part, and what is true of patients in general",
    "a patient who is in the data under two identities, or at another site as well",
    "anything published beside what is named as covered, such as audit figures or exact counts",
    "who can read the real data, the ledger or the machine while it computes",
)


@dataclass(frozen=True, kw_only=True)
class Statement:
    """See the module; :func:`state` writes one.

    Attributes:
        content: Plain values for JSON.
    """

    content: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dict(self.content)

    def words(self) -> str:
        """The statement for people."""
        one, scope = self.content["guarantee"], self.content["scope"]
        power, accounting = self.content["interpretation"], self.content["accounting"]
        looks = [
            f"- {m['purpose']}: noise {m['noise_multiplier']:g}, {m['steps']:,} "
            f"step{'s' if m['steps'] != 1 else ''}, each patient in a step with a chance of "
            f"{m['sampling_rate']:.3g}"
            for m in self.content["mechanisms"]
        ]
        return "\n".join(
            [
                f"What is covered is ({one['epsilon']:.3g}, {one['delta']:.3g})-differentially "
                f"private for {one['unit']}. Neighbouring data sets: {one['adjacency']}. The noise "
                "is added by the hospital, which sees the data (central model).",
                "",
                "Whoever knows everything else, and decides from all that was released whether a "
                f"given patient is in the data, finds at most {power['at_1_percent']:.1%} of those "
                "who are while accusing 1 % of those who are not, and at most "
                f"{power['at_0.1_percent']:.1%} while accusing 0.1 %.",
                "",
                "What looked at the patients:",
                *(looks or ["- nothing"]),
                "",
                f"Covered: {'; '.join(scope['covered']) or 'nothing'}.",
                f"Not covered: {'; '.join(scope['not_covered'])}.",
                "",
                f"Accounting: privacy loss distributions say {accounting['pld']:.3f}, "
                + (
                    "PRV was not computed above 50"
                    if accounting["prv"] is None
                    else f"PRV says {accounting['prv']:.3f}"
                )
                + "; the larger one is stated. If neighbours had one patient replaced by another, "
                f"epsilon would be {accounting['epsilon_replacing']:.3g}.",
            ]
        )


def state(
    ledger: Ledger,
    *,
    covered: Sequence[str],
    public_inputs: Mapping[str, str],
    tuning: str,
    not_covered: Sequence[str] = (),
) -> Statement:
    """Write the statement of everything in a ledger.

    Args:
        ledger: Of the patients.
        covered: What is released under the guarantee, such as weights and samples.
        public_inputs: What came from elsewhere and has seen none of the patients: name to digest.
        tuning: How settings were chosen: on which public data, or counted in the ledger.
        not_covered: Exceptions beside those that always hold.
    """
    spent = ledger.spent()
    registered = ledger.registered()
    mechanisms = [one.charged for one in registered]
    content = {
        "schema": SCHEMA,
        "guarantee": {
            "epsilon": spent.epsilon,
            "delta": spent.delta,
            "unit": _UNIT,
            "adjacency": ADJACENCY,
            "model": "central",
        },
        "mechanisms": [
            {
                "purpose": one.purpose,
                "sampling": "poisson",
                **asdict(one.charged),
                "public": dict(one.public),
            }
            for one in registered
            if one.taken
        ],
        "accounting": {
            "pld": spent.pld,
            "prv": spent.prv,
            "stated": "the larger",
            "epsilon_replacing": epsilon_replacing(mechanisms, spent.delta),
            "libraries": {name: version(name) for name in ("dp-accounting", "opacus")},
        },
        "scope": {"covered": list(covered), "not_covered": [*_NOT_COVERED, *not_covered]},
        "public_inputs": dict(public_inputs),
        "tuning": tuning,
        "randomness": {
            "source": "ChaCha20 under keys of the operating system that are used once",
            "seed": None,
            "noise": "half the sum of four normal numbers in double precision",
        },
        "interpretation": {
            "at_1_percent": attacker_power(mechanisms, 0.01),
            "at_0.1_percent": attacker_power(mechanisms, 0.001),
        },
        "ledger": {"head": ledger.head, "cap": asdict(ledger.cap)},
    }
    return Statement(content=content)
