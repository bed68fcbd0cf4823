"""The inside of a worker process that may be killed at any time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any, Final

from privacy.deidentify.bounds import Bounds, Failed, Failure

__all__ = ["ALARM", "failed", "work"]

ALARM: Final[int | None] = getattr(signal, "SIGALRM", None)
"""The signal that ends a worker whose time is over, where there is such a signal."""


def work(
    pipe: Connection,
    function: Callable[[Any], object],
    prepare: Callable[[], object] | None,
    bounds: Bounds,
) -> None:
    """Take items from a pipe and answer each, until the other end is closed.

    The first message says that the worker is ready, or holds the `Failed` of ``prepare``.

    Args:
        pipe: Messages both ways, pickled, one item or result each.
        function: What is done with an item.
        prepare: What is done before the first one.
        bounds: What an item may cost.
    """
    _leave()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    outcome = None
    try:
        if prepare is not None:
            prepare()
    except BaseException as error:
        outcome = failed(error)
    _limit(bounds.memory_bytes)
    with suppress(OSError, EOFError):  # the parent is gone
        pipe.send(outcome)
        while True:
            message = pipe.recv_bytes()
            _alarm(bounds.seconds)
            reply = _reply(function, message)
            _alarm(0)
            pipe.send_bytes(reply)


def _reply(function: Callable[[Any], object], message: bytes) -> memoryview:
    try:
        return ForkingPickler.dumps(function(ForkingPickler.loads(message)))
    except BaseException as error:
        outcome = failed(error)
    return ForkingPickler.dumps(outcome)  # here, where what the error held is free


def _leave() -> None:
    """Leave the terminal: no output, no input, no interrupt, a session and group of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if hasattr(os, "setsid"):
        os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _end_with_parent() -> None:
    """End this group when the parent ends, even in the middle of an item."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.killpg(os.getpid(), signal.SIGKILL)


def _alarm(seconds: float) -> None:
    """Let the kernel end this process after some time, whatever it does then; 0 calls it off.

    It needs neither the interpreter nor a parent that is still there and not busy.
    """
    if ALARM is not None:
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit(memory_bytes: int | None) -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if memory_bytes is None:
            return
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        most = pages * resource.getpagesize() + memory_bytes
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    except (ImportError, OSError, ValueError):  # a system without such limits
        return


def failed(error: BaseException) -> Failed:
    """Say of an error what may be said."""
    kind = Failure.OUT_OF_MEMORY if isinstance(error, MemoryError) else Failure.ERROR
    return Failed(failure=kind, error=type(error).__name__)
