"""Fréchet distance between two clouds of vectors taken as Gaussian.

    FD = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))

(Dowson & Landau, J Multivariate Analysis 12, 1982; Heusel et al., NIPS 2017). Computed by
torchmetrics. A covariance of few images is noisy, and noise adds to the distance: with a few
hundred images in 128 dimensions most of a small distance is such bias. It depends on the numbers of
images, so only distances of equal numbers compare, and only beside their floor.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from audits.fidelity.leave_out import Doubles, LeaveOut, group_sums

__all__ = ["frechet"]

Rows = npt.NDArray[np.int64]


def frechet(
    candidates: Doubles, references: Doubles, candidate_groups: Rows, reference_groups: Rows
) -> LeaveOut:
    """Fréchet distance, and what it would be without each group, to first order.

    Args:
        candidates: float64 (m, d).
        references: float64 (n, d).
        candidate_groups: int64 (m,), numbers from 0.
        reference_groups: int64 (n,), numbers from 0.

    Returns:
        The distance.
    """
    value = _distance(candidates, references)
    return LeaveOut(
        value=value,
        candidates=value - _contributions(candidates, references, candidate_groups),
        references=value - _contributions(references, candidates, reference_groups),
    )


def _distance(candidates: Doubles, references: Doubles) -> float:
    import torch
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Given(torch.nn.Module):
        """Takes vectors for the features themselves."""

        num_features = candidates.shape[1]

        def forward(self, vectors: torch.Tensor) -> torch.Tensor:
            """The vectors."""
            return vectors

    # It sums uncentred squares; a common offset would only cost digits.
    offset = references.mean(axis=0)
    metric = FrechetInceptionDistance(Given())
    metric.update(torch.from_numpy(references - offset), real=True)
    metric.update(torch.from_numpy(candidates - offset), real=False)
    return float(metric.compute())


def _contributions(own: Doubles, other: Doubles, groups: Rows) -> Doubles:
    """What each group of ``own`` adds to the distance, to first order.

    The gradient by the own covariance is I - T, T being the symmetric matrix that carries the own
    Gaussian onto the other (Bhatia, Jain & Lim, Expositiones Mathematicae 37, 2019).
    """
    centred = own - own.mean(axis=0)
    apart = own.mean(axis=0) - other.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(own, rowvar=False).reshape(own.shape[1], -1))
    known = values > values[-1] * len(values) * np.finfo(np.float64).eps
    roots = np.sqrt(np.where(known, values, 0.0))
    inverse = np.where(known, 1.0 / np.where(known, roots, 1.0), 0.0)
    root = (vectors * roots) @ vectors.T
    # (C1^(1/2) C2 C1^(1/2))^(1/2), then divided by C1^(1/2) on both sides.
    middle = root @ np.cov(other, rowvar=False).reshape(root.shape) @ root
    squares, axes = np.linalg.eigh((middle + middle.T) / 2)
    middle = (axes * np.sqrt(np.clip(squares, 0.0, None))) @ axes.T
    back = (vectors * inverse) @ vectors.T
    gradient = np.eye(len(values)) - back @ middle @ back
    influence = 2 * centred @ apart + np.einsum("ij,ij->i", centred @ gradient, centred)
    influence -= influence.mean()
    left = len(own) - np.bincount(groups)
    return group_sums(influence, groups) / left
