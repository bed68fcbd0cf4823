from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from audits.fidelity.frechet import frechet


def naive(x: np.ndarray, y: np.ndarray) -> float:
    one, two = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    mean = np.square(x.mean(axis=0) - y.mean(axis=0)).sum()
    return float(mean + np.trace(one + two - 2 * sqrtm(one @ two).real))


def test_value_is_the_closed_form(make_cloud) -> None:
    (x, own), (y, other) = make_cloud(50, 5, seed=0), make_cloud(30, 5, seed=1, shift=0.5)
    assert frechet(x, y, own, other).value == pytest.approx(naive(x, y))
    # An offset common to both changes nothing.
    assert frechet(x + 1e4, y + 1e4, own, other).value == pytest.approx(naive(x, y))


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_leaving_a_patient_out_to_first_order(make_cloud, shift: float) -> None:
    x, own = make_cloud(150, 4, seed=2, most=2, shift=shift, scale=0.8)
    y, other = make_cloud(120, 4, seed=3, most=3)
    found = frechet(x, y, own, other)
    exact = np.array([naive(x[own != g], y) for g in range(150)])
    other_exact = np.array([naive(x, y[other != g]) for g in range(120)])
    for ours, theirs in ((found.candidates, exact), (found.references, other_exact)):
        assert np.corrcoef(ours, theirs)[0, 1] > 0.98
        assert ours.std() == pytest.approx(theirs.std(), rel=0.1)


def test_equal_clouds_are_at_zero_and_contribute_nothing(make_cloud) -> None:
    x, own = make_cloud(40, 3, seed=4)
    found = frechet(x, x, own, own)
    assert found.value == pytest.approx(0, abs=1e-9)
    assert found.candidates == pytest.approx(np.zeros(40), abs=1e-9)


def test_fewer_images_than_dimensions_and_constant_dimensions(make_cloud) -> None:
    (x, own), (y, other) = make_cloud(20, 30, seed=5), make_cloud(15, 30, seed=6)
    x[:, 3] = y[:, 3] = 1.0
    found = frechet(x, y, own, other)
    assert found.value > 0
    assert np.isfinite(found.candidates).all()
    assert np.isfinite(found.references).all()


def test_one_dimension() -> None:
    x, y = np.arange(8.0)[:, None], 2 * np.arange(8.0)[:, None]
    groups = np.arange(8)
    expected = 3.5**2 + (x.std(ddof=1) - y.std(ddof=1)) ** 2
    assert frechet(x, y, groups, groups).value == pytest.approx(expected)
