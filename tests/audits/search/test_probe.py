from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from audits.search import probe
from audits.search.backends import BACKENDS
from audits.search.sources import ArraySource


def test_the_probe_times_every_backend_on_the_data(draw: Callable) -> None:
    source = ArraySource(draw("gauss", 3000, 16))
    seconds = probe.probe_backends(source, source, 5)
    assert set(seconds) == set(probe.available_backends()) <= set(BACKENDS)
    assert all(0 <= value < 1 for value in seconds.values())


def test_large_searches_take_the_fastest_and_small_ones_do_not_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def timed(*_: object) -> dict[str, float]:
        asked.append(1)
        return {"numpy": 2.0, "faiss": 1.0}

    monkeypatch.setattr(probe, "probe_backends", timed)
    small = ArraySource(np.zeros((100, 4), np.float32))
    large = ArraySource(np.broadcast_to(np.float32(0), (10**6, 10**3)))
    assert probe.choose_backend(small, small, 1) == "numpy"
    assert not asked
    assert probe.choose_backend(large, large, 1) == "faiss"
