from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import as_completed
from pathlib import Path

import numpy as np
import pytest

from bussynth.auditing import executor
from bussynth.auditing.executor import open_workers
from bussynth.errors import BussynthError, MissingDependencyError, UsageError


def test_one_worker_is_the_process_itself() -> None:
    with open_workers(1) as found:
        assert found.executor is None
        assert found.shards == 1


def test_pool_workers_compute_with_one_thread_and_ours_keeps_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with open_workers(2) as found:
        assert found.executor is not None
        assert found.shards == 2
        assert (os.environ["OMP_NUM_THREADS"], "MKL_NUM_THREADS" in os.environ) == ("7", False)
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            seen = [found.executor.submit(os.getenv, name).result() for _ in range(4)]
            assert seen == ["1"] * 4


def test_a_dead_worker_process_is_no_bug_of_ours() -> None:
    def die() -> None:
        with open_workers(2) as found:
            assert found.executor is not None
            found.executor.submit(os._exit, 1).result()

    with pytest.raises(BussynthError, match="worker process died"):
        die()


def test_one_or_the_other() -> None:
    with pytest.raises(UsageError, match="one of the two"), open_workers(2, "tcp://x:1"):
        pass


def test_without_dask_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(MissingDependencyError, match=r"pip install 'bussynth\[dask\]'"),
        open_workers(1, "tcp://127.0.0.1:1"),
    ):
        pass


class Cluster:
    """A scheduler and two workers, each a process of its own."""

    def __init__(self, folder: Path, workers: int) -> None:
        self._folder = folder
        self.address = ""
        self._scheduler = self._start("scheduler", "--port", "0", "--no-dashboard")
        self.address = self._said("scheduler", "Scheduler at:").split()[-1]
        self.workers = [
            self._start(
                "worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard",
                "--name", f"w{i}", log=f"worker{i}",
            )
            for i in range(workers)
        ]  # fmt: skip

    def _start(self, *arguments: str, log: str = "scheduler") -> subprocess.Popen[bytes]:
        with (self._folder / log).open("wb") as stream:
            return subprocess.Popen(
                [
                    *(sys.executable, "-W", "ignore", "-m"),
                    *(f"distributed.cli.dask_{arguments[0]}", *arguments[1:]),
                ],
                stdout=stream,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            )

    def _said(self, log: str, words: str) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for line in (self._folder / log).read_text(errors="replace").splitlines():
                if words in line:
                    return line
            time.sleep(0.1)
        raise TimeoutError((self._folder / log).read_text(errors="replace"))

    def stop(self) -> None:
        for process in (*self.workers, self._scheduler):
            process.kill()
            process.wait(30)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    pytest.importorskip("distributed")
    made = Cluster(tmp_path, 2)
    yield made
    made.stop()


@pytest.mark.filterwarnings("default")  # Dask warns of what this test does on purpose.
def test_a_killed_worker_changes_no_byte(cluster: Cluster) -> None:
    """Exact search on a real scheduler, one of two workers killed on the way."""
    from audits.search.exact import nearest

    deadline = time.monotonic() + 60
    while True:
        try:
            with open_workers(1, cluster.address) as found:
                if found.shards == 2:
                    break
        except UsageError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.2)
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((400, 8)).astype(np.float32)
    references = rng.standard_normal((300, 8)).astype(np.float32)
    alone = nearest(queries, references, 3)
    with open_workers(1, cluster.address) as found:
        assert found.executor is not None
        assert found.shards == 2
        slow = [found.executor.submit(time.sleep, 0.3) for _ in range(8)]
        cluster.workers[0].kill()
        shared = nearest(queries, references, 3, executor=found.executor, shards=6)
        for future in as_completed(slow):
            future.result()
    assert shared.squared.tobytes() == alone.squared.tobytes()
    assert shared.rows.tobytes() == alone.rows.tobytes()


@pytest.mark.filterwarnings("default")
def test_nobody_at_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(executor, "_CONNECT_SECONDS", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(UsageError, match="No Dask scheduler answers"), open_workers(1, address):
            pass
