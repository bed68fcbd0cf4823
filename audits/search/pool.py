"""Candidates that could still be among the k nearest.

A candidate carries its score and the margin within which the exact score lies. It is dropped
once k others are certainly nearer, and only then; what remains is decided in double precision.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audits.features.pixels import FloatArray
from audits.search.distances import pair_distances
from audits.search.sources import Source

__all__ = ["Pool", "kth_largest"]

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def kth_largest(table: npt.NDArray[np.floating], k: int) -> Floats:
    """The k-th largest value of each row; minus infinity where there are fewer.

    Args:
        table: (m, n).
        k: At least 1.

    Returns:
        float64 (m,).
    """
    n = table.shape[1]
    if n < k:
        return np.full(len(table), -np.inf)
    return np.partition(table, n - k, axis=1)[:, n - k].astype(np.float64)


def _ranks(keys: Rows) -> Rows:
    """Position of each entry among those of its key; keys come sorted."""
    starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]]) if len(keys) else keys
    lengths = np.diff(np.r_[starts, len(keys)])
    ranks: Rows = np.arange(len(keys)) - np.repeat(starts, lengths)
    return ranks


class Pool:
    """Candidates of a block of queries, by key: a query, or a query and a group.

    Attributes:
        known: float64 (keys,), a score that the k-th best exact score certainly reaches.
        k: Neighbours a key.
        crowd: Candidates of one key above which they are decided before more come.
    """

    def __init__(
        self, queries: FloatArray, squares: Floats, references: Source, k: int, groups: int = 1
    ) -> None:
        """Start empty.

        Args:
            queries: float32 (m, d).
            squares: float64 (m,), their squared norms.
            references: n rows of d values.
            k: Neighbours a key.
            groups: Keys a query.
        """
        self.known: Floats = np.full(len(queries) * groups, -np.inf)
        self._queries = queries
        self._squares = squares
        self._references = references
        self.k = k
        self._groups = groups
        self._held: list[tuple[Rows, Rows, Floats, Floats]] = []
        self._count = 0
        self._limit = 2 * k * len(self.known)
        self.crowd = 4 * k + 32

    def add(self, keys: Rows, rows: Rows, scores: Floats, margins: Floats) -> None:
        """Add candidates.

        Args:
            keys: int64 (p,).
            rows: int64 (p,), rows of the references.
            scores: float64 (p,).
            margins: float64 (p,), how far the exact scores can be.
        """
        if not len(keys):
            return
        self._held.append((keys, rows, scores - margins, scores + margins))
        self._count += len(keys)
        if self._count > self._limit:
            self._settle()
            self._limit = max(self._limit, 2 * self._count)

    def learn(self, keys: Rows, scores: Floats) -> None:
        """Raise what is known; the candidates that prove it must be added.

        Args:
            keys: int64 (p,), each at most once.
            scores: float64 (p,), which the k-th best exact score certainly reaches.
        """
        self.known[keys] = np.maximum(self.known[keys], scores)

    def best(self) -> tuple[Floats, Rows]:
        """The exact k nearest of every key.

        Returns:
            Squared distances (keys, k), infinity where there are fewer, and rows, -1 there.
        """
        squared = np.full((len(self.known), self.k), np.inf)
        found = np.full((len(self.known), self.k), -1, np.int64)
        keys, rows, _, _ = self._settle()
        exact = self._exact(keys, rows)
        order = np.lexsort((rows, exact, keys))
        keys, rows, exact = keys[order], rows[order], exact[order]
        ranks = _ranks(keys)
        keep = ranks < self.k
        squared[keys[keep], ranks[keep]] = exact[keep]
        found[keys[keep], ranks[keep]] = rows[keep]
        return squared, found

    def _exact(self, keys: Rows, rows: Rows) -> Floats:
        return pair_distances(self._queries, keys // self._groups, self._references, rows)

    def _settle(self) -> tuple[Rows, Rows, Floats, Floats]:
        """Drop what cannot be among the k nearest any more."""
        if not self._held:
            nothing = np.empty(0, np.int64)
            return nothing, nothing, np.empty(0), np.empty(0)
        keys, rows, low, high = (np.concatenate(part) for part in zip(*self._held, strict=True))
        keep = high >= self.known[keys]
        keys, rows, low, high = keys[keep], rows[keep], low[keep], high[keep]
        order = np.lexsort((-low, keys))
        keys, rows, low, high = keys[order], rows[order], low[order], high[order]
        self._learn_from(keys, low)
        keep = high >= self.known[keys]
        keys, rows, low, high = keys[keep], rows[keep], low[keep], high[keep]
        crowded = np.bincount(keys, minlength=len(self.known))[keys] > self.crowd
        if crowded.any():
            # Many within rounding error of each other: decide them now, so that few remain.
            some, their = keys[crowded], rows[crowded]
            exact = self._exact(some, their)
            order = np.lexsort((their, exact, some))
            order = order[_ranks(some[order]) < self.k]
            some, their, exact = some[order], their[order], exact[order]
            squares = self._squares[some // self._groups]
            score, rounding = (squares - exact) / 2, 2.0**-51 * (squares + exact) + 1e-35
            self._learn_from(some, score - rounding)
            keys = np.concatenate([keys[~crowded], some])
            rows = np.concatenate([rows[~crowded], their])
            low = np.concatenate([low[~crowded], score - rounding])
            high = np.concatenate([high[~crowded], score + rounding])
        self._held = [(keys, rows, low, high)]
        self._count = len(keys)
        return self._held[0]

    def _learn_from(self, keys: Rows, low: Floats) -> None:
        """Learn from candidates, which come sorted by key, the best first."""
        kth = _ranks(keys) == self.k - 1
        self.learn(keys[kth], low[kth])
