"""Singling out: does a synthetic image isolate one patient, more often in train than in control?

The first criterion of Article 29 Working Party Opinion 05/2014 (WP216). A synthetic image e gives
the predicate p(x) = "the nearest image of patient x lies within theta_e of e". The attack
succeeds if exactly one of N patients satisfies it (predicate singling out, Cohen & Nissim, PNAS
117 (2020)). Success alone means little: a predicate that holds for a share w of all patients
isolates one of N with probability N w (1 - w)^(N - 1), 37 % at w = 1 / N, with no synthetic
images at all. So the rate among train patients is compared with that among as many control
patients. Small w matters most: there chance vanishes and memorised patients remain. The form
follows ``voice-anonymization-legal-eval`` (validated for voices); taking synthetic images for the
attacker's guesses is our own adaptation, and nobody has validated it.

theta_e comes from calibration patients, a random half of control within strata, who then leave
the comparison. It is their k-th smallest distance to e, k = sqrt(number), extrapolated to the
declared share (Weissman, JASA 73 (1978)); the exponent, the local dimension (Hill estimator), is
pooled over all synthetic images. A poor extrapolation makes the predicate hold more or less often
than declared, for train and control alike.

Both groups are cut to the same number of patients of every stratum. Instead of cutting at random,
the mean over all cuts is taken: h of n patients satisfy the predicate, so a random m of them hold
none with probability C(n - h, m) / C(n, m) and exactly one with h C(n - h, m - 1) / C(n, m);
strata are convolved. Every train patient takes part, without a random draw.

Why the p-value is exact: let the lottery draw the train patients of a stratum uniformly and let
the calibration patients be a uniform half of the others. Then all divisions of the stratum into
train, rest of control and calibration of these sizes are equally likely; so, given the
calibration patients, and with them all theta_e, every choice of train patients among the
remaining ones is. Without leakage distances do not depend on that choice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.comparisons.relabelling import finite_risk, relabelling_test, restricted
from audits.images import Patients
from audits.statistics.permutation import halve, usable_patients

__all__ = ["Isolation", "SinglingOut", "singling_out"]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Isolation:
    """Isolation rates at one sharpness of the predicate in one feature space.

    Attributes:
        space: Feature space.
        expected: Patients of N that the predicate should hold for; w = expected / N.
        n_images: Synthetic images.
        n_train: Train patients compared.
        n_control: Control patients compared.
        n_calibration: Control patients that set the thresholds.
        n_group: N, patients of each group in which one is to be isolated.
        train: Share of synthetic images that isolate one of N train patients.
        control: The same for control patients.
        baseline: N w (1 - w)^(N - 1), what a guess isolates.
        satisfied: Control patients of N that satisfy the predicate, on average.
        risk: (train - control) / (1 - control), divided by the share of train patients in a
            group of N, because an image that isolates one train patient succeeds only in a group
            that holds it. It estimates the share of synthetic images that isolate a train patient
            beyond chance; at most 1.
        p_value: One-sided permutation p-value of this row alone.
        reason: Why it is not estimable; empty otherwise.
    """

    space: str
    expected: float
    n_images: int
    n_train: int
    n_control: int
    n_calibration: int
    n_group: int
    train: float | None
    control: float | None
    baseline: float | None
    satisfied: float | None
    risk: float | None
    p_value: float | None
    reason: str


@dataclass(frozen=True)
class SinglingOut:
    """All isolation rates with their joint p-value.

    Attributes:
        rows: One entry a space and sharpness.
        p_value: One-sided, by the maximum over rows; None when not estimable.
        reason: Why it is not estimable; empty otherwise.
    """

    rows: tuple[Isolation, ...]
    p_value: float | None
    reason: str


def _thresholds(calibration: Floats, shares: tuple[float, ...]) -> Floats:
    """Squared distance within which a share of patients lies: (images, shares)."""
    count = calibration.shape[1]
    k = min(count, max(2, round(math.sqrt(count))))
    least = np.sort(calibration, axis=1)[:, :k]
    # An image at distance zero of a calibration patient says nothing about the dimension.
    sound = (least[:, 0] > 0.0) & np.isfinite(least[:, -1])
    exponent = 0.0
    if k > 1 and sound.any():
        logs = np.log(least[sound])
        exponent = float((logs[:, -1:] - logs[:, :-1]).mean())
    # Never outwards: beyond the k-th distance the extrapolation has no ground.
    factors = np.minimum(1.0, np.array(shares) * (count + 1) / k) ** exponent
    result: Floats = least[:, -1:] * factors[None, :]
    return result


def _cut_tables(n: int, m: int) -> tuple[Floats, Floats]:
    """Probability that m of n patients hold none, and exactly one, of h: float64 (n + 1,) each."""
    from scipy.special import gammaln

    h = np.arange(n + 1)
    whole = gammaln(n + 1) - gammaln(m + 1) - gammaln(n - m + 1)

    def chosen(size: int) -> Floats:
        """C(n - h, size) / C(n, m)."""
        result = np.zeros(n + 1)
        possible = h[h <= n - size]
        left = n - possible
        result[possible] = np.exp(
            gammaln(left + 1) - gammaln(size + 1) - gammaln(left - size + 1) - whole
        )
        return result

    return np.minimum(chosen(m), 1.0), np.minimum(h * chosen(m - 1), 1.0)


class _Isolator:
    """Isolation rates of both groups for any labels; what does not depend on them is kept."""

    def __init__(self, within: list[npt.NDArray[np.bool_]], patients: Patients) -> None:
        from scipy.sparse import csr_array

        self.cells: list[tuple[npt.NDArray[np.int64], list[csr_array], int, int, int]] = []
        self.columns, self.images = len(within), len(within[0])
        for cell in np.unique(patients.stratum):
            inside = np.flatnonzero(patients.stratum == cell)
            n_train = int(patients.member[inside].sum())
            n_control = len(inside) - n_train
            hits = [csr_array(column[:, inside].astype(np.float32)) for column in within]
            self.cells.append((inside, hits, n_train, n_control, min(n_train, n_control)))

    def rates(self, labels: Labels) -> tuple[Floats, Floats]:
        """Mean over images of the probability to isolate one: float64 (b, columns) each."""
        result = np.zeros((2, len(labels), self.columns))
        for column in range(self.columns):
            shape = (self.images, len(labels))
            none, one = [np.ones(shape), np.ones(shape)], [np.zeros(shape), np.zeros(shape)]
            for inside, hits, n_train, n_control, m in self.cells:
                satisfied = np.asarray(hits[column].sum(axis=1)).astype(np.int64)
                # In most strata most images satisfy nobody, which changes nothing.
                rows = np.flatnonzero(satisfied)
                members = hits[column][rows] @ labels[:, inside].T.astype(np.float32)
                h_train = members.astype(np.int64)
                h_control = satisfied[rows, None] - h_train
                for group, (n, h) in enumerate(((n_train, h_train), (n_control, h_control))):
                    zero, single = _cut_tables(n, m)
                    before = none[group][rows]
                    one[group][rows] = one[group][rows] * zero[h] + before * single[h]
                    none[group][rows] = before * zero[h]
            for group in range(2):
                result[group, :, column] = one[group].mean(axis=0)
        return result[0], result[1]

    def difference(self, labels: Labels) -> Floats:
        """Isolation rate of train less that of control."""
        train, control = self.rates(labels)
        result: Floats = train - control
        return result


def singling_out(
    minima: Mapping[str, Floats],
    patients: Patients,
    *,
    expected: tuple[float, ...] = (1.0, 0.01, 0.001),
    min_controls: int = 20,
    permutations: int,
    rng: np.random.Generator,
) -> SinglingOut:
    """Test whether synthetic images isolate train patients more often than control patients.

    Args:
        minima: For each feature space float64 (images, patients), smallest squared distance of
            each synthetic image to any image of each patient. The same images in every space,
            drawn without looking at labels; about 1,000 are enough.
        patients: The numbering of the columns.
        expected: How many of N patients the predicates should hold for, at most about 1.
        min_controls: Fewest patients of either group left to compare.
        permutations: Relabellings.
        rng: Source of randomness.

    Returns:
        Rates and p-values.
    """
    usable = usable_patients(patients)
    calibration = halve(usable & ~patients.member, patients.stratum, rng)
    kept = usable & ~calibration
    # A stratum may have lost its last control patient to the calibration.
    kept[kept] = usable_patients(restricted(patients, kept))
    compared = restricted(patients, kept)
    sizes = (compared.n_members, compared.n_controls, int(calibration.sum()))
    group = 0
    for cell in np.unique(compared.stratum):
        train_patients = int(compared.member[compared.stratum == cell].sum())
        group += min(train_patients, int((compared.stratum == cell).sum()) - train_patients)
    names = [(space, hits) for space in minima for hits in expected]
    images = max((len(table) for table in minima.values()), default=0)
    reason = ""
    if not names or not images:
        reason = "no synthetic images to guess with"
    elif group < min_controls:
        reason = (
            f"{group} patients a group remain to be compared beside {sizes[2]} calibration "
            f"patients, fewer than {min_controls}"
        )
    if reason:
        empty = (None, None, None, None, None, None)
        rows = [Isolation(s, hits, images, *sizes, group, *empty, reason) for s, hits in names]
        return SinglingOut(tuple(rows), None, reason)
    within = []
    for table in minima.values():
        squared = _thresholds(table[:, calibration], tuple(hits / group for hits in expected))
        within += [table[:, kept] <= squared[:, i : i + 1] for i in range(len(expected))]
    isolator = _Isolator(within, compared)
    train, control = (rate[0] for rate in isolator.rates(compared.member[None, :]))
    tested = relabelling_test(isolator.difference, compared, permutations, rng)
    rows = []
    for column, (space, hits) in enumerate(names):
        satisfied = within[column][:, ~compared.member].mean() * group
        risk = finite_risk(float(train[column]), float(control[column]))
        if risk is not None:
            risk = min(1.0, risk * compared.n_members / group)
        rows.append(
            Isolation(
                space,
                hits,
                images,
                *sizes,
                group,
                float(train[column]),
                float(control[column]),
                hits * (1.0 - hits / group) ** (group - 1),
                float(satisfied),
                risk,
                float(tested.single[column]),
                "",
            )
        )
    return SinglingOut(tuple(rows), tested.joint, "")
