from __future__ import annotations

import operator
import os

import pytest

from bussynth.errors import BussynthError
from bussynth.ingest.pool import map_ordered


def test_order_and_emptiness() -> None:
    assert list(map_ordered(operator.neg, range(50), workers=1)) == [-n for n in range(50)]
    assert list(map_ordered(operator.neg, range(50), workers=2)) == [-n for n in range(50)]
    assert list(map_ordered(operator.neg, [], workers=2)) == []


def test_work_is_taken_as_needed() -> None:
    taken = []

    def items() -> object:
        for number in range(100):
            taken.append(number)
            yield number

    results = map_ordered(operator.neg, items(), workers=2)  # type: ignore[arg-type]
    next(results)
    assert len(taken) <= 6
    results.close()  # type: ignore[attr-defined]


def test_errors_pass_and_death_is_told() -> None:
    with pytest.raises(TypeError):
        list(map_ordered(operator.neg, ["x"], workers=2))
    with pytest.raises(BussynthError, match="worker process died"):
        list(map_ordered(os._exit, [1], workers=2))
