from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import beta, binom, norm

from audits.comparisons.membership import MembershipResult, auc_interval, membership
from audits.images import Patients
from audits.statistics.permutation import relabel

OPTIONS: dict[str, Any] = {"permutations": 99, "confidence": 0.95}
Floats = npt.NDArray[np.float64]


def _patients(*cells: tuple[int, int]) -> Patients:
    member = np.concatenate([np.arange(t + c) < t for t, c in cells])
    stratum = np.repeat(np.arange(len(cells)), [t + c for t, c in cells])
    return Patients(np.arange(len(member)), member, stratum, True)


def _run(scores: Any, patients: Patients, seed: int = 0, **options: Any) -> MembershipResult:
    named = scores if isinstance(scores, dict) else {"x": np.asarray(scores, np.float64)}
    rng = np.random.default_rng(seed)
    return membership(named, patients, **{**OPTIONS, **options}, rng=rng)


def _naive(scores: Floats, member: npt.NDArray[np.bool_], weight: Floats, fpr: float) -> Any:
    """AUC and TPR, pair by pair."""
    total = weight[~member].sum()
    pairs = sum(
        weight[c] * ((scores[t] > scores[c]) + 0.5 * (scores[t] == scores[c]))
        for t in np.flatnonzero(member)
        for c in np.flatnonzero(~member)
    )
    tpr = 0.0
    for threshold in np.unique(scores):
        accused = scores >= threshold
        if weight[accused & ~member].sum() <= fpr * total + 1e-9:
            tpr = max(tpr, float(accused[member].mean()))
    return pairs / (member.sum() * total), tpr


@pytest.mark.parametrize("levels", [6, 10_000])
@pytest.mark.parametrize("cells", [((30, 30),), ((25, 10), (8, 30))])
def test_statistics_and_p_values_equal_the_naive_reference(levels: int, cells: Any) -> None:
    rng = np.random.default_rng(levels)
    patients = _patients(*cells)
    n = len(patients.member)
    scores = rng.integers(0, levels, n).astype(np.float64) + 0.1 * levels * patients.member
    rates = {0.1: 1, 0.3: 1}
    row = _run(scores, patients, permutations=60, min_control=rates).rows[0]
    weight = np.ones(n)
    for cell, (t, c) in enumerate(cells):
        weight[patients.stratum == cell] = t / c
    for entry in row.recognised:
        auc, tpr = _naive(scores, patients.member, weight, entry.fpr)
        assert (row.auc, entry.tpr) == (pytest.approx(auc), pytest.approx(tpr))
    observed = _naive(scores, patients.member, weight, 0.1)
    relabelled = [
        _naive(scores, labels, weight, 0.1)
        for labels in relabel(patients, 60, np.random.default_rng(0))
    ]
    for column, p in enumerate((row.p_value, row.p_value_tpr)):
        reached = sum(r[column] >= observed[column] - 1e-9 for r in relabelled)
        assert p == (reached + 1) / 61


def _delong_naive(scores: Floats, member: npt.NDArray[np.bool_]) -> float:
    table = np.sign(scores[member][:, None] - scores[~member][None, :]) / 2 + 0.5
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    return float(rows.var(ddof=1) / len(rows) + columns.var(ddof=1) / len(columns))


def _ends(auc: float, trains: int, controls: int) -> tuple[float, float]:
    found = auc_interval(auc, 0.0, trains, controls, 0.95)
    return found.low, found.high


def test_interval_of_the_auc() -> None:
    rng = np.random.default_rng(0)
    patients = _patients((40, 60))
    # Ten copies among forty: the spread exceeds what Hanley and McNeil assume.
    scores = np.round(rng.random(100), 2)
    scores[:20] += 2.0
    row = _run(scores, patients, permutations=0).rows[0]
    assert row.auc is not None
    variance = _delong_naive(scores, patients.member)
    expected = auc_interval(row.auc, variance, 40, 60, 0.95)
    assert row.interval is not None
    assert row.interval.low == pytest.approx(expected.low)
    assert row.interval.high == pytest.approx(expected.high)
    assert expected.high - expected.low > 1.01 * np.diff(_ends(row.auc, 40, 60))[0]
    # Each end solves the score equation, and nothing collapses at the edges.
    z = norm.ppf(0.975)
    for auc in (0.0, 0.3, 0.5, 1.0):
        found = auc_interval(auc, 0.0, 30, 50, 0.95)
        for end in (found.low, found.high):
            q1, q2 = end / (2 - end), 2 * end**2 / (1 + end)
            # Newcombe's method 5 takes the mean of both sizes for each.
            spread = end * (1 - end) + 39 * (q1 - end**2 + q2 - end**2)
            assert (end - auc) ** 2 == pytest.approx(z**2 * spread / 1500, abs=1e-9)
        assert 0.0 <= found.low <= auc <= found.high <= 1.0
        assert found.high - found.low > 0.03


