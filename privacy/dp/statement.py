"""The privacy statement: what is promised to every patient, written from the ledger.

Nothing in it is typed by hand or taken from what somebody aimed at: epsilon is what the accounting
makes of the plans that were begun. The parts follow section 5.3.3 of Ponomareva et al. 2023 (How
to DP-fy ML, arXiv:2303.00654). Words round up: they promise no more than the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any, Final

from privacy.dp.accounting import ADJACENCY, attacker_power, power_within
from privacy.dp.comparisons import epsilon_replacing
from privacy.dp.ledger import Ledger
from privacy.dp.rounding import rounded_up

__all__ = ["NOT_COVERED", "SCHEMA", "STATED_CAP", "STATED_LARGER", "UNIT", "Statement", "state"]

SCHEMA: Final = "bussynth-dp-statement/1"
STATED_CAP: Final = "the cap of all plans"
STATED_LARGER: Final = "the larger"
UNIT: Final = "a patient of this site, with all images"
NOT_COVERED: Final = (
    "that the patient's hospital took part, and what is true of patients in general",
    "a patient who is in the data under two identities, or at another site as well",
    "the same patients in another cohort, or in another copy of this one with a ledger of its own",
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
        power, cap = self.content["interpretation"], self.content["ledger"]["cap"]
        looks = [_look(mechanism) for mechanism in self.content["mechanisms"]]
        return "\n".join(
            [
                f"What is covered is ({_up(one['epsilon'])}, {_up(one['delta'])})-differentially "
                f"private for {one['unit']}. Neighbouring data sets: {one['adjacency']}. The noise "
                "is added by the hospital, which sees the data (central model).",
                "",
                "Whoever knows everything else, and decides from all that was released whether a "
                f"given patient is in the data, finds at most {_share(power['at_1_percent'])} of "
                "those who are while accusing 1 % of those who are not, and at most "
                f"{_share(power['at_0.1_percent'])} while accusing 0.1 %.",
                "",
                "What looked at the patients:",
                *(looks or ["- nothing"]),
                "",
                f"Covered: {'; '.join(scope['covered']) or 'nothing'}.",
                f"Not covered: {'; '.join(scope['not_covered'])}.",
                "",
                self._accounting(),
                "However plans follow from results, the ledger keeps everything together within "
                f"({_up(cap['epsilon'])}, {_up(cap['delta'])}).",
            ]
        )

    def _accounting(self) -> str:
        found = self.content["accounting"]
        said = [f"privacy loss distributions say {_up(found['pld'])}"]
        said.append(
            "PRV was not computed above 50"
            if found["prv"] is None
            else f"PRV says {_up(found['prv'])}"
        )
        if found["rdp"] is not None:
            said.append(
                "as a plan may follow from what another released, Renyi divergences were added up, "
                f"which say {_up(found['rdp'])}"
            )
        stated = "the cap is stated" if found["stated"] == STATED_CAP else "the larger is stated"
        words = f"Accounting: {'; '.join(said)}; {stated}."
        if found["epsilon_replacing"] is not None:
            words += (
                " If neighbours had one patient replaced by another, epsilon would be "
                f"{_up(found['epsilon_replacing'])}."
            )
        return words


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
    begun = [one for one in ledger.registered() if one.begun]
    spent = ledger.spent()  # after that: another run may have begun a plan, and this counts it
    mechanisms, adaptive = [one.spent for one in begun], spent.rdp is not None

    def power(false_positives: float) -> float:
        if adaptive:
            return power_within(ledger.cap.epsilon, ledger.cap.delta, false_positives)
        return attacker_power(mechanisms, false_positives)

    content = {
        "schema": SCHEMA,
        "guarantee": {
            # Of several plans, of which one may follow from what another released, the cap is what
            # is proved: what was spent so far depends on results, as the choice to go on did.
            "epsilon": ledger.cap.epsilon if adaptive else spent.epsilon,
            "delta": spent.delta,
            "unit": UNIT,
            "adjacency": ADJACENCY,
            "model": "central",
        },
        "mechanisms": [
            {
                "purpose": one.purpose,
                "plan": one.plan,
                "sampling": "poisson",
                **asdict(one.mechanism),
                "taken": one.taken,
                "public": dict(one.public),
            }
            for one in begun
        ],
        "accounting": {
            "pld": spent.pld,
            "prv": spent.prv,
            "rdp": spent.rdp,
            "stated": STATED_CAP if adaptive else STATED_LARGER,
            # Composed from whole privacy losses, which proves nothing of plans that follow results.
            "epsilon_replacing": (None if adaptive else epsilon_replacing(mechanisms, spent.delta)),
            "libraries": {name: version(name) for name in ("dp-accounting", "opacus")},
        },
        "scope": {"covered": list(covered), "not_covered": [*NOT_COVERED, *not_covered]},
        "public_inputs": dict(public_inputs),
        "tuning": tuning,
        "randomness": {
            "source": "ChaCha20 under keys of the operating system that are used once",
            "seed": None,
            "noise": "half the sum of four normal numbers in double precision",
        },
        "independence": "what a patient adds is computed alone, so no rounding depends on others",
        "interpretation": {
            "at_1_percent": power(0.01),
            "at_0.1_percent": power(0.001),
        },
        "ledger": {"head": ledger.head, "cap": asdict(ledger.cap)},
    }
    return Statement(content=content)


def _look(mechanism: Mapping[str, Any]) -> str:
    """A line on what looked."""
    return (
        f"- {mechanism['purpose']}: noise {mechanism['noise_multiplier']:g}, "
        f"{mechanism['steps']:,} step{'s' if mechanism['steps'] != 1 else ''} planned and counted, "
        f"{mechanism['taken']:,} taken, each patient in a step with a chance of "
        f"{mechanism['sampling_rate']:.3g}"
    )


def _up(value: float) -> str:
    return f"{rounded_up(value):.3g}"


def _share(value: float) -> str:
    return f"{100 * rounded_up(value):.3g} %"
