"""Workers that hang, crash, eat memory and print, while the run goes on."""

from __future__ import annotations

import functools
import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from privacy.deidentify import bounded
from privacy.deidentify.bounded import (
    Bounds,
    Failed,
    Failure,
    WorkerError,
    bounded_map,
    bounded_results,
)

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="address space is limited on Linux only"
)

# A worker takes over this path.
sys.path.insert(0, str(Path(__file__).parent / "spawned"))
misdeeds = importlib.import_module("misdeeds")
work = misdeeds.work
NAME: str = misdeeds.NAME
MEBI: int = misdeeds.MEBI
T = TypeVar("T")


def alive(pid: int) -> bool:
    """Say whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


def gone(pids: list[int], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def recorded(items: Iterable[T], taken: list[T]) -> Iterator[T]:
    for item in items:
        taken.append(item)
        yield item


def test_results_are_in_order_and_work_is_taken_as_needed() -> None:
    for workers in (1, 2):
        taken: list[int] = []
        results = bounded_map(str, recorded(range(200), taken), workers=workers)
        assert next(results) == "0"
        assert len(taken) <= 5 * workers
        assert list(results) == [str(number) for number in range(1, 200)]
    assert list(bounded_map(str, [], workers=2)) == []
    assert multiprocessing.active_children() == []


def test_a_slow_item_holds_back_the_order_but_not_the_work(tmp_path: Path) -> None:
    numbers = [str(number) for number in range(40)]
    first = f"await {tmp_path / 'last'}"
    done = list(bounded_results(work, [first, *numbers, f"touch {tmp_path / 'last'}"], workers=2))
    assert [position for position, _ in done[:40]] == list(range(1, 41))
    assert [result for _, result in done[:40]] == numbers
    assert {position for position, _ in done[40:]} == {0, 41}
    taken: list[str] = []
    results = bounded_map(work, recorded(["sleep 0.5", *numbers], taken), workers=2)
    assert next(results) == "sleep 0.5"
    assert len(taken) <= 5 * 2
    assert list(results) == numbers


MISDEEDS: list[tuple[str, object]] = [
    ("fine", "fine"),
    ("sleep 30", Failed(failure=Failure.TIMED_OUT)),
    ("raise", Failed(failure=Failure.ERROR, error="JaneError")),
    (f"signal {int(signal.SIGSEGV)}", Failed(failure=Failure.CRASHED)),
    ("fine", "fine"),
    ("hold", Failed(failure=Failure.TIMED_OUT)),
    ("allocate 400", Failed(failure=Failure.OUT_OF_MEMORY, error="MemoryError")),
    ("allocate 100", 100 * MEBI),
    ("exit 0", Failed(failure=Failure.CRASHED)),
    ("leave", Failed(failure=Failure.ERROR, error="SystemExit")),
    (f"signal {int(signal.SIGKILL)}", Failed(failure=Failure.CRASHED)),
    ("unpicklable", Failed(failure=Failure.ERROR, error="TypeError")),
    ("fine", "fine"),
]


@pytest.mark.parametrize("workers", [1, 2])
def test_misdeeds_cost_one_item_each(workers: int) -> None:
    bounds = Bounds(seconds=1.0, memory_bytes=300 * MEBI)
    began = time.monotonic()
    results = list(
        bounded_map(work, [item for item, _ in MISDEEDS], workers=workers, bounds=bounds)
    )
    assert results == [expected for _, expected in MISDEEDS]
    assert time.monotonic() - began < 25
    assert NAME not in repr(results)
    assert multiprocessing.active_children() == []


def test_a_worker_lives_for_many_items_and_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    items = ["pid", f"print {NAME}", "cores", "environment OMP_NUM_THREADS"] * 5
    results = list(bounded_map(work, items))
    assert len(set(results[::4])) == 1
    assert os.getpid() not in results
    assert results[2::4] == [0] * 5
    assert capfd.readouterr() == ("", "")


def test_threads_of_matrix_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["environment OMP_NUM_THREADS", "environment OMP_THREAD_LIMIT"]
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_THREAD_LIMIT", raising=False)
    assert list(bounded_map(work, names)) == ["1", "1"]
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert list(bounded_map(work, names)) == ["2", None]


def test_what_an_item_leaves_behind_is_not_blamed_on_the_next() -> None:
    bounds = Bounds(seconds=5.0, memory_bytes=300 * MEBI)
    items = ["die-later 0.1", "sleep 0.4", "keep 200", "allocate 200", "sleep 0"]
    assert list(bounded_map(work, items, bounds=bounds)) == [*items[:3], 200 * MEBI, "sleep 0"]


def test_large_messages_pass_and_a_slow_caller_is_nobodys_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded, "_GRACE", 0.2)
    results = bounded_map(work, ["sleep 0", *["reply 20"] * 3], bounds=Bounds(seconds=0.5))
    assert next(results) == "sleep 0"
    time.sleep(1.0)  # longer than an item may take, even for the parent's own clock
    assert [one == bytes(20 * MEBI) for one in results] == [True] * 3
    assert list(bounded_map(len, [bytes(20 * MEBI)] * 2)) == [20 * MEBI] * 2


def test_a_worker_that_stops_in_the_middle_of_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "_GRACE", 0.2)
    bounds = Bounds(seconds=0.5)
    results = bounded_map(work, ["sleep 0", "stop-later 0.1", "sleep 0"], bounds=bounds)
    assert next(results) == "sleep 0"
    time.sleep(1.0)
    assert list(results) == [Failed(failure=Failure.TIMED_OUT), "sleep 0"]


def test_children_of_a_worker_end_with_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    assert list(bounded_map(work, [f"child {file}"], bounds=Bounds(seconds=1.0))) == [
        Failed(failure=Failure.TIMED_OUT)
    ]
    assert gone([int(file.read_text(encoding="ascii"))])


def test_closing_early_and_errors_of_the_caller_end_the_workers() -> None:
    results = bounded_results(work, ["pid", *["sleep 60"] * 9], workers=2)
    pid = next(results)[1]
    assert isinstance(pid, int)
    began = time.monotonic()
    results.close()
    assert time.monotonic() - began < 3
    assert gone([pid])

    def items() -> Iterator[str]:
        yield "pid"
        yield "sleep 60"
        raise KeyError

    with pytest.raises(KeyError):
        list(bounded_map(work, items(), workers=3))
    assert multiprocessing.active_children() == []


def test_items_and_results_that_do_not_pickle() -> None:
    items: list[object] = [threading.Lock(), misdeeds.Fragile(), "fine"]
    assert list(bounded_map(str, items)) == [
        Failed(failure=Failure.ERROR, error="TypeError"),
        Failed(failure=Failure.ERROR, error="JaneError"),
        "fine",
    ]
    assert list(bounded_map(misdeeds.fragile_result, [1])) == [
        Failed(failure=Failure.ERROR, error="JaneError")
    ]


def test_preparation() -> None:
    keep = functools.partial(work, "keep 200")
    bounds = Bounds(seconds=0.5, memory_bytes=100 * MEBI)
    assert list(bounded_map(work, ["kept", "kept"], bounds=bounds, prepare=keep)) == [1, 1]
    slow = functools.partial(work, "sleep 0.8")
    assert list(bounded_map(work, ["fine"], bounds=bounds, prepare=slow)) == ["fine"]


def test_workers_that_do_not_start_end_the_run() -> None:
    with pytest.raises(WorkerError, match=r"could not be prepared \(JaneError\)") as caught:
        list(bounded_map(work, ["fine"], prepare=functools.partial(work, "raise")))
    assert NAME not in str(caught.value)
    with pytest.raises(WorkerError, match="before they are ready"):
        list(bounded_map(work, ["fine"], prepare=functools.partial(work, "exit 1")))
    with pytest.raises((AttributeError, TypeError)):
        list(bounded_map(threading.Lock().acquire, [True]))
    assert multiprocessing.active_children() == []


def test_bounds_and_workers_are_checked_at_once() -> None:
    for seconds in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="seconds="):
            Bounds(seconds=seconds)
    with pytest.raises(ValueError, match="memory_bytes=0"):
        Bounds(memory_bytes=0)
    with pytest.raises(ValueError, match="workers=0"):
        bounded_map(str, [1], workers=0)


SCRIPT = """
import signal
from misdeeds import work
from privacy.deidentify.bounded import bounded_map

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    items = ["slow-pid 0.3", "slow-pid 0.3", "sleep 60", "sleep 60", "sleep 60"]
    for pid in bounded_map(work, items, workers=2):
        print(pid, flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupt_and_death_of_the_parent(how: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="ascii")
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        text=True,
    ) as script:
        if script.stdout is None or script.stderr is None:
            pytest.fail("no pipes")
        try:
            pids = [int(script.stdout.readline()) for _ in range(2)]
            assert all(map(alive, pids))
            began = time.monotonic()
            # As a terminal does it, to the whole group of processes.
            os.killpg(script.pid, how)
            errors = script.stderr.read()
            script.wait(10)
        finally:
            script.kill()
    assert time.monotonic() - began < 5
    assert gone(pids)
    if how == signal.SIGINT:
        assert script.returncode in {-signal.SIGINT, 130}
        assert errors.count("Traceback") == 1
        assert errors.rstrip().endswith("KeyboardInterrupt")
