"""The two cohorts of an evaluation: opened, checked against each other, nothing decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bussynth.cohort.cohort import Cohort
from bussynth.config import suggest
from bussynth.errors import DataError, UsageError
from bussynth.quality.config import EvaluateConfig
from bussynth.quality.material import Facts
from bussynth.quality.tasks import Tasks, choose_tasks, too_few_requests

__all__ = ["Inputs", "open_inputs"]

_MANY_PATIENTS = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class Inputs:
    """Cohorts that fit together.

    Attributes:
        synthetic: The cohort to judge.
        real: The cohort to learn from and to compare with.
        columns: Columns that both cohorts have, and that images were requested by.
        tasks: What can be measured of them.
        reasons: Why another column is not measured, by its name.
        counts: Images and patients of each part.
        notes: What a reader should know.
    """

    synthetic: Cohort
    real: Cohort
    columns: tuple[str, ...]
    tasks: Tasks
    reasons: dict[str, str]
    counts: dict[str, dict[str, int]]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return digests, kinds and counts; no value of any patient."""
        made = self.synthetic.provenance
        return {
            "image_size": list(self.real.image_size),
            "real": {
                "kind": self.real.kind,
                "digest": self.real.digest,
                "train": self.counts["train"],
                "test": self.counts["test"],
            },
            "synthetic": {
                "kind": self.synthetic.kind,
                "digest": self.synthetic.digest,
                "generator": made.get("generator"),
                "trained_on": made.get("trained_on"),
                **self.counts["synthetic"],
            },
        }


def open_inputs(
    synthetic: Cohort | Path | str, real: Cohort | Path | str, config: EvaluateConfig
) -> Inputs:
    """Open both cohorts and decide what can be measured.

    Args:
        synthetic: The synthetic cohort.
        real: A real or phantom cohort that was split by patient.
        config: What to measure.

    Raises:
        DataError: The cohorts cannot be compared; all reasons are listed.
        UsageError: A column that was asked for does not exist.
    """
    made, known = _opened(synthetic), _opened(real)
    _refuse_mismatch(made, known)
    wanted = _wanted_columns(made, known, config)
    parts = {
        "train": Facts.from_cohort(known.select("train")),
        "test": Facts.from_cohort(known.select("test")),
        "synthetic": Facts.from_cohort(made),
    }
    people = len(np.unique(parts["test"].patients))
    if people < config.min_patients:
        raise DataError(
            f"{people} test patients are fewer than {config.min_patients}; split the cohort with a "
            "larger test share."
        )

    def choose(columns: Sequence[str]) -> Tasks:
        return choose_tasks(
            parts["train"], parts["test"], columns, known.vocabulary, config.min_patients
        )

    reasons = {
        column: "the two cohorts do not share it"
        for column in wanted
        if column not in made.vocabulary
    }
    for task in choose([column for column in wanted if column not in reasons]).columns:
        labels = parts["synthetic"].labels(task.column, task.values)
        asked = np.bincount(labels[labels >= 0], minlength=len(task.values))
        if (asked >= config.min_patients).sum() < 2:
            reasons[task.column] = too_few_requests(config.min_patients)
    columns = tuple(column for column in wanted if column not in reasons)
    tasks = choose(columns)
    if not tasks.columns and not tasks.boxes and not config.fidelity:
        problems = {**reasons, **tasks.reasons}
        raise DataError(
            "There is nothing to measure.",
            [f"{name}: {reason}" for name, reason in problems.items()],
        )
    counts = {name: {"images": len(facts)} for name, facts in parts.items()}
    for name in ("train", "test"):
        counts[name]["patients"] = len(np.unique(parts[name].patients))
    return Inputs(
        synthetic=made,
        real=known,
        columns=columns,
        tasks=tasks,
        reasons=reasons,
        counts=counts,
        notes=_notes(made, known, people),
    )


def _opened(cohort: Cohort | Path | str) -> Cohort:
    return cohort if isinstance(cohort, Cohort) else Cohort.open(cohort)


def _refuse_mismatch(synthetic: Cohort, real: Cohort) -> None:
    problems = []
    for cohort, wanted, other in ((synthetic, True, "a synthetic"), (real, False, "a real")):
        if (cohort.kind == "synthetic") is not wanted:
            problems.append(
                f"{cohort.path} is of kind {cohort.kind!r}, not {other} cohort; are the arguments "
                "swapped?"
            )
    if synthetic.image_size != real.image_size:
        sizes = [f"{width}x{height}" for height, width in (synthetic.image_size, real.image_size)]
        problems.append(f"synthetic images are of {sizes[0]} pixels, real ones of {sizes[1]}")
    if real.kind != "synthetic":
        if real.split_record is None:
            problems.append(
                f"{real.path} is not split by patient; run `bussynth split {real.path}` first"
            )
        else:
            problems += [
                f"{real.path} has no {name} patients; split it with a larger share of them"
                for name in ("train", "test")
                if not len(real.select(name))
            ]
    if problems:
        raise DataError("The cohorts cannot be compared.", problems)


def _wanted_columns(synthetic: Cohort, real: Cohort, config: EvaluateConfig) -> tuple[str, ...]:
    shared = [column for column in real.vocabulary if column in synthetic.vocabulary]
    unknown = [
        f"no condition {column!r} in both cohorts{suggest(column, shared)}"
        for column in config.columns
        if column not in shared
    ]
    if unknown:
        raise UsageError("Columns cannot be recognised.", unknown)
    return config.columns or tuple(real.vocabulary)


def _notes(synthetic: Cohort, real: Cohort, people: int) -> tuple[str, ...]:
    notes = []
    learned = synthetic.provenance.get("trained_on")
    if learned is None:
        notes.append(
            "nothing says what the generator learned from; if test patients were among it, every "
            "figure flatters it"
        )
    elif learned != real.digest:
        notes.append(
            "the generator learned from another cohort, or from another split of this one; if test "
            "patients were among it, every figure flatters it"
        )
    if people < _MANY_PATIENTS:
        notes.append(f"only {people} test patients: intervals are wide")
    return tuple(notes)
