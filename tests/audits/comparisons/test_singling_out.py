from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom

from audits.comparisons.singling_out import SinglingOut, singling_out
from audits.images import Patients
from audits.statistics.permutation import halve

Floats = npt.NDArray[np.float64]


def _patients(members: int, controls: int, stratum: Any = None) -> Patients:
    count = members + controls
    cells = np.zeros(count, np.int64) if stratum is None else np.asarray(stratum, np.int64)
    return Patients(np.arange(count), np.arange(count) < members, cells, True)


def _run(minima: Floats, patients: Patients, seed: int = 0, **options: Any) -> SinglingOut:
    given = {"permutations": 99, "min_controls": 3, **options}
    return singling_out({"space": minima}, patients, **given, rng=np.random.default_rng(seed))


def _minima(
    rng: np.random.Generator, patients: int, images: int, copied: int = 0, shift: Any = 0.0
) -> Floats:
    """Squared distances to patients with one to five images; the first ``copied`` are copied."""
    frames = rng.standard_normal((5, patients, 6)) * 0.3 + rng.standard_normal((patients, 6))
    frames += np.asarray(shift, float).reshape(-1, 1)
    frames[1:][np.arange(1, 5)[:, None] >= rng.integers(1, 6, patients)] = np.inf
    synthetic = rng.standard_normal((images, 6))
    synthetic[:copied] = frames[0, :copied] + 0.02 * rng.standard_normal((copied, 6))
    return np.min(
        [np.square(synthetic[:, None] - frame[None]).sum(axis=2) for frame in frames], axis=0
    )


def _naive_isolation(
    within: npt.NDArray[np.bool_], group: list[list[int]], sizes: list[int]
) -> float:
    """Mean over all choices of ``sizes`` patients of each stratum, by enumeration."""
    choices: list[tuple[int, ...]] = [()]
    for members, size in zip(group, sizes, strict=True):
        choices = [(*a, *b) for a in choices for b in combinations(members, size)]
    hits = [within[:, list(choice)].sum(axis=1) == 1 for choice in choices]
    return float(np.mean(hits))


def _naive_thresholds(calibration: Floats, share: float) -> list[float]:
    count = calibration.shape[1]
    k = round(math.sqrt(count))
    least = [sorted(row)[:k] for row in calibration.tolist()]
    logs = [math.log(row[-1] / value) for row in least for value in row[:-1]]
    exponent = sum(logs) / len(logs)
    return [row[-1] * min(1.0, share * (count + 1) / k) ** exponent for row in least]


def test_rates_equal_enumeration() -> None:
    stratum = [0, 0, 0, 0, 1, 1, 1, *([0] * 6), *([1] * 4)]
    patients = _patients(7, 10, stratum)
    minima = _minima(np.random.default_rng(5), 17, 40, copied=4)
    result = _run(minima, patients, seed=3, expected=(1.0, 0.3))
    calibration = halve(~patients.member, patients.stratum, np.random.default_rng(3))
    groups = [
        [
            [i for i in range(17) if side[i] and stratum[i] == cell and not calibration[i]]
            for cell in (0, 1)
        ]
        for side in (patients.member, ~patients.member)
    ]
    sizes = [min(len(a), len(b)) for a, b in zip(*groups, strict=True)]
    for row, expected in zip(result.rows, (1.0, 0.3), strict=True):
        assert row.n_group == sum(sizes)
        limits = _naive_thresholds(minima[:, calibration], expected / sum(sizes))
        within = minima <= np.array(limits)[:, None]
        train, control = (_naive_isolation(within, group, sizes) for group in groups)
        assert row.train == pytest.approx(train)
        assert row.control == pytest.approx(control)
        rest = [i for cell in groups[1] for i in cell]
        assert row.satisfied == pytest.approx(within[:, rest].mean() * sum(sizes))
        ratio = sum(len(cell) for cell in groups[0]) / sum(sizes)
        assert row.risk == pytest.approx((train - control) / (1 - control) * ratio)


