from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import beta, binom

from audits.comparisons.disclosure import (
    Disclosure,
    DisclosureResult,
    excess_disclosure,
    patient_distances,
    residual_risk,
)
from audits.comparisons.reach import Reach
from audits.images import Patients
from audits.search.exact import Neighbours
from audits.statistics.permutation import relabel

OPTIONS: dict[str, Any] = {"quantile": 0.05, "permutations": 99, "confidence": 0.95, "curve": ()}


def _patients(*cells: tuple[int, int]) -> Patients:
    member = np.concatenate([np.arange(t + c) < t for t, c in cells])
    stratum = np.repeat(np.arange(len(cells)), [t + c for t, c in cells])
    return Patients(np.arange(len(member)), member, stratum, True)


def _run(squared: Any, patients: Patients, seed: int = 0, **options: Any) -> DisclosureResult:
    spaces = squared if isinstance(squared, dict) else {"space": np.asarray(squared, float)}
    rng = np.random.default_rng(seed)
    return excess_disclosure(spaces, patients, **{**OPTIONS, **options}, rng=rng)


def _naive(squared: npt.NDArray[np.float64], patients: Patients, quantile: float) -> Disclosure:
    """Everything but the p-value, patient by patient, with equal shares in all strata."""
    train = [a for a, m in zip(squared, patients.member, strict=True) if m]
    control = [a for a, m in zip(squared, patients.member, strict=True) if not m]
    k = math.ceil(quantile * len(control) - 1e-9)
    tau = sorted(control)[k - 1]
    t, c = sum(a <= tau for a in train), sum(a <= tau for a in control)
    low, high = beta.ppf(0.025, k, len(control) + 1 - k), 1.0
    if c < len(control):
        high = beta.ppf(0.975, c + 1, len(control) - c)
    train_low = beta.ppf(0.025, t, len(train) - t + 1) if t else 0.0
    train_high = beta.ppf(0.975, t + 1, len(train) - t) if t < len(train) else 1.0
    p_t, p_c = t / len(train), c / len(control)
    return Disclosure(
        "space", len(train), len(control), t, c, p_t, p_c,
        residual_risk(p_t, p_c), residual_risk(train_low, high), residual_risk(train_high, low),
        None, "",
    )  # fmt: skip


def test_residual_risk_by_hand() -> None:
    assert residual_risk(0.5, 0.2) == pytest.approx(0.375)
    assert residual_risk(1.0, 0.3) == 1.0
    assert residual_risk(0.2, 0.2) == 0.0
    assert residual_risk(1.0, 1.0) == 0.0
    assert residual_risk(0.5, 1.0) == -np.inf


@pytest.mark.parametrize("quantile", [0.01, 0.05, 0.13, 0.5])
@pytest.mark.parametrize("levels", [5, 10_000])
def test_equals_the_naive_reference(quantile: float, levels: int) -> None:
    rng = np.random.default_rng(levels)
    patients = _patients((30, 20), (60, 40))
    squared = rng.integers(0, levels, 150) / levels
    expected = asdict(_naive(squared, patients, quantile))
    row = asdict(_run(squared, patients, quantile=quantile, permutations=0).rows[0])
    for name in set(expected) - {"p_value", "reason", "space"}:
        assert row[name] == pytest.approx(expected[name], abs=1e-9), name


def test_p_value_recomputes_tau_in_every_relabelling() -> None:
    rng = np.random.default_rng(3)
    patients = _patients((12, 8), (5, 15))
    squared = rng.integers(0, 12, 40) / 10.0
    weight = np.where(patients.stratum == 0, 12 / 8, 5 / 15)

    def statistic(member: npt.NDArray[np.bool_]) -> float:
        total = weight[~member].sum()
        for tau in np.unique(squared):
            phantom = weight[~member & (squared <= tau)].sum() / total
            if phantom >= 0.2 - 1e-9:
                return float((squared[member] <= tau).mean() - phantom)
        raise AssertionError

    result = _run(squared, patients, 5, quantile=0.2, permutations=300)
    relabellings = relabel(patients, 300, np.random.default_rng(5))
    reached = sum(statistic(m) >= statistic(patients.member) - 1e-9 for m in relabellings)
    assert result.rows[0].p_value == (reached + 1) / 301


def test_copies_of_every_train_patient_reach_one() -> None:
    rng = np.random.default_rng(0)
    patients = _patients((40, 20), (40, 30))
    squared = np.where(patients.member, 0.0, 0.5 + rng.random(130))
    result = _run({"a": squared, "b": rng.random(130)}, patients)
    row = result.rows[0]
    assert (row.disclosed_train, row.train_rate, row.risk, row.upper) == (80, 1.0, 1.0, 1.0)
    assert row.lower is not None
    assert row.lower > 0.9
    assert (row.p_value, result.p_value, result.worst) == (0.01, 0.01, row)


