"""Balls around images that reach to their k-th nearest neighbour.

Together they stand for where images of that kind may lie (Kynkäänniemi et al., NeurIPS 2019). A
neighbour is an image of another patient: two views of one breast lie close together, and a ball
that ends at the other view says nothing of where the next patient may lie. Where every image is its
own patient this is the published definition.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.fidelity.leave_out import Doubles

__all__ = ["Manifold", "build_manifold", "steps"]

Rows = npt.NDArray[np.int64]

_CELLS = 1 << 22
"""Distances held at a time."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Manifold:
    """Vectors with their balls.

    Attributes:
        vectors: float64 (n, d).
        groups: int64 (n,), patients, numbered from 0.
        neighbours: k.
        radii: float64 (n,), squared distance to the k-th nearest vector of another group.
        losses: int64 (n, k), groups among those k nearest, each once; -1 fills the row.
        wider: float64 (n, k), squared radius without that group.
    """

    vectors: Doubles
    groups: Rows
    neighbours: int
    radii: Doubles
    losses: Rows
    wider: Doubles


def steps(rows: int, columns: int) -> list[slice]:
    """Cut rows into parts whose distances to all columns fit in memory.

    Args:
        rows: Rows to cut.
        columns: Values a row.

    Returns:
        The parts.
    """
    size = max(1, _CELLS // columns)
    return [slice(begin, min(begin + size, rows)) for begin in range(0, rows, size)]


def build_manifold(vectors: Doubles, groups: Rows, neighbours: int) -> Manifold:
    """Find the radii, and what they would be without each group of neighbours.

    Args:
        vectors: float64 (n, d).
        groups: int64 (n,), numbers from 0; at least ``neighbours`` + 2 of them.
        neighbours: k.

    Returns:
        The balls.
    """
    from scipy.spatial.distance import cdist

    n = len(vectors)
    radii = np.empty(n)
    losses, wider = np.empty((n, neighbours), np.int64), np.empty((n, neighbours))
    # Without the largest group there are still k of these, and they are the nearest.
    near = min(n, neighbours + int(np.bincount(groups).max()))
    for part in steps(n, n):
        # Differences are squared, not expanded: equal pairs have equal distances in every part.
        squared = cdist(vectors[part], vectors, "sqeuclidean")
        squared[groups[part, None] == groups] = np.inf
        rows = np.argpartition(squared, near - 1, axis=1)[:, :near]
        squared = np.take_along_axis(squared, rows, axis=1)
        order = np.argsort(squared, axis=1, kind="stable")
        squared = np.take_along_axis(squared, order, axis=1)
        owners = groups[np.take_along_axis(rows, order, axis=1)]
        radii[part] = squared[:, neighbours - 1]
        for place in range(neighbours):
            lost = owners[:, place]
            left = np.where(owners == lost[:, None], np.inf, squared)
            wider[part, place] = np.sort(left, axis=1)[:, neighbours - 1]
            again = (owners[:, :place] == lost[:, None]).any(axis=1)
            losses[part, place] = np.where(again, -1, lost)
    return Manifold(
        vectors=vectors,
        groups=groups,
        neighbours=neighbours,
        radii=radii,
        losses=losses,
        wider=wider,
    )
