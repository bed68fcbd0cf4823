"""One thread for every library, so that the search alone decides how many run.

Thread counts belong to the whole process. Searches in several threads therefore share one
setting: the first to come makes it, the last to leave undoes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from threading import Lock

__all__ = ["one_thread_each"]


class _Shared:
    """A setting of the process, made by the first user and undone by the last."""

    def __init__(self, make: Callable[[], Callable[[], None] | None]) -> None:
        self._make = make
        self._lock = Lock()
        self._users = 0
        self._undo: Callable[[], None] | None = None

    @contextmanager
    def use(self) -> Iterator[bool]:
        """Hold the setting; yields whether it could be made."""
        with self._lock:
            if self._users == 0:
                self._undo = self._make()
            self._users += 1
            made = self._undo is not None
        try:
            yield made
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0 and self._undo is not None:
                    self._undo()
                    self._undo = None


def _limit_blas() -> Callable[[], None] | None:
    if find_spec("threadpoolctl") is None:
        return None
    limits = import_module("threadpoolctl").threadpool_limits(limits=1, user_api="blas")
    undo: Callable[[], None] = limits.restore_original_limits
    return undo


def _limit_torch() -> Callable[[], None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    return lambda: torch.set_num_threads(before)


_BLAS = _Shared(_limit_blas)
_TORCH = _Shared(_limit_torch)


@contextmanager
def one_thread_each(backend: str) -> Iterator[bool]:
    """Keep BLAS, and torch where it is the backend, to one thread a call.

    FAISS is left out: its thread count belongs to the calling thread, and is set at each call.

    Args:
        backend: Name of the backend.

    Yields:
        Whether BLAS obeys. It does not without threadpoolctl; then the environment
        (``OPENBLAS_NUM_THREADS``) decides, and a search must not start threads of its own.
    """
    with ExitStack() as held:
        if backend == "torch":
            held.enter_context(_TORCH.use())
        yield held.enter_context(_BLAS.use())
