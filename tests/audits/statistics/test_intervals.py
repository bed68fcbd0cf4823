from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from audits.statistics.intervals import (
    clopper_pearson,
    clopper_pearson_lower,
    clopper_pearson_upper,
    holm,
    permutation_p_value,
    wilson,
)


def _tail(k: int, n: int, p: float) -> float:
    """P[Bin(n, p) >= k] by plain summation."""
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))


def _bisect(k: int, n: int, target: float) -> float:
    """The p at which P[Bin(n, p) >= k] = target."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _tail(k, n, middle) < target else (low, middle)
    return low


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 7), (3, 7), (7, 7), (29, 30), (1, 50)])
def test_clopper_pearson_equals_the_naive_inversion_and_scipy(k: int, n: int) -> None:
    low = 0.0 if k == 0 else _bisect(k, n, 0.025)
    high = 1.0 if k == n else _bisect(k + 1, n, 0.975)
    interval = clopper_pearson(k, n)
    assert interval.low == pytest.approx(low, abs=1e-9)
    assert interval.high == pytest.approx(high, abs=1e-9)
    theirs = binomtest(k, n).proportion_ci(method="exact")
    assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (3, 7), (29, 30), (1, 50)])
def test_wilson_equals_scipy(k: int, n: int) -> None:
    theirs = binomtest(k, n).proportion_ci(method="wilson")
    ours = wilson(k, n)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_no_trials_give_the_vacuous_interval() -> None:
    assert (clopper_pearson(0, 0).low, clopper_pearson(0, 0).high) == (0.0, 1.0)
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


def test_zero_events_bound_the_rate_as_published() -> None:
    assert clopper_pearson_upper(0, 300) == pytest.approx(1 - 0.05 ** (1 / 300))
    assert clopper_pearson_lower(300, 300) > 0.99
    assert clopper_pearson_lower(299, 300) < 0.99


def test_clopper_pearson_lower_covers_in_simulation() -> None:
    rng = np.random.default_rng(0)
    for truth in (0.02, 0.5, 0.97):
        draws = rng.binomial(40, truth, 2000)
        covered = np.mean([clopper_pearson_lower(int(k), 40) <= truth for k in draws])
        assert covered >= 0.94


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3), (0, -1)])
def test_impossible_counts_are_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="successes"):
        clopper_pearson(k, n)


def test_permutation_p_value_is_never_zero() -> None:
    assert permutation_p_value(0, 999) == 0.001
    assert permutation_p_value(999, 999) == 1.0
    assert permutation_p_value(0, 0) == 1.0
    with pytest.raises(ValueError, match="permutations"):
        permutation_p_value(5, 4)


def test_holm_against_its_definition() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        p = rng.random(5) ** 3
        order = np.argsort(p)
        naive = np.empty(5)
        for rank, index in enumerate(order):
            naive[index] = min(1.0, max((5 - j) * p[order[j]] for j in range(rank + 1)))
        assert holm(p.tolist()) == pytest.approx(naive.tolist())
    assert holm([]) == ()
