from __future__ import annotations

import numpy as np
import pytest

from bussynth.quality import resampling
from bussynth.quality.comparison import compare
from bussynth.quality.figures import weighted_mean
from bussynth.quality.resampling import Measured, Sample, bootstrap, shuffles


def sample(values: np.ndarray, patients: np.ndarray, resamples: int = 2000) -> Sample:
    return bootstrap(
        lambda weights: weighted_mean(values, weights)[:, None],
        patients,
        resamples=resamples,
        rng=np.random.default_rng(0),
    )


def test_images_of_a_patient_stay_together() -> None:
    values = np.repeat(np.arange(40.0), 5)
    by_patient = sample(values, np.repeat(np.arange(40), 5)).measured(0)
    by_image = sample(values, np.arange(200)).measured(0)
    assert by_patient.value == by_image.value == pytest.approx(19.5)
    ratio = (by_patient.high - by_patient.low) / (by_image.high - by_image.low)
    assert ratio == pytest.approx(5**0.5, rel=0.15)


def test_interval_is_that_of_theory() -> None:
    values = np.random.default_rng(1).normal(size=400)
    found = sample(values, np.arange(400)).measured(0)
    half = 1.96 * values.std() / 20
    assert found.low == pytest.approx(found.value - half, abs=0.02)
    assert found.high == pytest.approx(found.value + half, abs=0.02)


def test_blocks_change_nothing_but_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(30.0)
    whole = sample(values, np.arange(30), 50)
    monkeypatch.setattr(resampling, "_CELLS", 200)
    assert np.array_equal(sample(values, np.arange(30), 50).resamples, whole.resamples)


def test_resamples_that_lack_a_figure_are_left_out() -> None:
    found = Sample(np.array([1.0]), np.array([[np.nan], [0.5], [1.5], [np.nan]])).measured(0)
    assert 0.5 <= found.low < found.high <= 1.5
    none = Sample(np.array([1.0]), np.array([[np.nan]])).measured(0)
    assert (none.low, none.high) == (1.0, 1.0)


def test_shuffled_requests_meet_by_chance() -> None:
    truth = np.arange(100) % 2
    (found,) = shuffles(
        lambda order: np.array([np.mean(truth == truth[order])]), 100, np.random.default_rng(0)
    )
    assert found.value == pytest.approx(0.5, abs=0.02)
    assert 0.35 < found.low < 0.5 < found.high < 0.65


def test_a_share_of_all_is_not_certain() -> None:
    ones = Sample(np.array([1.0]), np.ones((50, 1)))
    assert ones.measured(0).low == 1.0
    found = ones.measured(0, people=20)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(20 / (20 + 1.96**2), abs=1e-4)


def test_interval_of_a_difference_is_that_of_theory() -> None:
    one, other = Measured(0.9, 0.8, 0.95), Measured(0.5, 0.37, 0.62)
    found = one.minus(other)
    assert found.value == pytest.approx(0.4)
    assert found.low == pytest.approx(0.4 - (0.1**2 + 0.12**2) ** 0.5)
    assert found.high == pytest.approx(0.4 + (0.05**2 + 0.13**2) ** 0.5)


def test_opposite_of_a_comparison() -> None:
    real = Sample(np.array([0.9]), np.linspace(0.8, 1.0, 101)[:, None])
    made = Sample(np.array([0.7]), np.linspace(0.6, 0.8, 101)[:, None])
    found = compare(real, made, (Measured(0.5, 0.4, 0.7),), 0)
    turned = found.complement()
    assert turned.real.value == pytest.approx(0.1)
    assert turned.real.low < turned.real.value < turned.real.high
    assert found.difference.value == pytest.approx(-0.2)
    assert turned.difference.value == pytest.approx(0.2)
    assert turned.shuffled.to_dict() == pytest.approx({"value": 0.5, "low": 0.3, "high": 0.6})
    assert set(turned.to_dict()) == {"real", "synthetic", "difference", "shuffled"}
