"""A search on a real Dask cluster, one worker of which is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from typing import Any

import numpy as np
import pytest

from audits.search.exact import nearest

distributed = pytest.importorskip("distributed", reason="distributed is not installed")

# Sockets of the killed worker, and what Dask and Tornado say about them, are not ours to close.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system"),
]


class _Killing(Executor):
    """Passes tasks on, and kills a process once the first is done."""

    def __init__(self, inner: Executor, victim: int) -> None:
        self.inner, self.victim, self.left = inner, victim, 0

    def map(self, fn: Callable[..., Any], *iterables: Any, **_: Any) -> Iterator[Any]:
        futures = [self.inner.submit(fn, *values) for values in zip(*iterables, strict=True)]
        first = futures[0].result()
        os.kill(self.victim, signal.SIGKILL)
        self.left = sum(not future.done() for future in futures)
        yield first
        for future in futures[1:]:
            yield future.result()


def test_a_killed_worker_does_not_change_a_byte(tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    references = rng.standard_normal((40_000, 64)).astype(np.float32)
    queries = references[::20] + rng.normal(0, 0.01, (2000, 64)).astype(np.float32)
    np.save(tmp_path / "references.npy", references)
    one = nearest(queries, references, 5)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        workers = client.run(os.getpid)
        assert len(set(workers.values()) - {os.getpid()}) == 2
        killing = _Killing(client.get_executor(), next(iter(workers.values())))
        found = nearest(queries, tmp_path / "references.npy", 5, shards=30, executor=killing)
    assert killing.left > 0
    assert found.squared.tobytes() == one.squared.tobytes()
    assert found.rows.tobytes() == one.rows.tobytes()
