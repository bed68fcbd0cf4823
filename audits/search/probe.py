"""Which backend is the fastest here, for these vectors.

Wheels of numpy, torch and FAISS bring their own linear algebra, and which of them knows a
processor differs by release. So a sample of the data is screened by each for a fraction of a
second. The choice never changes a number.
"""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec

import numpy as np

from audits.search.backends import multiplier
from audits.search.blocks import blocks, chunks
from audits.search.pool import Pool
from audits.search.screen import screen_by_faiss, screen_by_product
from audits.search.sources import ArraySource, Source
from audits.search.threads import one_thread_each

__all__ = ["available_backends", "choose_backend", "probe_backends"]

_QUERIES = 256
_WORK = 5e8
_WORTH = 3e11
"""Floating-point operations below which a probe costs more than it can save."""
_TURNS = 2


def available_backends() -> list[str]:
    """Backends to try: torch only where it is loaded anyway, for loading takes longer."""
    names = ["numpy"]
    if find_spec("faiss") is not None:
        names.append("faiss")
    if "torch" in sys.modules:
        import torch

        if torch.get_float32_matmul_precision() == "highest":
            names.append("torch")
    return names


def probe_backends(queries: Source, references: Source, k: int) -> dict[str, float]:
    """Time every backend on a sample.

    Args:
        queries: m rows of d values.
        references: n rows of d values.
        k: Neighbours asked.

    Returns:
        Seconds of processor time for the same work, the best of two turns, by backend.
    """
    (m, d), n = queries.shape, references.shape[0]
    rows = int(min(n, max(512, _WORK // (2 * _QUERIES * d))))
    sample = ArraySource(references.read(0, rows))
    block = blocks(queries.read(0, min(m, _QUERIES)), None, _QUERIES)[0]
    chunk = next(chunks(sample, None, k))
    numbers = np.arange(len(block.vectors))
    seconds = {}
    for name in available_backends():
        screen = screen_by_faiss if name == "faiss" else screen_by_product
        pool = Pool(block.vectors, block.squares, sample, k)
        times = []
        with one_thread_each(name):
            # The first turn loads libraries and fills the pool, as a long search soon has.
            for _ in range(_TURNS + 1):
                start = time.thread_time()
                screen(block, chunk, pool, numbers, multiplier(name))
                times.append(time.thread_time() - start)
        seconds[name] = min(times[1:])
    return seconds


def choose_backend(queries: Source, references: Source, k: int) -> str:
    """The fastest backend for a search; numpy, untried, for a small one.

    Args:
        queries: m rows of d values.
        references: n rows of d values.
        k: Neighbours asked.

    Returns:
        Its name.
    """
    (m, d), n = queries.shape, references.shape[0]
    if 2.0 * m * n * d < _WORTH:
        return "numpy"
    seconds = probe_backends(queries, references, k)
    return min(seconds, key=lambda name: seconds[name])
