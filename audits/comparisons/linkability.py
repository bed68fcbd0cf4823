"""Linkability: do two images of one patient lead to the same synthetic image?

The second criterion of Article 29 Working Party Opinion 05/2014 (WP216). Somebody who holds two
images, from two hospitals say, retrieves the k nearest synthetic images of each and links the two
if they share one. Images of one patient are alike, so many link whatever the generator learned;
what counts is how many more link among train than among control patients. The criterion is that
of ``voice-anonymization-legal-eval`` (validated for voices); linking through synthetic images is
our own adaptation, and nobody has validated it.

Each patient's rate is the share of linked pairs among all pairs of up to eight images drawn at
random, so a patient with a long loop counts like one with two images. Only patients with at least
two images take part. How many images a patient has does not depend on the lottery, so among those
patients labels are exchangeable within strata as before and the p-value is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.comparisons.reach import Reach
from audits.comparisons.relabelling import (
    finite_risk,
    relabelling_test,
    restricted,
    standard_weights,
)
from audits.images import Patients
from audits.statistics.permutation import usable_patients

__all__ = ["Linkability", "Linked", "linkability"]

_IMAGES = 8
_BLOCK = 4096

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Linked:
    """Rates of linked pairs for one number of neighbours in one feature space.

    Attributes:
        space: Feature space.
        neighbours: Synthetic images retrieved for each image, k.
        n_train: Train patients with at least two images.
        n_control: Control patients with at least two images.
        n_pairs: Pairs of images of one patient.
        train: Share of linked pairs, averaged over train patients.
        control: The same for control patients, with the mix of strata of train and control.
        baseline: Share of linked pairs of different patients of one stratum; None without any.
        risk: (train - control) / (1 - control); None where control leaves no room.
        p_value: One-sided permutation p-value of this row alone.
        reason: Why it is not estimable; empty otherwise.
    """

    space: str
    neighbours: int
    n_train: int
    n_control: int
    n_pairs: int
    train: float | None
    control: float | None
    baseline: float | None
    risk: float | None
    p_value: float | None
    reason: str


@dataclass(frozen=True)
class Linkability:
    """All rates with their joint p-value.

    Attributes:
        rows: One entry a space and number of neighbours.
        p_value: One-sided, by the maximum over estimable rows; None when none is estimable.
        reason: Why none is estimable; empty otherwise.
    """

    rows: tuple[Linked, ...]
    p_value: float | None
    reason: str


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs of images, first and second, int64 (pairs,), and the patient of the first."""

    first: Integers
    second: Integers
    patient: Integers


def _pairs_of_patients(
    patients: Patients, chosen: npt.NDArray[np.bool_], rng: np.random.Generator
) -> _Pairs:
    """All pairs among up to eight random images of each chosen patient."""
    shuffled = rng.permutation(len(patients.of_image))
    order = shuffled[np.argsort(patients.of_image[shuffled], kind="stable")]
    owner = patients.of_image[order]
    begin = np.searchsorted(owner, np.flatnonzero(chosen), "left")
    end = np.searchsorted(owner, np.flatnonzero(chosen), "right")
    first, second = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start, stop in zip(begin, np.minimum(end, begin + _IMAGES), strict=True):
        i, j = np.triu_indices(stop - start, 1)
        first.append(order[start + i])
        second.append(order[start + j])
    one = np.concatenate(first)
    return _Pairs(one, np.concatenate(second), patients.of_image[one])


def _pairs_of_strangers(pairs: _Pairs, patients: Patients, rng: np.random.Generator) -> _Pairs:
    """The first images with second images shuffled within strata, less pairs of one patient."""
    second = pairs.second.copy()
    stratum = patients.stratum[pairs.patient]
    for cell in np.unique(stratum):
        inside = np.flatnonzero(stratum == cell)
        second[inside] = pairs.second[rng.permutation(inside)]
    kept = patients.of_image[second] != pairs.patient
    return _Pairs(pairs.first[kept], second[kept], pairs.patient[kept])


