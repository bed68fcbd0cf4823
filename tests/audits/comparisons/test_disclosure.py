from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, fisher_exact

from audits.comparisons.disclosure import excess_disclosure, residual_risk
from audits.images import Patients

OPTIONS: dict[str, Any] = {"quantile": 0.1, "permutations": 199, "confidence": 0.95}


def _patients(members: int, controls: int) -> Patients:
    count = members + controls
    return Patients(np.arange(count), np.arange(count) < members, np.zeros(count, np.int64), True)


def test_residual_risk_by_hand() -> None:
    assert residual_risk(0.5, 0.2) == pytest.approx(0.375)
    assert residual_risk(1.0, 0.3) == 1.0
    assert residual_risk(0.2, 0.2) == 0.0
    assert residual_risk(1.0, 1.0) == 0.0
    assert residual_risk(0.5, 1.0) == -np.inf


def test_p_value_equals_fishers() -> None:
    squared = np.r_[np.linspace(0, 1, 12), np.linspace(2, 3, 48), np.linspace(1.5, 4, 40)]
    result = excess_disclosure(
        squared,
        _patients(60, 40),
        **{**OPTIONS, "permutations": 4000},
        rng=np.random.default_rng(0),
    )
    assert result is not None
    assert (result.disclosed_train, result.disclosed_control) == (10, 0)
    table = [[10, 50], [0, 40]]
    assert result.p_value == pytest.approx(fisher_exact(table, "greater").pvalue, abs=0.004)
    assert result.lower < result.risk < result.upper


def test_size_and_coverage_in_simulation() -> None:
    rng = np.random.default_rng(1)
    runs, rejected, covered = 300, 0, 0
    for _ in range(runs):
        # A tenth of the train patients is disclosed; the rest is like control.
        squared = rng.random(200) + 1.0
        null = excess_disclosure(squared, _patients(120, 80), **OPTIONS, rng=rng)
        squared[:12] = 0.5
        real = excess_disclosure(squared, _patients(120, 80), **OPTIONS, rng=rng)
        assert null is not None
        assert real is not None
        rejected += null.p_value <= 0.05
        covered += real.upper >= 0.1
    assert rejected <= binom.ppf(0.9995, runs, 0.05)
    assert covered >= binom.ppf(0.0005, runs, 0.95)


def test_extremes() -> None:
    rng = np.random.default_rng(0)
    assert excess_disclosure(np.zeros(3), _patients(3, 0), **OPTIONS, rng=rng) is None
    assert excess_disclosure(np.zeros(3), _patients(0, 3), **OPTIONS, rng=rng) is None
    equal = excess_disclosure(np.zeros(4), _patients(2, 2), **OPTIONS, rng=rng)
    assert equal is not None
    assert (equal.risk, equal.p_value) == (0.0, 1.0)