@pytest.mark.parametrize("leak", [0.0, 0.3])
@pytest.mark.parametrize("cells", [((40, 40),), ((40, 20), (10, 30), (25, 25))])
def test_level_and_coverage_in_simulation(leak: float, cells: Any) -> None:
    rng = np.random.default_rng(8)
    patients = _patients(*cells)
    n, runs = len(patients.member), 500
    rejected = covered = 0
    for run in range(runs):
        # Clustered images: the score is the maximum over 1 to 30 similar ones; strata differ.
        images = rng.integers(1, 31, n)
        scores = rng.standard_normal(n) + 0.3 * np.sqrt(np.log(images)) + 0.5 * patients.stratum
        copied = patients.member & (rng.random(n) < leak)
        scores[copied] += 20.0
        groups = {"many": images > 25, "last stratum": patients.stratum == len(cells) - 1}
        spaces = {"a": scores, "b": scores + rng.standard_normal(n)}
        options = {"permutations": 19, "groups": groups, "min_group": 8}
        if leak and run >= 50:
            spaces, options = {"a": scores}, {"permutations": 0}
        result = _run(spaces, patients, run, **options)
        assert result.p_value is not None
        rejected += result.p_value <= 0.05
        interval = result.rows[0].interval
        assert interval is not None
        # Standardised control scores are distributed like those of train without the copies.
        covered += interval.low <= 0.5 + leak / 2 <= interval.high
    assert covered >= binom.ppf(0.0005, runs, 0.95)
    if leak:
        assert rejected > 0.5 * 50
    else:
        assert binom.ppf(0.0005, runs, 0.03) <= rejected <= binom.ppf(0.9995, runs, 0.05)


def test_recognised_intervals_cover_in_simulation() -> None:
    rng = np.random.default_rng(9)
    patients, leak, runs = _patients((80, 100)), 0.25, 500
    above = right = 0
    for run in range(runs):
        scores = rng.random(180)
        copied = patients.member & (rng.random(180) < leak)
        # The eleventh largest of a hundred control scores is the first that is not accused.
        fpr = 1.0 - np.sort(scores[~patients.member])[-11]
        scores[copied] = 2.0
        entry = _run(scores, patients, run, permutations=0).rows[0].recognised[0]
        assert entry.interval is not None
        assert entry.fpr_interval is not None
        above += entry.fpr_interval.low <= fpr <= entry.fpr_interval.high
        tpr = leak + (1.0 - leak) * fpr
        right += entry.interval.low <= tpr <= entry.interval.high
    assert binom.ppf(0.0005, runs, 0.95) <= above <= binom.ppf(0.9995, runs, 0.95)
    assert right >= binom.ppf(0.0005, runs, 0.95)


def test_rates_the_control_patients_cannot_resolve_are_not_estimable() -> None:
    rng = np.random.default_rng(0)
    for controls, known in [(99, 0), (100, 1), (999, 1), (1000, 2), (20_000, 3)]:
        patients = _patients((200, controls))
        row = _run(rng.random(200 + controls), patients, permutations=0).rows[0]
        assert [entry.fpr for entry in row.recognised] == [0.1, 0.01, 0.001]
        assert [entry.tpr is not None for entry in row.recognised] == [i < known for i in range(3)]
        assert all(entry.reason for entry in row.recognised[known:])
    percent = row.recognised[1].fpr_interval
    assert percent is not None
    assert percent.low == pytest.approx(beta.ppf(0.025, 201, 19_800))
    # A thousand patients who count for few: one stratum carries nearly all the weight.
    uneven = _run(rng.random(2100), _patients((100, 990), (1000, 10)), permutations=0).rows[0]
    assert uneven.recognised[1].tpr is None


def test_copies_of_every_train_patient_and_groups() -> None:
    patients = _patients((60, 60), (60, 50))
    rng = np.random.default_rng(1)
    scores = np.where(patients.member, 14.0, rng.random(230))
    groups = {
        "few": np.arange(230) < 5,
        "nobody": np.zeros(230, np.bool_),
        "train only": patients.member & (np.arange(230) < 30),
    }
    result = _run({"x": scores, "flat": np.zeros(230)}, patients, groups=groups)
    assert result.p_value == 0.01
    row = result.rows[0]
    assert (row.score, row.group, row.auc, row.p_value, row.p_value_tpr) == (
        "x",
        "all",
        1,
        0.01,
        0.01,
    )
    assert row.interval is not None
    assert row.interval.high == 1.0
    assert 0.9 < row.interval.low < 1.0
    assert row.recognised[0].tpr == 1.0
    assert [r.group for r in result.rows[:4]] == ["all", *groups]
    assert all(r.auc is None and r.reason for r in result.rows[1:4])
    flat = result.rows[4]
    assert (flat.auc, flat.p_value, flat.p_value_tpr, flat.recognised[0].tpr) == (0.5, 1, 1, 0)
    assert _run(np.zeros(230), patients, groups=groups).p_value == 1.0
    json.dumps(asdict(result), allow_nan=False)


def test_nothing_to_compare() -> None:
    for cells in [((3, 0),), ((0, 2),), ((2, 0), (0, 2)), ((0, 0),)]:
        result = _run(np.zeros(sum(map(sum, cells))), _patients(*cells))
        assert (result.p_value, result.rows[0].auc) == (None, None)
        assert result.reason
    assert _run({}, _patients((2, 2))).reason == "no score"
    one = _run(np.array([1.0, 0.0]), _patients((1, 1)))
    assert one.rows[0].auc == 1.0
    part = _run(np.arange(7.0), _patients((2, 2), (3, 0)))
    assert (part.excluded_patients, part.rows[0].n_train) == (3, 2)
    with pytest.raises(ValueError, match="finite"):
        _run(np.array([np.inf, 0.0]), _patients((1, 1)))
