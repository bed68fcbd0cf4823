"""Squared distances in double precision, by subtraction, never by expansion.

Every number a search returns comes from here, one pair at a time, so that it depends on the two
vectors alone and not on blocks, backends or threads.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audits.features.pixels import FloatArray
from audits.search.sources import Source

__all__ = ["exact_distances", "pair_distances"]

_PAIRS = 1 << 16
"""Values differenced at a time, so that they stay in the cache."""


def exact_distances(query: FloatArray, references: FloatArray) -> npt.NDArray[np.float64]:
    """Squared distances in double precision by subtraction, never by expansion.

    Args:
        query: (d,) or (n, d).
        references: (n, d).

    Returns:
        float64 (n,).
    """
    difference = references.astype(np.float64, order="C")
    difference -= query
    np.square(difference, out=difference)
    result: npt.NDArray[np.float64] = difference.sum(axis=-1)
    return result


def pair_distances(
    queries: FloatArray,
    chosen: npt.NDArray[np.int64],
    references: Source,
    rows: npt.NDArray[np.int64],
) -> npt.NDArray[np.float64]:
    """Distances of many pairs of a query and a reference.

    Args:
        queries: float32 (m, d).
        chosen: int64 (p,), rows of the queries.
        references: n rows of d values.
        rows: int64 (p,), rows of the references.

    Returns:
        float64 (p,), squared.
    """
    result = np.empty(len(rows))
    step = max(1, _PAIRS // max(1, queries.shape[1]))
    for begin in range(0, len(rows), step):
        part = slice(begin, begin + step)
        result[part] = exact_distances(queries[chosen[part]], references.take(rows[part]))
    return result
