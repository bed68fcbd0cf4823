from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from audits.features.learned.agreement import agreement

RNG = np.random.default_rng(4)


def test_the_correlation_is_spearmans_with_ties() -> None:
    first = RNG.integers(0, 9, 60).astype(float)
    second = first + RNG.integers(0, 9, 60)
    found = agreement(first, second)
    assert found.correlation == pytest.approx(spearmanr(first, second).statistic)
    assert found.patients == 60


def test_the_interval_covers() -> None:
    rho, n, runs = 0.6, 80, 1500
    # Spearman's rho of a normal pair with this correlation.
    true = 6 / math.pi * math.asin(rho / 2)
    x, z = RNG.standard_normal((2, runs, n))
    y = rho * x + math.sqrt(1 - rho**2) * z
    intervals = [agreement(*pair).interval for pair in zip(x, y, strict=True)]
    covered = np.mean([i is not None and i.low <= true <= i.high for i in intervals])
    assert covered == pytest.approx(0.95, abs=0.025)


def test_extremes() -> None:
    line = np.arange(30.0)
    same, opposite = agreement(line, 3 * line), agreement(line, -line)
    assert same.correlation == pytest.approx(1)
    assert opposite.correlation == pytest.approx(-1)
    assert same.interval is not None
    assert same.interval.low > 0.99
    assert agreement(line, np.ones(30)).reason == "all patients are equally near"
    assert agreement(line[:9], line[:9]).correlation is None
    assert agreement(line[:0], line[:0]).patients == 0
    gone = line.copy()
    gone[3] = np.inf
    assert agreement(gone, line).patients == 29
    with pytest.raises(ValueError, match="two arrays"):
        agreement(line, line[:5])
