"""The record beside a sampler."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bussynth.errors import DataError
from bussynth.wrapping.spec import parse_spec

GOOD: dict[str, Any] = {
    "schema": "bussynth-sampler/1",
    "image_size": [8, 12],
    "noise_shape": [3, 4, 6],
    "vocabulary": {"device": ["x"], "pathology": ["malignant", "benign"]},
}


def test_a_record_is_read() -> None:
    spec = parse_spec(json.dumps(GOOD).encode())
    assert spec.image_size == (8, 12)
    assert spec.noise_shape == (3, 4, 6)
    assert spec.vocabulary == {"device": ("x",), "pathology": ("malignant", "benign")}
    assert parse_spec(json.dumps(GOOD | {"vocabulary": {}}).encode()).vocabulary == {}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": "bussynth-sampler/2"}, "this version reads"),
        ({"image_size": [8]}, "image_size: expected"),
        ({"image_size": [8, True]}, "image_size: expected"),
        ({"image_size": [8, 9999]}, "image_size: expected"),
        ({"noise_shape": [8, 8]}, "noise_shape: expected"),
        ({"noise_shape": [4096, 4096, 4096]}, "noise_shape: expected"),
        ({"vocabulary": ["x"]}, "vocabulary: expected"),
        ({"vocabulary": {"device": []}}, "needs distinct values"),
        ({"vocabulary": {"device": "xy"}}, "vocabulary: expected"),
        ({"vocabulary": {"patient": ["x"]}}, "reserved"),
        ({"vocabulary": {"pathology": ["cyst"]}}, "must be among"),
        ({"vocabluary": {}}, 'did you mean "vocabulary"'),
    ],
)
def test_wrong_records_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_spec(json.dumps(GOOD | changes).encode())
    assert words in str(caught.value)


def test_all_problems_at_once_and_other_damage() -> None:
    with pytest.raises(DataError) as caught:
        parse_spec(b'{"schema": "bussynth-sampler/1", "image_size": 3}')
    assert len(caught.value.problems) == 3
    for data in (b"", b"[1]", b"\xff", b"[" * 100_000, b" " * (2**20 + 1)):
        with pytest.raises(DataError):
            parse_spec(data)