@pytest.mark.parametrize("cells", [((60, 40),), ((80, 20), (10, 30), (12, 12))])
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_level_and_coverage_in_simulation(cells: Any, share: float) -> None:
    rng = np.random.default_rng(1)
    patients = _patients(*cells)
    n, runs, rejected, above, below = len(patients.member), 500, 0, 0, 0
    for _ in range(runs):
        # Strata differ in distance; patients have 1 to 20 images, of which the nearest counts.
        images = rng.integers(1, 21, n)
        squared = 0.1 + 0.3 * patients.stratum + rng.random(n) ** images
        leaked = patients.member & (rng.random(n) < share)
        squared[leaked] = 0.01
        spaces = {"x": squared} if share else {"x": squared, "y": squared + rng.random(n)}
        result = _run(spaces, patients, permutations=39)
        row = result.rows[0]
        assert row.upper is not None
        assert row.lower is not None
        assert result.p_value is not None
        rejected += result.p_value <= 0.05
        above += row.upper >= share
        below += row.lower <= share
    assert min(above, below) >= binom.ppf(0.0005, runs, 0.95)
    if share:
        assert rejected > 0.9 * runs
    else:
        assert binom.ppf(0.0005, runs, 0.025) <= rejected <= binom.ppf(0.9995, runs, 0.05)


def test_several_spaces_share_the_error_and_the_curve_does_not() -> None:
    rng = np.random.default_rng(2)
    patients = _patients((100, 100))
    spaces = {name: rng.random(200) for name in "abc"}
    joint = _run(spaces, patients, curve=(0.01, 0.05, 0.2))
    alone = _run({"a": spaces["a"]}, patients)
    assert joint.rows[0].upper is not None
    assert alone.rows[0].upper is not None
    assert joint.rows[0].upper > alone.rows[0].upper
    assert [point.quantile for point in joint.curve[:3]] == [0.01, 0.05, 0.2]
    assert joint.curve[1].upper == alone.rows[0].upper
    assert joint.worst is max(joint.rows, key=lambda row: row.upper or 0.0)
    json.dumps(asdict(joint), allow_nan=False)


def test_extremes() -> None:
    for cells in [((3, 0),), ((0, 3),), ((2, 0), (0, 2))]:
        result = _run(np.zeros(sum(map(sum, cells))), _patients(*cells), curve=(0.1,))
        assert (result.worst, result.p_value, result.rows[0].risk) == (None, None, None)
        assert result.reason
        assert result.rows[0].reason
    assert _run({}, _patients((2, 2))).reason == "no feature space"
    # Nothing but ties, and no synthetic image at all: no evidence, and nothing excluded either.
    for value in (0.0, np.inf):
        equal = _run(np.full(4, value), _patients((2, 2)), curve=(0.1,))
        assert (equal.rows[0].risk, equal.rows[0].upper, equal.p_value) == (0.0, 1.0, 1.0)
        json.dumps(asdict(equal), allow_nan=False)
    # Control patients are copied and train patients are not.
    odd = _run(np.r_[1.0, 1.0, 0.0, 0.0], _patients((2, 2)))
    assert (odd.rows[0].risk, odd.rows[0].p_value) == (None, 1.0)
    assert odd.rows[0].reason
    # A stratum of one side is left out and counted.
    part = _run(np.arange(7.0), _patients((2, 2), (3, 0)))
    assert (part.excluded_patients, part.rows[0].n_train) == (3, 2)
    with pytest.raises(ValueError, match="shares"):
        _run(np.zeros(4), _patients((2, 2)), quantile=0.0)


def test_reaches_give_the_minimum_over_images() -> None:
    squared = np.array([[0.3, 0.4], [0.1, 0.2], [0.5, np.inf]])
    reach = Reach("x", Neighbours(squared, np.zeros((3, 2), np.int64)), np.ones(3))
    patients = Patients(np.array([0, 0, 1]), np.array([True, False]), np.zeros(2, np.int64), True)
    assert patient_distances([reach], patients)["x"].tolist() == [0.1, 0.5]
    none = Reach("x", Neighbours(np.empty((3, 0)), np.empty((3, 0), np.int64)), np.ones(3))
    assert patient_distances([none], patients)["x"].tolist() == [np.inf, np.inf]
    rng = np.random.default_rng(0)
    result = excess_disclosure([reach], patients, **OPTIONS, rng=rng)
    assert result.rows[0].disclosed_train == 1
