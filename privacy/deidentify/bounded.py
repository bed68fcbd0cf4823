"""A map over worker processes that may hang, crash or eat all memory, while the run goes on.

A hostile file can do all of that to a decoder written in C, where no exception helps. Each worker
is a process that lives for many items and may be killed at any time. An item that misbehaves
becomes a `Failed` in the place of its result; its worker is replaced.

What an item is blamed for does not depend on what came before it. A worker that crashed or ran out
of memory after other items may have been left so by one of them, therefore the item is tried once
more in a fresh process. So ``function`` may see an item twice, and should leave nothing half done.

The limits stop accidents and hostile inputs of ordinary decoders. They are no sandbox: a worker has
the rights of the user who started it, and its results are unpickled.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import struct
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from socket import SO_RCVTIMEO, SO_SNDTIMEO, SOL_SOCKET, socket
from typing import Final, Generic, TypeVar

from privacy.deidentify.bounds import Bounds, Failed, Failure
from privacy.deidentify.worker import ALARM, failed, work

__all__ = ["Bounds", "Failed", "Failure", "WorkerError", "bounded_map", "bounded_results"]

_A = TypeVar("_A")
_B = TypeVar("_B")

_GRACE: Final = 1.0  # seconds after which the parent ends what the worker's own alarm has not
_START: Final = 120.0  # seconds until a started worker must be ready
_BURIAL: Final = 5.0  # seconds to wait for a killed process, which the kernel may hold for a disk
_STARTS: Final = 3  # workers that may fail to start, one after the other
_AHEAD: Final = 4  # results that may wait for an earlier one, for each worker
# Libraries read these when they are loaded. OpenBLAS and MKL follow the first.
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "VECLIB_MAXIMUM_THREADS")


class WorkerError(RuntimeError):
    """Workers do not start, so nothing can be done."""


def bounded_map(
    function: Callable[[_A], _B],
    items: Iterable[_A],
    *,
    workers: int = 1,
    bounds: Bounds | None = None,
    prepare: Callable[[], object] | None = None,
) -> Generator[_B | Failed, None, None]:
    """Yield ``function(item)`` or a `Failed`, in the order of the items.

    The same as `bounded_results`, sorted. Results wait for an earlier item that is not done yet;
    when ``4 * workers`` are waiting, no further item is begun.

    Args:
        function: See `bounded_results`, as for the others.
        items: The work.
        workers: Number of processes.
        bounds: What one item may cost; by default `Bounds()`.
        prepare: Called in each worker before its first item.

    Yields:
        One result per item, the same whatever the number of workers.

    Raises:
        ValueError: If ``workers`` is not positive.
        WorkerError: If workers do not start.
    """
    results = _results(function, items, workers, bounds or Bounds(), prepare, _AHEAD * workers)
    return _sorted(_checked(workers, results))


def bounded_results(
    function: Callable[[_A], _B],
    items: Iterable[_A],
    *,
    workers: int = 1,
    bounds: Bounds | None = None,
    prepare: Callable[[], object] | None = None,
) -> Generator[tuple[int, _B | Failed], None, None]:
    """Yield ``(position, result)`` for each item, as they are finished.

    Meant for a run that writes down what is done. Items are taken one by one, each when a worker
    is free for it; at most ``workers`` results are held. The processes are spawned, so a script
    that calls this needs its ``if __name__ == "__main__"``. Output of the workers is thrown away,
    since libraries in C print values of files; they write no core dumps. Matrix libraries get one
    thread each unless ``OMP_NUM_THREADS`` is set. Closing the generator, or an interrupt, kills
    the workers with whatever they started; when this process dies, they end too.

    Args:
        function: A picklable function. Files that it writes are its own matter when it is killed.
        items: The work, taken as it is needed.
        workers: Number of processes; with 1 the work is also done in another process, since only
            another process can be limited.
        bounds: What one item may cost; by default `Bounds()`.
        prepare: Called in each worker before its first item, to load what ``function`` needs:
            neither its time nor its memory count for an item.

    Yields:
        The position of an item, counted from 0, with its result or a `Failed`.

    Raises:
        ValueError: If ``workers`` is not positive.
        WorkerError: If workers do not start, or ``prepare`` raises.
    """
    return _checked(workers, _results(function, items, workers, bounds or Bounds(), prepare, None))


def _checked(workers: int, results: Generator[_A, None, None]) -> Generator[_A, None, None]:
    if workers < 1:
        raise ValueError(f"Expected workers={workers!r} > 0.")
    return results


def _sorted(results: Generator[tuple[int, _A], None, None]) -> Generator[_A, None, None]:
    early: dict[int, _A] = {}
    due = 0
    with closing(results):
        for position, result in results:
            early[position] = result
            while due in early:
                yield early.pop(due)
                due += 1


def _results(
    function: Callable[[_A], _B],
    items: Iterable[_A],
    workers: int,
    bounds: Bounds,
    prepare: Callable[[], object] | None,
    ahead: int | None,
) -> Generator[tuple[int, _B | Failed], None, None]:
    crew: _Crew[_A, _B] = _Crew(function, items, workers, bounds, prepare, ahead)
    done: list[tuple[int, _B | Failed]] = []
    try:
        while True:
            # The workers get work before the caller gets results, who may take its time over them.
            done += crew.hand_out()
            yield from done
            if not crew.busy:
                return
            done = crew.collect()
    finally:
        crew.kill()


@dataclass(slots=True)
class _Job(Generic[_A]):
    position: int
    item: _A
    again: bool = False  # tried for the second time


class _Worker(Generic[_A]):
    """A process at the other end of a pipe, and the item that it has."""

    def __init__(self, function: object, prepare: object, bounds: Bounds, job: _Job[_A]) -> None:
        context = multiprocessing.get_context("spawn")
        self.job = job
        self.ready = False
        self.used = False
        self.deadline = time.monotonic() + _START
        self.pipe, theirs = context.Pipe()
        _never_wait_longer(self.pipe, bounds.seconds + _GRACE)
        # A daemon, since otherwise the interpreter waits for it at its end.
        self.process = context.Process(
            target=work, args=(theirs, function, prepare, bounds), daemon=True
        )
        with theirs, _one_thread():
            self.process.start()

    def give(self, seconds: float) -> None:
        """Send the item; the error of one that cannot be pickled passes."""
        self.deadline = time.monotonic() + seconds + _GRACE
        message = ForkingPickler.dumps(self.job.item)
        # A worker that died while idle shows on reading.
        with suppress(OSError):
            self.pipe.send_bytes(message)

    def kill(self) -> None:
        """End the process and whatever it started."""
        pid = self.process.pid
        if pid is not None:
            with suppress(ProcessLookupError, PermissionError, AttributeError):
                os.killpg(pid, signal.SIGKILL)
        self.process.kill()  # it may have died before it led a group
        self.pipe.close()

    def bury(self) -> None:
        """Wait for the end of the killed process, so that no zombie is left."""
        self.process.join(_BURIAL)
        if self.process.exitcode is not None:
            self.process.close()


class _Crew(Generic[_A, _B]):
    """All workers, and which items wait, are being worked on or must be tried again."""

    def __init__(
        self,
        function: Callable[[_A], _B],
        items: Iterable[_A],
        size: int,
        bounds: Bounds,
        prepare: Callable[[], object] | None,
        ahead: int | None,
    ) -> None:
        self.busy: list[_Worker[_A]] = []
        self._idle: list[_Worker[_A]] = []
        self._again: deque[_Job[_A]] = deque()
        self._items = enumerate(items)
        self._next = 0
        self._size = size
        self._task = (function, prepare, bounds)
        self._bounds = bounds
        self._ahead = ahead
        self._failed_starts = 0

    def hand_out(self) -> list[tuple[int, _B | Failed]]:
        """Give every worker an item while there are any.

        Returns:
            Failures of items that could not be sent.
        """
        failures: list[tuple[int, _B | Failed]] = []
        while len(self.busy) < self._size and (job := self._job()) is not None:
            if job.again or not self._idle:
                self._discard_idle()
                with _no_interrupt():
                    self.busy.append(_Worker(*self._task, job))
                continue
            worker = self._idle.pop()
            worker.job = job
            self.busy.append(worker)
            failures += self._give(worker)
        return failures

    def collect(self) -> list[tuple[int, _B | Failed]]:
        """Wait until something happens, and return what is finished; may be nothing."""
        left = min(worker.deadline for worker in self.busy) - time.monotonic()
        readable = set(wait([worker.pipe for worker in self.busy], max(left, 0.0)))
        now = time.monotonic()
        done: list[tuple[int, _B | Failed]] = []
        for worker in tuple(self.busy):
            if worker.pipe in readable:
                done += self._read(worker)
            elif now >= worker.deadline:
                done += self._lost(worker, Failure.TIMED_OUT)
        return done

    def kill(self) -> None:
        """End all processes."""
        workers = [*self.busy, *self._idle]
        with _no_interrupt():
            for worker in workers:
                worker.kill()
            for worker in workers:
                worker.bury()

    def _job(self) -> _Job[_A] | None:
        if self._again:
            return self._again.popleft()
        if self._ahead is not None and self.busy:
            oldest = min(worker.job.position for worker in self.busy)
            if self._next - oldest >= self._ahead:
                return None
        for position, item in self._items:
            self._next = position + 1
            return _Job(position, item)
        return None

    def _discard_idle(self) -> None:
        while self._idle and len(self.busy) + len(self._idle) >= self._size:
            worker = self._idle.pop()
            worker.kill()
            worker.bury()

    def _give(self, worker: _Worker[_A]) -> list[tuple[int, _B | Failed]]:
        try:
            worker.give(self._bounds.seconds)
        except Exception as error:
            return self._done(worker, failed(error))
        return []

    def _read(self, worker: _Worker[_A]) -> list[tuple[int, _B | Failed]]:
        try:
            message = worker.pipe.recv_bytes()
        except BlockingIOError:  # it stopped in the middle of its answer
            return self._lost(worker, Failure.TIMED_OUT)
        except (EOFError, OSError):
            worker.process.join(_GRACE)  # the pipe closes a moment before the end
            return self._lost(worker, Failure.CRASHED)
        try:
            result: _B | Failed = ForkingPickler.loads(message)
        except Exception as error:
            result = failed(error)
        if not worker.ready:
            return self._begin(worker, result)
        if isinstance(result, Failed) and result.failure is Failure.OUT_OF_MEMORY:
            return self._lost(worker, result.failure, result.error)
        return self._done(worker, result)

    def _begin(self, worker: _Worker[_A], outcome: object) -> list[tuple[int, _B | Failed]]:
        if isinstance(outcome, Failed):
            raise WorkerError(f"Workers could not be prepared ({outcome.error}).")
        worker.ready = True
        self._failed_starts = 0
        return self._give(worker)

    def _done(self, worker: _Worker[_A], result: _B | Failed) -> list[tuple[int, _B | Failed]]:
        worker.used = True
        self.busy.remove(worker)
        self._idle.append(worker)
        return [(worker.job.position, result)]

    def _lost(
        self, worker: _Worker[_A], failure: Failure, error: str = ""
    ) -> list[tuple[int, _B | Failed]]:
        """Bury a worker; blame its item, or let it be tried again."""
        ended = worker.process.exitcode
        worker.kill()
        self.busy.remove(worker)
        worker.bury()
        if ended is not None and failure is not Failure.OUT_OF_MEMORY:
            by_alarm = ALARM is not None and ended == -ALARM
            failure = Failure.TIMED_OUT if by_alarm else Failure.CRASHED
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts == _STARTS:
                raise WorkerError("Workers end before they are ready.")
            self._again.append(worker.job)
            return []
        if worker.used and failure is not Failure.TIMED_OUT:
            worker.job.again = True
            self._again.append(worker.job)
            return []
        return [(worker.job.position, Failed(failure=failure, error=error))]


def _never_wait_longer(pipe: Connection, seconds: float) -> None:
    """Let no read or write of a part of a message wait longer, where a pipe is a socket."""
    with suppress(OSError, ValueError), socket(fileno=os.dup(pipe.fileno())) as same:
        limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6))
        same.setsockopt(SOL_SOCKET, SO_RCVTIMEO, limit)
        same.setsockopt(SOL_SOCKET, SO_SNDTIMEO, limit)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let a process that is started meanwhile use one thread for matrices, unless told."""
    names = [] if _ONE_THREAD[0] in os.environ else [n for n in _ONE_THREAD if n not in os.environ]
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Hold an interrupt back while a process is started, which inherits that."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