def test_size_under_a_clustered_null() -> None:
    rng = np.random.default_rng(1)
    stratum = np.r_[np.zeros(40), np.ones(10), np.zeros(10), np.ones(20)].astype(int)
    runs, rejected = 500, 0
    for run in range(runs):
        minima = _minima(rng, 80, 25, shift=1.5 * stratum)
        result = _run(minima, _patients(50, 30, stratum), run)
        assert result.p_value is not None
        rejected += result.p_value <= 0.05
    assert binom.ppf(0.0005, runs, 0.02) <= rejected <= binom.ppf(0.9995, runs, 0.05)


def test_chance_is_near_the_best_guess() -> None:
    rng = np.random.default_rng(2)
    rows = [
        _run(_minima(rng, 250, 100), _patients(150, 100), permutations=0).rows for _ in range(8)
    ]
    for column in range(2):
        baseline = rows[0][column].baseline
        assert baseline is not None
        train = np.mean([row[column].train for row in rows])
        assert train == pytest.approx(baseline, abs=0.05)
    assert rows[0][0].baseline == pytest.approx(math.exp(-1), abs=0.01)


def test_copies_of_a_tenth_of_the_train_patients_are_found_and_counted() -> None:
    rng = np.random.default_rng(4)
    runs = [
        _run(_minima(rng, 400, 200, copied=20), _patients(200, 200), run, permutations=499)
        for run in range(3)
    ]
    assert max(run.p_value or 1.0 for run in runs) <= 0.01
    # A tenth of the images is a copy, though only half of the train patients make up a group.
    assert np.mean([run.rows[-1].risk for run in runs]) == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("noise", [0.0, 1e-6])
def test_copies_of_everybody(noise: float) -> None:
    rng = np.random.default_rng(6)
    real = rng.standard_normal((60, 5))
    synthetic = real[:40] + noise
    minima = np.square(synthetic[:, None] - real[None]).sum(axis=2)
    result = _run(minima, _patients(40, 20))
    assert result.p_value == 0.01
    assert result.rows[-1].risk == pytest.approx(1.0)
    assert result.rows[-1].control == 0.0


def test_ties_everywhere_say_nothing() -> None:
    for value in (0.0, 1.0, np.inf):
        result = _run(np.full((30, 40), value), _patients(20, 20))
        assert result.p_value == 1.0
        assert {(row.train, row.control, row.risk) for row in result.rows} == {(0.0, 0.0, 0.0)}
    one = _run(np.full((1, 2 * 6), 1.0), _patients(6, 6))
    assert one.p_value == 1.0


@pytest.mark.parametrize(("members", "controls"), [(0, 9), (9, 0), (0, 0), (9, 1), (1, 9), (9, 4)])
def test_too_few_patients(members: int, controls: int) -> None:
    rng = np.random.default_rng(0)
    result = _run(rng.random((5, members + controls)), _patients(members, controls))
    assert result.p_value is None
    assert "fewer than 3" in result.reason
    assert [row.train for row in result.rows] == [None] * 3


def test_nothing_to_guess_with() -> None:
    assert _run(np.empty((0, 40)), _patients(20, 20)).reason
    empty = singling_out({}, _patients(20, 20), permutations=9, rng=np.random.default_rng(0))
    assert (empty.rows, empty.p_value) == ((), None)


def test_patients_of_strata_without_control_do_not_matter() -> None:
    rng = np.random.default_rng(8)
    stratum = np.r_[np.zeros(30), np.ones(10), np.zeros(30)].astype(int)
    minima = _minima(rng, 70, 30)
    first = _run(minima, _patients(40, 30, stratum), 1)
    minima[:, 30:40] = 0.0
    assert _run(minima, _patients(40, 30, stratum), 1) == first
    assert first.rows[0].n_train == 30
