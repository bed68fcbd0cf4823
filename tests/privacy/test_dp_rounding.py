from __future__ import annotations

import math

import numpy as np
import pytest

from privacy.dp.rounding import rounded_up


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (7.2801, 3, 7.29),
        (7.28, 3, 7.28),
        (0.99901, 3, 1.0),
        (1e-4, 3, 1e-4),  # the float is a little above
        (1.0000001e-5, 3, 1.01e-5),
        (1234.0, 3, 1240.0),
        (1.23401, 4, 1.235),
        (0.0, 3, 0.0),
        (math.inf, 3, math.inf),
    ],
)
def test_up_to_some_digits(value: float, digits: int, expected: float) -> None:
    assert rounded_up(value, digits) == expected


def test_never_down_and_never_far() -> None:
    for value in np.exp(np.random.default_rng(0).uniform(-30, 30, 2000)):
        found = rounded_up(float(value))
        assert value <= found <= value * 1.0101
        assert float(f"{found:.3g}") == found


def test_what_is_no_number_stays_none() -> None:
    assert math.isnan(rounded_up(math.nan))
