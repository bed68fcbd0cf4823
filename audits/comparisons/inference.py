"""Inference: what do the nearest synthetic images say about a patient's attributes?

The third criterion of Article 29 Working Party Opinion 05/2014 (WP216). Somebody who holds an
image of a patient and the labelled synthetic images guesses an attribute (pathology, BI-RADS,
device) from the nearest synthetic image, or by a vote of the nearest five. Good synthetic images
let anybody guess well, for any patient: that is what they are for. Only an accuracy that is
higher for train than for control patients tells something about having been in train. Comparing
attack and control in this way is common practice for tables; taking it to images is our own
adaptation, and nobody has validated it.

Accuracy is reported plain and balanced, the mean over classes, since a common class can hide what
happens to a rare one. Each patient counts once, however many images there are. Attributes are
facts about patients that the lottery does not change, and nearest synthetic images do not depend
on labels without leakage, so relabelling patients within strata gives an exact p-value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from audits.comparisons.reach import Reach
from audits.comparisons.relabelling import finite_risk, relabelling_test, standard_weights
from audits.images import Patients
from audits.statistics.permutation import usable_patients

__all__ = ["Inference", "Inferred", "inference"]

_MIN_CLASS = 5

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Inferred:
    """Accuracy of guesses of one attribute in one feature space.

    Attributes:
        attribute: What is guessed.
        space: Feature space.
        neighbours: Nearest labelled synthetic images that vote.
        balanced: Whether accuracy is averaged over the classes of at least five patients.
        n_classes: Classes averaged, or classes in all for plain accuracy.
        n_train: Train patients with this attribute.
        n_control: Control patients with it.
        train: Accuracy for train patients.
        control: Accuracy for control patients.
        baseline: Accuracy of always guessing the most frequent label of the synthetic images,
            train and control pooled. Below it the guesses are of no use to anybody.
        risk: (train - control) / (1 - control); None where control leaves no room.
        p_value: One-sided permutation p-value of this row alone.
        reason: Why it is not estimable; empty otherwise.
    """

    attribute: str
    space: str
    neighbours: int
    balanced: bool
    n_classes: int
    n_train: int
    n_control: int
    train: float | None
    control: float | None
    baseline: float | None
    risk: float | None
    p_value: float | None
    reason: str


@dataclass(frozen=True)
class Inference:
    """All accuracies with their joint p-value.

    Attributes:
        rows: One entry an attribute, space, number of neighbours and kind of accuracy.
        p_value: One-sided, by the maximum over estimable rows; None when none is estimable.
        reason: Why none is estimable; empty otherwise.
    """

    rows: tuple[Inferred, ...]
    p_value: float | None
    reason: str


@dataclass(frozen=True, eq=False)
class _Attribute:
    """One attribute as numbers.

    Attributes:
        real: int64 (n,), class of each real image, -1 where unknown.
        synthetic: int64 (s,), class of each synthetic image, -1 where unknown.
        mass: float64 (patients, classes), share of each class among a patient's labelled images.
        usual: Most frequent class of the synthetic images, the first of several.
        balanced: bool (classes,), classes of enough patients to count in balanced accuracy.
        counts: Train and control patients with a label.
        reason: Why nothing can be guessed.
    """

    real: Integers
    synthetic: Integers
    mass: Floats
    usual: int
    balanced: npt.NDArray[np.bool_]
    counts: tuple[int, int]
    reason: str


@dataclass(frozen=True, eq=False)
class _Column:
    """What one row needs: mass guessed right and mass, float64 (patients, classes counted)."""

    correct: Floats
    mass: Floats

    def rates(self, weighted: Floats, balanced: bool) -> Floats:
        """Accuracy for each row of patient weights, float64 (b, patients)."""
        correct, mass = weighted @ self.correct, weighted @ self.mass
        if not balanced:
            correct, mass = (part.sum(axis=1, keepdims=True) for part in (correct, mass))
        present = mass > 0.0
        accuracy = np.where(present, correct / np.where(present, mass, 1.0), 0.0)
        result: Floats = accuracy.sum(axis=1) / np.maximum(present.sum(axis=1), 1)
        return result


def _share_by_patient(
    patients: Patients, classes: Integers, right: npt.NDArray[np.bool_], number: int
) -> Floats:
    """Each class's share of a patient's labelled images, counting only the right ones."""
    table = np.zeros((len(patients.member), number))
    known = classes >= 0
    images = np.bincount(patients.of_image[known], minlength=len(table))
    kept = known & right
    np.add.at(table, (patients.of_image[kept], classes[kept]), 1.0)
    return table / np.maximum(images, 1)[:, None]


def _attribute(
    real: Sequence[str],
    synthetic: Sequence[str],
    patients: Patients,
    usable: npt.NDArray[np.bool_],
    min_controls: int,
) -> _Attribute:
    names = sorted({*real, *synthetic} - {""})
    number = {name: i for i, name in enumerate(names)} | {"": -1}
    classes = np.array([number[label] for label in real], np.int64).reshape(-1)
    labels = np.array([number[label] for label in synthetic], np.int64).reshape(-1)
    classes[~usable[patients.of_image]] = -1
    mass = _share_by_patient(patients, classes, np.ones(len(classes), np.bool_), len(names))
    having = mass.sum(axis=1) > 0.0
    counts = (int((having & patients.member).sum()), int((having & ~patients.member).sum()))
    reason = ""
    if not (labels >= 0).any():
        reason = "synthetic images have no labels"
    elif min(counts) < min_controls:
        reason = (
            f"{counts[0]} train and {counts[1]} control patients have a label; "
            f"{min_controls} of either are needed"
        )
    elif (mass.sum(axis=0) > 0.0).sum() < 2:
        reason = "all patients have the same label"
    usual = int(np.bincount(labels[labels >= 0], minlength=1).argmax())
    balanced = (mass > 0.0).sum(axis=0) >= _MIN_CLASS
    return _Attribute(classes, labels, mass, usual, balanced, counts, reason)


def _guesses(rows: Integers, labels: Integers, k: int, usual: int) -> Integers:
    """Most frequent class of the k nearest labelled images; a tie goes to the nearest of them."""
    found = np.where(rows >= 0, labels[rows], -1)
    voting = (found >= 0) & (np.cumsum(found >= 0, axis=1) <= k)
    width = found.shape[1]
    guesses = np.full(len(found), usual, np.int64)
    best = np.zeros(len(found), np.int64)
    for column in range(width):
        same = voting & (found == found[:, column : column + 1])
        # Votes first; among equals the class seen first, whose column is the least.
        score = np.where(voting[:, column], same.sum(axis=1) * width + width - column, 0)
        better = score > best
        guesses[better], best[better] = found[better, column], score[better]
    return guesses


def inference(
    reaches: Sequence[Reach],
    patients: Patients,
    *,
    real: Mapping[str, Sequence[str]],
    synthetic: Mapping[str, Sequence[str]],
    neighbours: tuple[int, ...] = (1, 5),
    min_controls: int = 20,
    permutations: int,
    rng: np.random.Generator,
) -> Inference:
    """Test whether attributes of train patients are guessed better than those of control patients.

    Args:
        reaches: One entry a feature space. Of the retrieved synthetic images the nearest labelled
            ones vote; where none has a label, the usual label is guessed.
        patients: The numbering.
        real: Each attribute's label of every real image, train first; empty where unknown.
        synthetic: Each attribute's label of every synthetic image; an attribute may be missing.
        neighbours: Numbers of voting images.
        min_controls: Fewest patients of either group with a label.
        permutations: Relabellings.
        rng: Source of randomness.

    Returns:
        Rows and p-values.
    """
    usable = usable_patients(patients)
    weights = standard_weights(patients)
    rows: list[tuple[Inferred, _Column | None]] = []
    for name, labels in real.items():
        attribute = _attribute(labels, synthetic.get(name, ()), patients, usable, min_controls)
        for reach in reaches:
            for k in neighbours:
                rows += _rows(name, attribute, reach, k, patients)
    columns = [(row.balanced, column) for row, column in rows if column is not None]
    if not columns:
        reason = "no attributes" if not real else "no feature space to search in"
        return Inference(tuple(row for row, _ in rows), None, rows[0][0].reason if rows else reason)

    def rates(labels: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
        train, control = np.where(labels, weights[0], 0.0), np.where(labels, 0.0, weights[1])
        return (
            np.stack([column.rates(train, balanced) for balanced, column in columns], axis=1),
            np.stack([column.rates(control, balanced) for balanced, column in columns], axis=1),
        )

    def difference(labels: npt.NDArray[np.bool_]) -> Floats:
        train, control = rates(labels)
        result: Floats = train - control
        return result

    # The last digits of a matrix product depend on the number of threads.
    observed = [np.round(group[0], 12).tolist() for group in rates(patients.member[None, :])]
    tested = relabelling_test(difference, patients, permutations, rng)
    measured = iter(zip(*observed, tested.single.tolist(), strict=True))
    results = []
    for row, column in rows:
        if column is None:
            results.append(row)
            continue
        train, control, p_value = next(measured)
        risk = finite_risk(train, control)
        results.append(replace(row, train=train, control=control, risk=risk, p_value=p_value))
    return Inference(tuple(results), tested.joint, "")


def _rows(
    name: str, attribute: _Attribute, reach: Reach, k: int, patients: Patients
) -> list[tuple[Inferred, _Column | None]]:
    """Plain and balanced row without results, with what is needed to compute them."""
    result: list[tuple[Inferred, _Column | None]] = []
    plain = attribute.mass.sum(axis=0) > 0.0
    right = np.zeros(len(attribute.real), np.bool_)
    if not attribute.reason:
        guesses = _guesses(reach.to_synthetic.rows, attribute.synthetic, k, attribute.usual)
        right = guesses == attribute.real
    correct = _share_by_patient(patients, attribute.real, right, attribute.mass.shape[1])
    for balanced, counted in ((False, plain), (True, attribute.balanced)):
        reason = attribute.reason
        if balanced and not reason and counted.sum() < 2:
            reason = f"fewer than two classes of at least {_MIN_CLASS} patients"
        baseline = None
        if not reason:
            usual = attribute.mass[:, attribute.usual].sum() / attribute.mass.sum()
            mean = float(counted[attribute.usual]) / float(counted.sum())
            baseline = mean if balanced else float(usual)
        row = Inferred(
            name,
            reach.space,
            k,
            balanced,
            int(counted.sum()),
            *attribute.counts,
            None,
            None,
            baseline,
            None,
            None,
            reason,
        )
        column = _Column(correct[:, counted], attribute.mass[:, counted])
        result.append((row, None if reason else column))
    return result
