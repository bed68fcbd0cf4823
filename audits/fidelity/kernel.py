"""Kernel distance: squared maximum mean discrepancy of the kernel (x.y / d + 1)^3.

The estimate of Bińkowski et al. ("Demystifying MMD GANs", ICLR 2018) over all images, not over
random subsets: unbiased, so 0 on average where both clouds are alike, and then often below 0. Pairs
of images of one patient are left out with the pairs of an image and itself; being alike, they would
bias it. Where every image is its own patient and both clouds have equal numbers it is what
torchmetrics computes with one subset of all images.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audits.fidelity.leave_out import Doubles, LeaveOut, group_sums

__all__ = ["kernel_distance"]

Rows = npt.NDArray[np.int64]

_CELLS = 1 << 22
"""Kernel values held at a time."""


def kernel_distance(
    candidates: Doubles, references: Doubles, candidate_groups: Rows, reference_groups: Rows
) -> LeaveOut:
    """Kernel distance, and what it would be without each group, exactly.

    Args:
        candidates: float64 (m, d).
        references: float64 (n, d).
        candidate_groups: int64 (m,), numbers from 0; at least three.
        reference_groups: int64 (n,), numbers from 0; at least three.

    Returns:
        The distance.
    """
    inner, inner_without = _within(candidates, candidate_groups)
    outer, outer_without = _within(references, reference_groups)
    rows, columns = _between(candidates, references)
    m, n, total = len(candidates), len(references), float(rows.sum())
    without_rows = (total - group_sums(rows, candidate_groups)) / (
        (m - np.bincount(candidate_groups)) * n
    )
    without_columns = (total - group_sums(columns, reference_groups)) / (
        m * (n - np.bincount(reference_groups))
    )
    return LeaveOut(
        value=inner + outer - 2 * total / (m * n),
        candidates=inner_without + outer - 2 * without_rows,
        references=inner + outer_without - 2 * without_columns,
    )


def _within(vectors: Doubles, groups: Rows) -> tuple[float, Doubles]:
    """Mean kernel value over pairs of different groups, and without each group."""
    sums = np.empty(len(vectors))
    for part in _parts(len(vectors), len(vectors)):
        values = _kernel(vectors[part], vectors)
        values[groups[part, None] == groups] = 0.0
        sums[part] = values.sum(axis=1)
    total, sizes = sums.sum(), np.bincount(groups)
    pairs = len(vectors) ** 2 - np.square(sizes).sum()
    left = pairs - 2 * sizes * (len(vectors) - sizes)
    return float(total / pairs), (total - 2 * group_sums(sums, groups)) / left


def _between(candidates: Doubles, references: Doubles) -> tuple[Doubles, Doubles]:
    """Sums of the kernel over the references of each candidate, and the other way."""
    rows, columns = np.empty(len(candidates)), np.zeros(len(references))
    for part in _parts(len(candidates), len(references)):
        values = _kernel(candidates[part], references)
        rows[part] = values.sum(axis=1)
        columns += values.sum(axis=0)
    return rows, columns


def _kernel(first: Doubles, second: Doubles) -> Doubles:
    result: Doubles = (first @ second.T / first.shape[1] + 1.0) ** 3
    return result


def _parts(rows: int, columns: int) -> list[slice]:
    step = max(1, _CELLS // columns)
    return [slice(begin, begin + step) for begin in range(0, rows, step)]
