from __future__ import annotations

import math

import numpy as np

from audits.outcome import plain, rounded
from audits.statistics.intervals import Interval


def test_plain_turns_everything_into_json_types() -> None:
    value = {"a": (np.float64(0.5), np.int64(2)), "b": Interval(0.0, math.nan), "c": np.bool_(True)}
    assert plain(value) == {
        "a": [0.5, 2],
        "b": {"low": 0.0, "high": None, "confidence": 0.95},
        "c": True,
    }
    assert plain(-math.inf) is None


def test_rounding_keeps_significant_digits() -> None:
    assert rounded({"x": [0.012345, 123.4, 0.0], "n": 12345}) == {
        "x": [0.012, 120.0, 0.0],
        "n": 12345,
    }
