"""Where the shards of an audit run: here, in worker processes, or on a Dask cluster.

Only speed depends on it: every shard is a pure function of its arguments.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import CancelledError, Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from bussynth import __version__
from bussynth.errors import BussynthError, MissingDependencyError, UsageError

__all__ = ["Workers", "open_workers", "require_dask"]

_THREADS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
_CONNECT_SECONDS: Final = 30


@dataclass(frozen=True)
class Workers:
    """Who does the work.

    Attributes:
        executor: Takes the shards, or None for the calling process itself.
        shards: Into how many parts work is best cut.
    """

    executor: Executor | None
    shards: int


@contextmanager
def open_workers(workers: int = 1, cluster: str | None = None) -> Iterator[Workers]:
    """Open worker processes or a cluster for the length of a block.

    Args:
        workers: Processes on this machine; each computes with one thread.
        cluster: Address of a Dask scheduler, such as ``tcp://host:8786``, instead. Its workers
            need this version of bussynth; give each one thread (``dask worker --nthreads 1``).

    Raises:
        MissingDependencyError: Dask is not installed.
        UsageError: Nobody answers at the address, the workers there cannot do the work, or
            processes are asked for besides.
        BussynthError: Workers died.
    """
    if cluster is not None:
        if workers > 1:
            raise UsageError("Work runs on a cluster or in processes here; give one of the two.")
        with _dask(cluster) as found:
            yield found
    elif workers == 1:
        yield Workers(None, 1)
    else:
        with _pool(workers) as pool:
            yield Workers(pool, workers)


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    # Forking a process that holds threads of FAISS or BLAS may hang; spawning does not.
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            with _one_thread_each():
                # BLAS, OpenMP and torch read these variables when they are loaded, which a worker
                # may do before any initializer runs. So all start now, while they are set.
                for _ in range(workers):
                    pool.submit(os.getpid)
            yield pool
    except BrokenProcessPool as error:
        raise BussynthError(
            "A worker process died, perhaps for want of memory. Nothing was written; run the "
            "same command again, with fewer workers."
        ) from error


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that start in this block compute with one thread; this one is unaffected."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def require_dask() -> Any:
    """Return the module ``distributed``.

    Raises:
        MissingDependencyError: It is not installed.
    """
    try:
        # By name: Dask carries no types, and is not there in most installations.
        return import_module("distributed")
    except ImportError as error:
        raise MissingDependencyError(
            "--cluster needs Dask, which is not installed: pip install 'bussynth[dask]'"
        ) from error


@contextmanager
def _dask(address: str) -> Iterator[Workers]:
    distributed = require_dask()
    try:
        client = distributed.Client(address, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"No Dask scheduler answers at {address!r}; start one with `dask scheduler` and give "
            "its address, such as tcp://host:8786."
        ) from error
    try:
        threads = _check_workers(client, address)
        # Not pure: a shard is never looked up by a hash of its arrays, which would take longer.
        yield Workers(client.get_executor(pure=False), threads)
    except (distributed.KilledWorker, CancelledError) as error:
        raise BussynthError(
            f"The Dask cluster at {address!r} lost the work: several workers died on it, or the "
            "scheduler did. Nothing was written; run the same command again."
        ) from error
    finally:
        client.close()


def _check_workers(client: Any, address: str) -> int:
    """Count the threads of the cluster; refuse one that is empty or has another version."""
    threads = sum(client.nthreads().values())
    if not threads:
        raise UsageError(
            f"The Dask scheduler at {address!r} has no workers; start some with `dask worker`."
        )
    try:
        versions = set(client.run(_version).values())
    # Dask passes on whatever a worker raises that cannot import this module.
    except Exception as error:
        raise UsageError(
            f"The Dask workers at {address!r} cannot run bussynth; install version {__version__} "
            "there."
        ) from error
    if versions != {__version__}:
        raise UsageError(
            f"The Dask workers at {address!r} have bussynth {', '.join(sorted(versions))}, but "
            f"this is {__version__}; install the same version everywhere."
        )
    return int(threads)


def _version() -> str:
    return __version__
