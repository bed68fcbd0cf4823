"""Precision, recall, density and coverage: which images lie in which balls.

Precision is the share of candidates in some ball of the references, recall the share of references
in some ball of the candidates (Kynkäänniemi et al., NeurIPS 2019). Density counts the balls of the
references around a candidate, divided by k, and coverage is the share of references with a
candidate in their ball (Naeem et al., ICML 2020). Precision and density ask whether candidates look
real, recall and coverage whether they show all that real images show.

With more candidates than references coverage comes close to 1 for any that are scattered alike; the
floor beside it shows how close.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from audits.fidelity.leave_out import Doubles, LeaveOut, group_sums
from audits.fidelity.manifold import Manifold, steps

__all__ = ["coverage", "precision_and_density"]

Rows = npt.NDArray[np.int64]


def precision_and_density(
    queries: Doubles, query_groups: Rows, manifold: Manifold
) -> tuple[LeaveOut, LeaveOut]:
    """Share of queries in any ball, and balls around a query divided by k.

    With candidates for the manifold and references for the queries the first is recall.

    Args:
        queries: float64 (m, d).
        query_groups: int64 (m,), numbers from 0.
        manifold: The balls.

    Returns:
        Both, with queries as candidates and the manifold as references.
    """
    from scipy.spatial.distance import cdist

    n, m = len(manifold.vectors), len(queries)
    groups = int(manifold.groups.max()) + 1
    own = _members(manifold.groups, groups)
    gains = [
        (_members(lost, groups), limit[:, None])
        for lost, limit in zip(manifold.losses.T, manifold.wider.T, strict=True)
    ]
    counts = np.empty(m)
    inside_without, balls_without = np.zeros(groups), np.zeros(groups)
    for part in steps(m, n + groups):
        squared = cdist(manifold.vectors, queries[part], "sqeuclidean")
        inside = squared < manifold.radii[:, None]
        counts[part] = inside.sum(axis=0)
        # Without a group its balls are gone, and balls that ended at its images are wider.
        left = counts[part] - own @ inside.astype(np.float32)
        for members, limit in gains:
            left += members @ ((squared < limit) & ~inside).astype(np.float32)
        inside_without += (left > 0).sum(axis=1)
        balls_without += left.sum(axis=1)
    k = manifold.neighbours
    return (
        _mean(counts > 0, query_groups, inside_without / m),
        _mean(counts / k, query_groups, balls_without / (m * k)),
    )


def coverage(candidates: Doubles, candidate_groups: Rows, manifold: Manifold) -> LeaveOut:
    """Share of references with a candidate in their ball.

    Args:
        candidates: float64 (m, d).
        candidate_groups: int64 (m,), numbers from 0; at least two.
        manifold: Balls of the references.

    Returns:
        The share.
    """
    from scipy.spatial.distance import cdist

    n, m = len(manifold.vectors), len(candidates)
    nearest, second, owner = np.empty(n), np.empty(n), np.empty(n, np.int64)
    for part in steps(n, m):
        squared = cdist(manifold.vectors[part], candidates, "sqeuclidean")
        best = squared.argmin(axis=1)
        nearest[part] = squared[np.arange(len(best)), best]
        owner[part] = candidate_groups[best]
        squared[owner[part, None] == candidate_groups] = np.inf
        second[part] = squared.min(axis=1)
    covered = nearest < manifold.radii
    lonely = covered & ~(second < manifold.radii)
    alone = np.bincount(owner[lonely], minlength=int(candidate_groups.max()) + 1)
    known = manifold.losses >= 0
    regained = known & (nearest[:, None] < manifold.wider) & ~covered[:, None]
    sizes = np.bincount(manifold.groups)
    kept = covered.sum() - group_sums(covered, manifold.groups)
    kept += np.bincount(manifold.losses[regained], minlength=len(sizes))
    return LeaveOut(
        value=float(covered.mean()),
        candidates=(covered.sum() - alone) / n,
        references=kept / (n - sizes),
    )


def _members(groups: Rows, count: int) -> Any:
    """Sparse 0/1 matrix (count, n) that sums rows by group; -1 is in none."""
    from scipy.sparse import csr_array

    known = np.flatnonzero(groups >= 0)
    ones = np.ones(len(known), np.float32)
    return csr_array((ones, (groups[known], known)), (count, len(groups)))


def _mean(values: npt.NDArray[np.generic], groups: Rows, without_references: Doubles) -> LeaveOut:
    """Mean over queries, and without each of their groups."""
    sums = group_sums(values, groups)
    left = (sums.sum() - sums) / (len(values) - np.bincount(groups))
    return LeaveOut(
        value=float(values.astype(np.float64).mean()),
        candidates=left,
        references=without_references,
    )
