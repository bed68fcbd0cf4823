"""Blocks of queries and chunks of references, made ready for a matrix product.

A query gets -1 appended and a reference half its squared norm, so that the product itself is the
score x.y - |y|^2 / 2 and no further pass over the table of scores is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.errors import AuditInputError
from audits.features.pixels import FloatArray
from audits.search.sources import Source

__all__ = ["Block", "Chunk", "blocks", "chunks", "needed_copies"]

_CHUNK_VALUES = 1 << 22
"""Values of a chunk: 16 MiB in single precision."""
_STEP = 1024
_TOO_LONG = 1e37
"""Squared norms from here on could overflow single precision."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Block:
    """Some queries.

    Attributes:
        vectors: float32 (m, d).
        extended: float32 (m, d + 1), with -1 appended.
        squares: float64 (m,), squared norms.
        groups: int64 (m,), or None.
    """

    vectors: FloatArray
    extended: FloatArray
    squares: npt.NDArray[np.float64]
    groups: Rows | None

    def only(self, rows: Rows) -> Block:
        """Some of the queries."""
        return Block(
            self.vectors[rows],
            self.extended[rows],
            self.squares[rows],
            None if self.groups is None else self.groups[rows],
        )


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some references.

    Attributes:
        vectors: float32 (n, d).
        extended: float32 (n, d + 1), with half the squared norm appended.
        squares: float64 (n,), squared norms.
        rows: int64 (n,), their rows in the source.
        groups: int64 (n,), or None.
        largest: Largest squared norm.
    """

    vectors: FloatArray
    extended: FloatArray
    squares: npt.NDArray[np.float64]
    rows: Rows
    groups: Rows | None
    largest: float

    def __len__(self) -> int:
        """Number of references."""
        return len(self.rows)


def _squares(vectors: FloatArray) -> npt.NDArray[np.float64]:
    with np.errstate(over="ignore", invalid="ignore"):
        squares: npt.NDArray[np.float64] = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    if not (squares < _TOO_LONG).all():
        raise AuditInputError("vectors to search hold values that are not finite or too large")
    return squares


def _extended(vectors: FloatArray, last: npt.NDArray[np.float64] | float) -> FloatArray:
    extended = np.empty((len(vectors), vectors.shape[1] + 1), np.float32)
    extended[:, :-1] = vectors
    extended[:, -1] = last
    return extended


def blocks(queries: FloatArray, groups: Rows | None, size: int) -> list[Block]:
    """Cut queries into blocks.

    Args:
        queries: float32 (m, d).
        groups: int64 (m,), or None.
        size: Queries a block, at most.

    Returns:
        The blocks in order.

    Raises:
        AuditInputError: A value is not finite.
    """
    result = []
    for begin in range(0, len(queries), size):
        part = slice(begin, begin + size)
        result.append(
            Block(
                queries[part],
                _extended(queries[part], -1.0),
                _squares(queries[part]),
                None if groups is None else groups[part],
            )
        )
    return result


def _rank_in_class(classes: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """How many earlier entries are of the same class."""
    order = np.argsort(classes, kind="stable")
    ranked = classes[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    lengths = np.diff(np.r_[starts, len(ranked)])
    rank = np.empty(len(classes), np.intp)
    rank[order] = np.arange(len(classes)) - np.repeat(starts, lengths)
    return rank


def needed_copies(
    vectors: FloatArray,
    squares: npt.NDArray[np.float64],
    groups: Rows | None,
    k: int,
    total: int,
) -> Rows | None:
    """Leave out identical references that cannot be among the k nearest of any query.

    Of identical vectors only the first k rows count. Where a query leaves its own group out, the
    first k of each group, and of these the first 2 k, suffice: at most k of them lie in that
    group, so k lie outside. Where every group is asked by itself, the first k of each count.

    Args:
        vectors: float32 (n, d).
        squares: float64 (n,), their squared norms: equal for equal vectors.
        groups: int64 (n,), or None.
        k: Copies to keep of a vector in each group, at most.
        total: Copies to keep of a vector in all, at most.

    Returns:
        Ascending rows to keep; None for all.
    """
    order = np.sort(squares)
    if len(order) <= k or not (order[k:] == order[:-k]).any():
        return None
    _, classes, counts = np.unique(squares, return_inverse=True, return_counts=True)
    suspects = np.flatnonzero(counts[classes] > k)
    held = np.ascontiguousarray(vectors[suspects])
    whole = held.view(np.dtype((np.void, held.shape[1] * held.itemsize)))[:, 0]
    _, same = np.unique(whole, return_inverse=True)
    keep = np.ones(len(vectors), bool)
    if groups is not None:
        _, group = np.unique(groups[suspects], return_inverse=True)
        keep[suspects] = _rank_in_class(same * (int(group.max()) + 1) + group) < k
        left = keep[suspects]
        suspects, same = suspects[left], same[left]
    keep[suspects] &= _rank_in_class(same) < total
    return np.flatnonzero(keep).astype(np.int64)


def chunks(
    references: Source, groups: Rows | None, k: int, *, by_group: bool = False
) -> Iterator[Chunk]:
    """Read references chunk by chunk.

    Args:
        references: n rows of d values.
        groups: int64 (n,), or None.
        k: Neighbours asked, of a group where ``by_group``.
        by_group: Sort each chunk by group, and keep copies of a group apart from others.

    Yields:
        The chunks; identical references that cannot count are left out.

    Raises:
        AuditInputError: A value is not finite.
    """
    n, d = references.shape
    size = max(1, _CHUNK_VALUES // (d + 1) // _STEP) * _STEP
    for begin in range(0, n, size):
        stop = min(n, begin + size)
        vectors = references.read(begin, stop)
        squares = _squares(vectors)
        own = None if groups is None else groups[begin:stop]
        total = k if own is None else stop - begin if by_group else 2 * k
        keep = needed_copies(vectors, squares, own, k, total)
        if by_group and own is not None:
            keep = np.arange(stop - begin, dtype=np.int64) if keep is None else keep
            keep = keep[np.argsort(own[keep], kind="stable")]
        rows = np.arange(begin, stop, dtype=np.int64)
        if keep is not None:
            vectors, squares, rows = vectors[keep], squares[keep], rows[keep]
            own = None if own is None else own[keep]
        largest = float(squares.max())
        yield Chunk(vectors, _extended(vectors, squares / 2), squares, rows, own, largest)
