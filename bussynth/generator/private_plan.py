"""Planning a private training: from a budget to noise, steps and a forecast.

All of it is computed from what is public, so that it can be shown before anybody looks at a
patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from bussynth.cohort import Cohort
from bussynth.cohort.cohort import LEDGER_FILE
from bussynth.errors import UsageError
from bussynth.generator.base import Base
from bussynth.generator.config import FitConfig
from bussynth.generator.lineage import trace
from bussynth.generator.private_config import BudgetConfig
from bussynth.generator.refusals import refusals
from privacy.dp import accounting
from privacy.dp.ledger import Cap, Ledger
from privacy.dp.mechanism import SampledGaussian
from privacy.dp.plan import DPPlan

__all__ = [
    "PrivatePlan",
    "budget_cap",
    "budget_ledger",
    "check_public_base",
    "check_room",
    "cohort_commitment",
    "ledger_path",
    "open_ledger",
    "plan_private",
    "public_vocabulary",
]

# Share of epsilon for counts and boxes: they are few numbers and need little.
_COUNTS_SHARE: Final = 0.15
# Noise over signal of a step: at 2 adapters still learn a good part, at 5 next to nothing
# (docs/results.md).
_HOPELESS: Final = 4.0
_FEW_PATIENTS: Final = 100
# Of an adapter where noise and signal are alike, chosen on public data (docs/results.md).
_ADAPT_RATE: Final = 0.03


@dataclass(frozen=True, kw_only=True)
class PrivatePlan:
    """What a private training releases and costs.

    Attributes:
        training: Constants of the steps.
        counts: The noisy counts behind the prior.
        cap: What the ledger of the cohort allows, if this is its first mechanism.
        epsilon: Of all of it together, at the delta of the cap.
        noise_to_signal: Noise of a step over the most that its patients can say.
    """

    training: DPPlan
    counts: SampledGaussian
    cap: Cap
    epsilon: float
    noise_to_signal: float

    @property
    def mechanisms(self) -> tuple[SampledGaussian, ...]:
        """All looks at the patients."""
        return self.counts, self.training.mechanism

    @property
    def adapt_rate(self) -> float:
        """Learning rate for an adapter: the lower, the more of a step is noise.

        AdamW makes steps of one length whatever they consist of, so without this the weights would
        go as far on noise as on what patients say.
        """
        return round(_ADAPT_RATE / max(1.0, self.noise_to_signal), 5)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "epsilon": self.epsilon,
            "delta": self.cap.delta,
            "cap": asdict(self.cap),
            "training": asdict(self.training),
            "counts": asdict(self.counts),
            "noise_to_signal": self.noise_to_signal,
            "advice": list(self.advice()),
        }

    def advice(self) -> tuple[str, ...]:
        """What speaks against hopes for a useful model, and what would help."""
        found = []
        if self.noise_to_signal > _HOPELESS:
            found.append(
                f"the noise of a step is {self.noise_to_signal:.1f} times what all its patients "
                "together can say: expect a model hardly different from the base. Fewer trained "
                "parameters (a lower rank, fewer targets), more patients a step (dp_batch) or a "
                "larger epsilon would help"
            )
        if self.cap.patients < _FEW_PATIENTS:
            found.append(
                f"fewer than {_FEW_PATIENTS} patients leave little room between useful and "
                "private; pool with other sites or use the base as it is"
            )
        return tuple(found)


@refusals()
def plan_private(config: FitConfig, trained: int) -> PrivatePlan:
    """Plan a private training.

    Args:
        config: Resolved; ``dp_epsilon`` is given.
        trained: Number of trained parameters.

    Raises:
        UsageError: The budget cannot be met, or delta promises nothing.
    """
    target, patients = config.dp_epsilon or 0.0, config.dp_patients or 1
    rate = config.expected_patients / patients
    steps = config.steps or 1
    cap = budget_cap(config)
    counts = SampledGaussian(
        noise_multiplier=accounting.noise_multiplier(
            _COUNTS_SHARE * target, config.delta, sampling_rate=1.0, steps=1
        )
    )
    noise = accounting.noise_multiplier(
        target, config.delta, sampling_rate=rate, steps=steps, spent=[counts]
    )
    training = DPPlan(
        sampling_rate=rate,
        expected_patients=float(config.expected_patients),
        steps=steps,
        noise_multiplier=noise,
        clip_norm=config.clip_norm or 1.0,
        images_per_patient=config.images_per_patient,
        noise_multiplicity=config.noise_multiplicity,
    )
    spent = accounting.epsilon([counts, training.mechanism], config.delta)
    return PrivatePlan(
        training=training,
        counts=counts,
        cap=cap,
        epsilon=spent.epsilon,
        noise_to_signal=training.noise_to_signal(trained),
    )


@refusals()
def budget_cap(config: BudgetConfig) -> Cap:
    """What the ledger of a cohort allows, if this is the first look at it.

    Raises:
        UsageError: Delta promises nothing.
    """
    return Cap(
        epsilon=config.dp_cap or config.dp_epsilon or 0.0,
        delta=config.delta,
        patients=config.dp_patients or 1,
    )


def public_vocabulary(config: FitConfig, base: Base | None) -> dict[str, tuple[str, ...]]:
    """Conditions of a private model: those of the base, and those that are declared.

    What values occur among the patients is itself a look at them, so the cohort is not asked.

    Raises:
        UsageError: There are none.
    """
    words = {} if base is None else {c: tuple(v) for c, v in base.model.vocabulary.items()}
    words |= {column: tuple(values) for column, values in config.dp_values.items()}
    if not words:
        raise UsageError(
            "A private training from scratch does not look up which values its conditions take; "
            "declare them, as in --dp-values pathology=benign,malignant --dp-values device=a,b."
        )
    return words


def check_public_base(base: Base, cohort: Cohort | None, *, declared: bool) -> None:
    """Refuse a base that may have seen these patients, or others that are not public.

    A base in the box has learned from phantoms and from published data. Any other must be known
    to have seen phantoms only, or be declared public.

    Args:
        base: The base.
        cohort: Whom to learn from; None before that is known.
        declared: Whether somebody says that the base is public.

    Raises:
        UsageError: The base has seen the cohort, or nobody says that it is public.
    """
    lineage = trace(base.model.training)
    own = base.record()["cohort"] or {}
    seen = [own.get("digest"), *(one.cohort for one in lineage.ancestors)]
    if cohort is not None and cohort.digest in seen:
        raise UsageError(
            "The base was trained on this very cohort, so its weights tell of the patients "
            "whatever is added now; choose another base."
        )
    if base.name is None and not declared and not lineage.phantoms_only(own.get("kind")):
        raise UsageError(
            "The base is not known to be public: its record does not lead back to phantoms alone. "
            "If it was trained on public data alone, declare it with --dp-public-base; else the "
            "guarantee would not cover what the base has seen."
        )


def ledger_path(cohort: Cohort) -> Path:
    """Where the ledger of a cohort lies."""
    return cohort.path / LEDGER_FILE


def cohort_commitment(cohort: Cohort) -> str | None:
    """A name of the cohort that tells nothing to whom the ledger is not open; None without one.

    Raises:
        UsageError: The ledger is damaged or of other patients.
    """
    if not ledger_path(cohort).exists():
        return None
    return open_ledger(cohort).commitment


@refusals()
def open_ledger(cohort: Cohort) -> Ledger:
    """Open the ledger of a cohort.

    Raises:
        UsageError: It is missing, damaged, or of other patients.
    """
    return Ledger.open(ledger_path(cohort), subject=cohort.digest)


@refusals()
def budget_ledger(cohort: Cohort, config: BudgetConfig) -> Ledger:
    """Open the ledger of a cohort, or make it with the cap of a budget.

    Raises:
        UsageError: It is damaged, of other patients, or has another cap than what is asked for.
    """
    cap, path = budget_cap(config), ledger_path(cohort)
    if config.dp_cap is None and path.exists():
        # Whoever names no cap means the one there is; delta and patients belong to the promise.
        found = open_ledger(cohort)
        cap = replace(cap, epsilon=found.cap.epsilon)
    return Ledger.create_or_open(path, subject=cohort.digest, cap=cap)


@refusals()
def check_room(cohort: Cohort, config: BudgetConfig, mechanisms: Sequence[SampledGaussian]) -> None:
    """Refuse what the ledger of a cohort would refuse, without writing to it.

    Raises:
        UsageError: See :func:`budget_ledger`; or the cap would be exceeded.
    """
    if ledger_path(cohort).exists():
        budget_ledger(cohort, config).check_plan(mechanisms)
