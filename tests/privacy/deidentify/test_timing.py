"""How long a frame lasts, whoever says it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset

from privacy.deidentify.timing import frame_milliseconds


def loop(**values: object) -> Dataset:
    """A dataset whose values are as they are in a file, whether they make sense or not."""
    dataset = Dataset()
    for keyword, value in values.items():
        dataset.add_new(keyword, "LO", value)
    return dataset


@pytest.mark.parametrize(
    ("values", "time"),
    [
        ({}, None),
        ({"FrameTime": "33.3333"}, 33.3333),
        ({"FrameTime": "40", "CineRate": "10"}, 40.0),
        ({"FrameTime": "0.1"}, 0.1),
        ({"FrameTime": "60000"}, 60_000.0),
        # What makes no sense is passed over.
        ({"FrameTime": "0", "CineRate": "25"}, 40.0),
        ({"FrameTime": "0.0999", "CineRate": "25"}, 40.0),
        ({"FrameTime": "60001"}, None),
        ({"FrameTime": "-33"}, None),
        ({"FrameTime": "ZZCANARY"}, None),
        ({"FrameTime": "nan"}, None),
        ({"FrameTime": "inf"}, None),
        ({"FrameTime": ""}, None),
        ({"FrameTime": ["20", "30"]}, 20.0),
        ({"FrameTimeVector": ["0", "33", "35", "34"]}, 34.0),
        ({"FrameTimeVector": ["0", "30", "40"]}, 35.0),
        ({"FrameTimeVector": ["0"]}, None),
        ({"FrameTimeVector": ["0", "x", "40"], "CineRate": "25"}, 40.0),
        ({"FrameTimeVector": ["0", "nan", "40"], "CineRate": "20"}, 50.0),
        ({"FrameTimeVector": ["0", "1e308", "1e308"], "CineRate": "20"}, 50.0),
        ({"FrameTimeVector": ["0", "", ""], "CineRate": "20"}, 50.0),
        ({"FrameTimeVector": ["0"] + ["50"] * 9_000}, 50.0),
        ({"FrameTimeVector": ["0"] + ["50"] * 60_000}, None),
        ({"FrameTimeVector": ["0", "20"], "CineRate": "10"}, 20.0),
        ({"RecommendedDisplayFrameRate": "20", "CineRate": "10"}, 50.0),
        ({"CineRate": "10"}, 100.0),
        ({"CineRate": "0"}, None),
        ({"CineRate": "-10"}, None),
        ({"CineRate": "1e-320"}, None),
        ({"CineRate": "5e-324"}, None),
        ({"CineRate": "1e308"}, None),
    ],
)
def test_who_says_it(values: dict[str, object], time: float | None) -> None:
    assert frame_milliseconds(loop(**values)) == (None if time is None else pytest.approx(time))


@pytest.mark.parametrize("kind", ["US", "FD", "UN", "SQ"])
def test_any_representation(kind: str, read: Callable[[Dataset], Dataset], source: Dataset) -> None:
    value: object = {"US": 30, "FD": 30.0, "UN": b"30", "SQ": [Dataset()]}[kind]
    source.add_new("FrameTime", kind, value)
    found = frame_milliseconds(read(source))
    assert found == (None if kind == "SQ" else 30.0)