def _linked(rows: Integers, pairs: _Pairs, k: int) -> npt.NDArray[np.bool_]:
    """Whether the images of each pair share one of their k nearest synthetic images."""
    result = np.zeros(len(pairs.first), np.bool_)
    for begin in range(0, len(result), _BLOCK):
        part = slice(begin, begin + _BLOCK)
        one, two = rows[pairs.first[part], :k], rows[pairs.second[part], :k]
        equal = (one[:, :, None] == two[:, None, :]) & (one >= 0)[:, :, None]
        result[part] = equal.any(axis=(1, 2))
    return result


def linkability(
    reaches: Sequence[Reach],
    patients: Patients,
    *,
    neighbours: tuple[int, ...] = (1, 3, 10),
    min_controls: int = 20,
    permutations: int,
    rng: np.random.Generator,
) -> Linkability:
    """Test whether images of train patients link more often than those of control patients.

    Args:
        reaches: One entry a feature space, with at least ``max(neighbours)`` synthetic images
            retrieved for each real image where there are as many.
        patients: The numbering.
        neighbours: Numbers of nearest synthetic images, k.
        min_controls: Fewest patients of either group with two images.
        permutations: Relabellings.
        rng: Source of randomness.

    Returns:
        Rows and p-values.
    """
    images = np.bincount(patients.of_image, minlength=len(patients.member))
    several = images >= 2
    several[several] = usable_patients(restricted(patients, several))
    compared = restricted(patients, several)
    n = (compared.n_members, compared.n_controls)
    reason = "" if reaches and neighbours else "no feature space to search in"
    if not patients.known:
        reason = "patients are unknown, so no two images are known to be of one patient"
    elif min(n) < min_controls:
        reason = (
            f"{n[0]} train and {n[1]} control patients have two images or more; "
            f"{min_controls} of either are needed"
        )
    pairs = _pairs_of_patients(patients, several, rng)
    strangers = _pairs_of_strangers(pairs, patients, rng)
    number = (np.cumsum(several) - 1)[pairs.patient]
    weights = standard_weights(compared)
    rows: list[tuple[Reach, int, str]] = []
    columns = []
    for reach in reaches:
        retrieved = reach.to_synthetic.rows
        available = int((retrieved >= 0).sum(axis=1).min(initial=retrieved.shape[1]))
        for k in neighbours:
            short = f"{available} synthetic images retrieved, fewer than {k}"
            why = reason or (short if available < k else "")
            rows.append((reach, k, why))
            if not why:
                linked = _linked(retrieved, pairs, k)
                columns.append(
                    np.bincount(number, linked, int(several.sum())) / np.bincount(number)
                )
    if not columns:
        empty = [
            Linked(r.space, k, *n, len(pairs.first), None, None, None, None, None, why)
            for r, k, why in rows
        ]
        return Linkability(tuple(empty), None, reason or empty[0].reason)
    table = np.stack(columns, axis=1)
    tested = relabelling_test(
        lambda labels: (np.where(labels, weights[0], -weights[1])) @ table,
        compared,
        permutations,
        rng,
    )
    results = []
    column = 0
    for reach, k, why in rows:
        if why:
            results.append(
                Linked(reach.space, k, *n, len(pairs.first), None, None, None, None, None, why)
            )
            continue
        member = compared.member
        train = float((weights[0] * table[:, column])[member].sum())
        control = float((weights[1] * table[:, column])[~member].sum())
        unrelated = _linked(reach.to_synthetic.rows, strangers, k)
        results.append(
            Linked(
                reach.space,
                k,
                *n,
                len(pairs.first),
                train,
                control,
                float(unrelated.mean()) if len(unrelated) else None,
                finite_risk(train, control),
                float(tested.single[column]),
                "",
            )
        )
        column += 1
    return Linkability(tuple(results), tested.joint, "")
