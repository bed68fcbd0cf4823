"""Train-against-control contrast: are synthetic images closer to members than to non-members?

Each synthetic image is captured by its nearest real image, train or control. Had nothing leaked,
captures would fall on train and control patients in proportion to their numbers. The closest
share is that proportion after weighting each group by its number of patients, so that one half
means no leakage whatever the sizes of the sets. It is taken over all synthetic images and over
the closest 10 %, 1 % and 0.1 %, because a few copies vanish in a mean.

The p-value relabels patients, keeping every image with its patient. The synthetic images that
form a tail are those nearest to *any* real image, so a relabelling changes neither the tail nor
who captures whom: all relabellings cost one matrix product and no further search. The maximum of
the standardised shares over tails and scales gives one p-value for all (Westfall & Young 1993).
Relabelling with unequal group sizes is exact, so no member is left out to equalise them: leaving
members out would leave their copies out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.features.pixels import FloatArray
from audits.images import Patients
from audits.search.exact import Neighbours, tied_rows
from audits.statistics.intervals import Interval, permutation_p_value
from audits.statistics.permutation import chance_of_all_members, relabel, usable_patients

__all__ = ["Captures", "ClosestShare", "Contrast", "capture", "contrast"]

_TOLERANCE = 1e-9


@dataclass(frozen=True, eq=False)
class Captures:
    """Which patients own the nearest real image of each of m synthetic images.

    A tie between patients is shared equally: between one of train and one of control it counts
    one half for each.

    Attributes:
        squared: float64 (m,), squared distance to the nearest real image.
        query: int64 (entries,), ascending.
        patient: int64 (entries,).
        weight: float64 (entries,), summing to 1 for each query.
    """

    squared: npt.NDArray[np.float64]
    query: npt.NDArray[np.int64]
    patient: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64]

    def __len__(self) -> int:
        """Number of synthetic images."""
        return len(self.squared)

    def select(self, index: npt.NDArray[np.int64]) -> Captures:
        """The captures of some synthetic images, each at most once."""
        position = np.full(len(self), -1, np.int64)
        position[index] = np.arange(len(index))
        kept = position[self.query] >= 0
        return Captures(
            self.squared[index], position[self.query[kept]], self.patient[kept], self.weight[kept]
        )

    def joined(self, other: Captures) -> Captures:
        """These captures followed by others among the same patients."""
        return Captures(
            np.r_[self.squared, other.squared],
            np.r_[self.query, other.query + len(self)],
            np.r_[self.patient, other.patient],
            np.r_[self.weight, other.weight],
        )


@dataclass(frozen=True)
class ClosestShare:
    """The closest share of one tail in one feature space.

    Attributes:
        space: Feature space.
        tail: Share of the closest synthetic images looked at; 1 for all.
        n_images: Synthetic images in the tail.
        n_patients: Distinct patients that capture them.
        estimate: Closest share, one half without leakage; None when not estimable.
        interval: Patient-bootstrap interval, or None.
        p_value: One-sided permutation p-value of this share alone, or None.
        reason: Why it is not estimable; empty otherwise.
    """

    space: str
    tail: float
    n_images: int
    n_patients: int
    estimate: float | None
    interval: Interval | None
    p_value: float | None
    reason: str


@dataclass(frozen=True)
class Contrast:
    """All closest shares with their joint p-values.

    Attributes:
        shares: One entry a space and tail.
        p_value: One-sided, by the maximum over estimable shares; None when none is estimable.
        p_two_sided: The same for deviations to either side, for null comparisons.
    """

    shares: tuple[ClosestShare, ...]
    p_value: float | None
    p_two_sided: float | None


def capture(
    queries: tuple[FloatArray, ...],
    references: FloatArray,
    found: tuple[Neighbours, ...],
    patient_of_row: npt.NDArray[np.int64],
) -> Captures:
    """Find the patients that capture each query, over several versions of the query.

    Args:
        queries: Versions of the same m queries (plain, mirrored), each (m, d).
        references: float32 (n, d), n at least 1.
        found: The neighbours of each version.
        patient_of_row: int64 (n,), patient number of each reference.

    Returns:
        One capture a query, at the least distance over the versions.
    """
    best = np.min([part.squared[:, 0] for part in found], axis=0)
    queries_found, owners = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for version, part in zip(queries, found, strict=True):
        tied = (part.squared == best[:, None]) & (part.rows >= 0)
        # Where every retrieved neighbour ties, more may: all references are looked at.
        crowded = tied.all(axis=1) & (part.rows.shape[1] < len(references))
        query, column = np.nonzero(tied & ~crowded[:, None])
        queries_found.append(query)
        owners.append(patient_of_row[part.rows[query, column]])
        for number in np.flatnonzero(crowded):
            row = slice(number, number + 1)
            rows = tied_rows(
                version[row], references, Neighbours(part.squared[row], part.rows[row])
            )[0]
            queries_found.append(np.full(len(rows), number, np.int64))
            owners.append(patient_of_row[rows])
    patients = int(patient_of_row.max()) + 1
    # One entry a query and patient, however many of the patient's images tie.
    entries = np.unique(np.concatenate(queries_found) * patients + np.concatenate(owners))
    query, patient = np.divmod(entries, patients)
    weight = 1.0 / np.bincount(query, minlength=len(best))[query]
    return Captures(best, query, patient, weight)


def _tail_counts(
    captures: Captures, tail: float, usable: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], int]:
    """Captured images of each patient within a tail, and images in the tail."""
    size = int(tail * len(captures) + _TOLERANCE)
    inside = np.zeros(len(captures), np.bool_)
    # Ties at the edge go to the lower row, which no relabelling changes.
    inside[np.argsort(captures.squared, kind="stable")[:size]] = True
    kept = inside[captures.query]
    counts = np.bincount(
        captures.patient[kept], weights=captures.weight[kept], minlength=len(usable)
    )
    return np.where(usable, counts, 0.0), size


def _share(
    labels: npt.NDArray[np.floating | np.bool_],
    multiplicity: npt.NDArray[np.floating] | float,
    counts: npt.NDArray[np.float64],
    weights: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
) -> npt.NDArray[np.float64]:
    """Closest shares (rows of labels, columns of counts); NaN where nothing is captured."""
    members = labels.astype(np.float64)
    a = (members * multiplicity * weights[0]) @ counts
    b = ((1.0 - members) * multiplicity * weights[1]) @ counts
    with np.errstate(invalid="ignore", divide="ignore"):
        result: npt.NDArray[np.float64] = a / (a + b)
    return result


def _group_weights(
    patients: Patients, usable: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """For each patient, stratum size / members and stratum size / controls of the stratum."""
    weights = (np.zeros(len(usable)), np.zeros(len(usable)))
    for cell in np.unique(patients.stratum[usable]):
        inside = patients.stratum == cell
        for weight, group in zip(weights, (patients.member, ~patients.member), strict=True):
            weight[inside] = inside.sum() / (inside & group).sum()
    return weights


def _resampled(patients: Patients, count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """How often each patient is drawn: resampling within stratum and group."""
    times = np.zeros((count, len(patients.member)))
    for cell in np.unique(patients.stratum):
        for group in (True, False):
            inside = np.flatnonzero((patients.stratum == cell) & (patients.member == group))
            if len(inside):
                times[:, inside] = rng.multinomial(
                    len(inside), np.full(len(inside), 1.0 / len(inside)), count
                )
    return times


def _p_values(
    observed: npt.NDArray[np.float64], permuted: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], float, float]:
    """Single one-sided p-values, joint one-sided and joint two-sided p-value."""
    count = len(permuted)
    every = np.vstack([observed, permuted])
    spread = every.std(axis=0)
    z = (every - every.mean(axis=0)) / np.where(spread > _TOLERANCE, spread, np.inf)
    single = (permuted >= observed - _TOLERANCE).sum(axis=0)
    joint = int((z[1:].max(axis=1) >= z[0].max() - _TOLERANCE).sum())
    both = int((np.abs(z[1:]).max(axis=1) >= np.abs(z[0]).max() - _TOLERANCE).sum())
    return (
        np.array([permutation_p_value(int(b), count) for b in single]),
        permutation_p_value(joint, count),
        permutation_p_value(both, count),
    )


def contrast(
    captures: Mapping[str, Captures],
    patients: Patients,
    *,
    tails: tuple[float, ...],
    min_tail: int,
    alpha: float,
    permutations: int,
    bootstrap: int,
    confidence: float,
    rng: np.random.Generator,
) -> Contrast:
    """Test whether train patients capture more synthetic images than control patients.

    Args:
        captures: One entry a feature space.
        patients: The numbering of train and control patients.
        tails: Shares of the closest synthetic images, beside all of them.
        min_tail: Fewest images in a tail.
        alpha: Level a tail must be able to reach to be estimable.
        permutations: Relabellings.
        bootstrap: Resamplings; 0 gives no intervals.
        confidence: Of the intervals.
        rng: Source of randomness.

    Returns:
        Shares and p-values. Intervals treat who captures whom as fixed, which is approximate.
    """
    usable = usable_patients(patients)
    weights = _group_weights(patients, usable)
    rows: list[tuple[str, float, int, int, str]] = []
    columns = []
    for space, captured in captures.items():
        for tail in (1.0, *tails):
            counts, size = _tail_counts(captured, tail, usable)
            involved = np.flatnonzero(counts)
            reason = ""
            if size < min_tail:
                reason = f"{size} synthetic images in this tail, fewer than {min_tail}"
            elif chance_of_all_members(patients, involved) > alpha:
                reason = (
                    f"{len(involved)} patients capture this tail, too few to reach "
                    f"p = {alpha:g} even if all were training patients"
                )
            rows.append((space, tail, size, len(involved), reason))
            if not reason:
                columns.append(counts)
    if not columns:
        empty = tuple(ClosestShare(*row[:4], None, None, None, row[4]) for row in rows)
        return Contrast(empty, None, None)
    table = np.stack(columns, axis=1)
    observed = _share(patients.member[None, :], 1.0, table, weights)[0]
    permuted = np.concatenate(
        [
            _share(relabel(patients, min(500, permutations - i), rng), 1.0, table, weights)
            for i in range(0, permutations, 500)
        ]
    )
    single, joint, both = _p_values(observed, permuted)
    intervals: list[Interval | None] = [None] * len(columns)
    if bootstrap:
        times = _resampled(patients, bootstrap, rng)
        drawn = _share(patients.member[None, :], times, table, weights)
        side = (1.0 - confidence) / 2.0
        for column in range(len(columns)):
            values = drawn[:, column]
            low, high = np.quantile(values[np.isfinite(values)], [side, 1.0 - side])
            intervals[column] = Interval(float(low), float(high), confidence)
    shares: list[ClosestShare] = []
    column = 0
    for row in rows:
        if row[4]:
            shares.append(ClosestShare(*row[:4], None, None, None, row[4]))
            continue
        shares.append(
            ClosestShare(
                *row[:4], float(observed[column]), intervals[column], float(single[column]), ""
            )
        )
        column += 1
    return Contrast(tuple(shares), joint, both)
