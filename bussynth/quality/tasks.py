"""What can be measured on a real cohort: decided from its tables alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from bussynth.quality.material import Facts

__all__ = ["ColumnTask", "Tasks", "choose_tasks", "too_few_requests"]


@dataclass(frozen=True, kw_only=True)
class ColumnTask:
    """A condition column to recognise.

    Attributes:
        column: Its name.
        values: The values with enough patients in train and in test.
        left_out: The others.
    """

    column: str
    values: tuple[str, ...]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """What a judge can learn.

    Attributes:
        columns: Columns to recognise.
        boxes: Whether lesion boxes can be learned and tested.
        normals: Whether images without a lesion can be told from others.
        reasons: Why something cannot be measured, by its name.
    """

    columns: tuple[ColumnTask, ...]
    boxes: bool
    normals: bool
    reasons: Mapping[str, str] = field(default_factory=dict)


def choose_tasks(
    train: Facts,
    test: Facts,
    columns: Sequence[str],
    vocabulary: Mapping[str, Sequence[str]],
    min_patients: int,
) -> Tasks:
    """Choose what has enough patients to learn from and to test on.

    Args:
        train: Of the training patients.
        test: Of the test patients.
        columns: Columns that are wanted.
        vocabulary: Their possible values, in order.
        min_patients: Patients that a value needs on either side.

    Returns:
        The tasks, with a reason for each one that is left out.
    """
    chosen, reasons = [], {}
    for column in columns:
        counts = {
            value: min(
                _patients(facts, np.array([v == value for v in facts.conditions[column]], np.bool_))
                for facts in (train, test)
            )
            for value in vocabulary[column]
        }
        values = tuple(value for value, count in counts.items() if count >= min_patients)
        present = {value for facts in (train, test) for value in facts.conditions[column]}
        left_out = tuple(v for v in vocabulary[column] if v in present and v not in values)
        if len(values) >= 2:
            chosen.append(ColumnTask(column=column, values=values, left_out=left_out))
        else:
            reasons[column] = (
                f"fewer than two values have {min_patients} patients in train and in test"
            )
    boxes, normals = (
        min(_patients(facts, rows) for facts, rows in pairs) >= min_patients
        for pairs in (
            ((train, train.has_box), (test, test.has_box)),
            ((train, train.is_normal), (test, test.is_normal)),
        )
    )
    if not boxes:
        reasons["lesion box"] = (
            f"fewer than {min_patients} patients in train or in test have a lesion box"
        )
    if not boxes or not normals:
        reasons["normal"] = (
            reasons["lesion box"]
            if not boxes
            else f"fewer than {min_patients} patients in train or in test are without a lesion"
        )
    return Tasks(columns=tuple(chosen), boxes=boxes, normals=boxes and normals, reasons=reasons)


def too_few_requests(min_images: int) -> str:
    """Say why a column is not measured that a real cohort has, but the requests hardly use."""
    return f"fewer than two of its values were requested in {min_images} images"


def _patients(facts: Facts, rows: npt.NDArray[np.bool_]) -> int:
    return len(np.unique(facts.patients[rows]))
