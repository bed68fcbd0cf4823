"""A search written as plainly as possible, and vectors that are hard to search."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from audits.search.exact import Exclude

Vectors = npt.NDArray[np.float32]
Naive = Callable[..., tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]]
Draw = Callable[[str, int, int], Vectors]


def _table(queries: Vectors, references: Vectors) -> npt.NDArray[np.float64]:
    return np.array(
        [
            [np.square(r.astype(np.float64) - q.astype(np.float64)).sum() for r in references]
            for q in queries
        ]
    ).reshape(len(queries), len(references))


def _naive(
    queries: Vectors, references: Vectors, k: int, exclude: Exclude | None = None
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    table = _table(queries, references)
    squared = np.full((len(queries), k), np.inf)
    rows = np.full((len(queries), k), -1)
    for number, line in enumerate(table):
        allowed = [
            row
            for row in range(len(references))
            if exclude is None or exclude[0][number] != exclude[1][row]
        ]
        best = sorted(allowed, key=lambda row: (line[row], row))[:k]
        squared[number, : len(best)], rows[number, : len(best)] = line[best], best
    return squared, rows


def _draw(kind: str, n: int, d: int) -> Vectors:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, d))
    if kind == "near-duplicates":
        x = x[rng.integers(0, 3, n)] + 1e-6 * x
    elif kind == "identical":
        x = x[rng.integers(0, 2, n)]
    elif kind == "zero":
        x = x * 0
    elif kind == "signs":
        x = np.sign(x)
    elif kind == "flat":
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        x[rng.random(n) < 0.3] = 0
    elif kind == "far":
        x = x * 1e3 + 1e4
    return x.astype(np.float32)


@pytest.fixture
def naive() -> Naive:
    """naive(queries, references, k, exclude=None) -> squared, rows."""
    return _naive


@pytest.fixture
def table() -> Callable[[Vectors, Vectors], npt.NDArray[np.float64]]:
    """table(queries, references) -> all squared distances."""
    return _table


@pytest.fixture
def draw() -> Draw:
    """draw(kind, n, d) -> vectors of a kind in KINDS."""
    return _draw
