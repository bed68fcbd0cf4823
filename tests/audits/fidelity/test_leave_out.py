from __future__ import annotations

import numpy as np
import pytest

from audits.fidelity.frechet import frechet
from audits.fidelity.kernel import kernel_distance
from audits.fidelity.leave_out import LeaveOut, bounds, group_sums
from audits.fidelity.manifold import build_manifold
from audits.fidelity.overlap import coverage, precision_and_density


def _mean(values: np.ndarray) -> LeaveOut:
    without = (values.sum() - values) / (len(values) - 1)
    return LeaveOut(value=values.mean(), candidates=without, references=np.full(4, values.mean()))


def test_interval_of_a_mean_is_the_textbook_one() -> None:
    values = np.random.default_rng(0).standard_normal(200)
    low, high = bounds({"mean": _mean(values)}, seed=0, resamples=20000)["mean"]
    reach = 1.96 * values.std(ddof=1) / np.sqrt(200)
    assert (high - low) / 2 == pytest.approx(reach, rel=0.05)
    assert (high + low) / 2 == pytest.approx(values.mean(), abs=0.1 * reach)


def test_draws_depend_on_the_seed_alone() -> None:
    one, other = (_mean(np.random.default_rng(k).standard_normal(50)) for k in (1, 2))
    first = bounds({"one": one}, seed=3, resamples=200)
    assert bounds({"other": other, "one": one}, seed=3, resamples=200)["one"] == first["one"]
    assert bounds({"one": one}, seed=4, resamples=200) != first


def test_draws_in_parts_are_the_same(monkeypatch) -> None:
    number = {"mean": _mean(np.random.default_rng(0).standard_normal(30))}
    whole = bounds(number, seed=0, resamples=100)
    monkeypatch.setattr("audits.fidelity.leave_out._AT_ONCE", 200)
    assert bounds(number, seed=0, resamples=100)["mean"] == pytest.approx(whole["mean"])


def test_turning_exchanges_the_sides() -> None:
    number = _mean(np.arange(5.0))
    assert number.turned().candidates is number.references
    assert number.turned().turned().candidates is number.candidates


def test_group_sums() -> None:
    assert group_sums(np.array([True, True, False]), np.array([0, 2, 2])).tolist() == [1, 0, 1]


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.3, 0.8)])
def test_intervals_cover_the_mean_over_data_sets(make_cloud, shift: float, scale: float) -> None:
    # Also where both are alike, where the plain bootstrap of FD and KID lies far too high.
    values, inside = [], []
    for seed in range(100):
        x, own = make_cloud(60, 6, seed=2 * seed, shift=shift, scale=scale)
        y, other = make_cloud(40, 6, seed=2 * seed + 1, most=3)
        real, made = build_manifold(y, other, 3), build_manifold(x, own, 3)
        precision, density = precision_and_density(x, own, real)
        numbers = {
            "fd": frechet(x, y, own, other),
            "kid": kernel_distance(x, y, own, other),
            "precision": precision,
            "recall": precision_and_density(y, other, made)[0].turned(),
            "density": density,
            "coverage": coverage(x, own, real),
        }
        values.append([number.value for number in numbers.values()])
        inside.append(list(bounds(numbers, seed=seed, resamples=200).values()))
    table, ends = np.array(values), np.array(inside)
    mean = table.mean(axis=0)
    covered = ((ends[:, :, 0] <= mean) & (mean <= ends[:, :, 1])).mean(axis=0)
    # Coverage is close to 1 here; measure widens such shares.
    assert (covered[:5] >= 0.89).all(), covered
    assert covered[5] >= 0.75
    # Not by being useless: at most about twice as wide as the spread asks for.
    width = (ends[:, :, 1] - ends[:, :, 0]).mean(axis=0) / 3.92 / table.std(axis=0)
    assert (width <= 2.0).all(), width
