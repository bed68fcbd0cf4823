"""Ways to compute many distances in single precision, and how wrong they can be.

A backend only proposes. With x a query and y a reference, all compare the score x.y - |y|^2 / 2,
largest for the nearest, and everything within the rounding error of a decision goes on to double
precision. So the choice of backend changes the time, never a number.

``numpy`` and ``torch`` multiply blocks of matrices; ``faiss`` is its flat index.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from audits.errors import AuditInputError
from audits.features.pixels import FloatArray

__all__ = ["BACKENDS", "faiss_scores", "margin", "multiplier"]

BACKENDS = ("numpy", "torch", "faiss")

Multiply = Callable[[FloatArray, FloatArray, FloatArray], None]


def margin(
    squares: npt.NDArray[np.float64], largest: float, dimensions: int, *, single: bool
) -> npt.NDArray[np.float64]:
    """How far a computed score can be from the one that the exact distance implies.

    With u the unit roundoff and n the terms of a sum, in any order, the error of a dot product
    is at most n u / (1 - n u) |x|.|y| (Higham, Accuracy and Stability of Numerical Algorithms,
    2nd ed., section 3.1). Here n is d + 1, plus one rounding of |y|^2 / 2. FAISS rounds |x|^2
    too, hence its half. The last term covers the rounding of the exact distance itself.

    Args:
        squares: float64 (m,), squared norms of the queries.
        largest: Largest squared norm of the references.
        dimensions: d, at most 100,000.
        single: Whether the score is in single precision.

    Returns:
        float64 (m,).
    """
    unit = 2.0**-24 if single else 2.0**-53
    product = np.sqrt(squares * largest) + (squares + largest) / 2
    bound: npt.NDArray[np.float64] = (
        1.01 * (dimensions + 8) * (unit * product + 2.0**-52 * (squares + largest)) + 1e-35
    )
    return bound


def multiplier(backend: str) -> Multiply:
    """A function (a, b, out) writing a @ b.T to out.

    Args:
        backend: ``"torch"``, otherwise numpy.

    Returns:
        The function.

    Raises:
        AuditInputError: torch was told to multiply float32 in less than single precision.
    """
    if backend != "torch":

        def by_numpy(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
            np.matmul(a, b.T, out=out)

        return by_numpy
    import torch

    if torch.get_float32_matmul_precision() != "highest":
        raise AuditInputError("torch: a search needs float32 matmul precision 'highest'")

    def by_torch(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
        torch.matmul(torch.from_numpy(a), torch.from_numpy(b).T, out=torch.from_numpy(out))

    return by_torch


def faiss_scores(
    queries: FloatArray, squares: npt.NDArray[np.float64], references: FloatArray, wanted: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The highest scores by FAISS, with one thread.

    Args:
        queries: float32 (m, d).
        squares: float64 (m,), their squared norms.
        references: float32 (n, d).
        wanted: Scores a query, at most n.

    Returns:
        Scores (m, wanted), falling, within ``margin``, and rows.
    """
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        found: tuple[Any, Any] = faiss.knn(
            np.ascontiguousarray(queries), np.ascontiguousarray(references), wanted
        )
    finally:
        faiss.omp_set_num_threads(before)
    return (squares[:, None] - found[0].astype(np.float64)) / 2, found[1].astype(np.int64)
