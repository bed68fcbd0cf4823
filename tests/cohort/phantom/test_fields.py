from __future__ import annotations

import numpy as np
from scipy.interpolate import BSpline

from bussynth.cohort.phantom.fields import Curve, blend, draw_curve, draw_field


def test_curve_matches_scipys_spline() -> None:
    curve = draw_curve(np.random.default_rng(0), -10.0, 10.0, 2.5)
    x = np.linspace(-9.9, 9.9, 101)
    n = len(curve.coefficients)
    knots = curve.origin + curve.spacing * (np.arange(n + 4) - 3.0)
    expected = BSpline(knots, curve.coefficients, 3)(x)
    np.testing.assert_allclose(curve.at(x), expected, atol=1e-5)


def test_curve_is_constant_beyond_its_range() -> None:
    curve = Curve(np.arange(8, dtype=np.float32), 0.0, 1.0)
    far = curve.at(np.array([-50.0, -1.0, 0.0]))
    assert np.ptp(far) == 0.0


def test_field_has_zero_mean_and_unit_variance() -> None:
    field = draw_field(np.random.default_rng(1), (0.0, 400.0), (0.0, 400.0), (2.0, 2.0))
    values = field.on(np.linspace(0, 400, 801), np.linspace(0, 400, 801))
    assert values.shape == (801, 801)
    assert abs(values.mean()) < 0.03
    assert abs(values.std() - 1.0) < 0.03


def test_field_varies_over_its_spacing() -> None:
    field = draw_field(np.random.default_rng(2), (0.0, 300.0), (0.0, 300.0), (1.0, 10.0))
    values = field.on(np.arange(0, 300.0), np.arange(0, 300.0))
    down = np.corrcoef(values[:-3].ravel(), values[3:].ravel())[0, 1]
    across = np.corrcoef(values[:, :-3].ravel(), values[:, 3:].ravel())[0, 1]
    assert down < 0.15
    assert across > 0.8


def test_blend_keeps_the_variance_and_has_the_correlation_asked_for() -> None:
    rng = np.random.default_rng(3)
    field = draw_field(rng, (0.0, 300.0), (0.0, 300.0), (2.0, 2.0))
    other = blend(field, rng, 0.8)
    first, second = field.coefficients.ravel(), other.coefficients.ravel()
    assert abs(np.corrcoef(first, second)[0, 1] - 0.8) < 0.01
    assert abs(second.std() / first.std() - 1.0) < 0.02
