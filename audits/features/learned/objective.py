"""What the encoder is trained for: to tell each image from all others, whatever was done to it.

Every image of the pool has a learned vector of its own. An altered image shall lie nearer to its
image's vector than to those of all images of other patients: the cross entropy of SimCLR (Chen et
al., ICML 2020) with one vector an image in place of a second view (instance discrimination, Wu et
al., CVPR 2018; proxies, Movshovitz-Attias et al., ICCV 2017). So one view a step meets every other
image as a negative, which small batches cannot offer.

The likeness of two vectors is a power of their distance, not the exponential of a cosine (heavy
tails as in t-SimCNE, Böhm et al., ICLR 2023). The loss then depends on ratios of distances alone,
and the ratio of the first to the second distance is what the audit decides by.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["instance_loss"]

_FLOOR = 0.03
"""Squared distance below which nearer is no better; keeps the gradient finite."""


def instance_loss(
    vectors: Tensor,
    anchors: Tensor,
    rows: Tensor,
    patients: Tensor,
    anchor_patients: Tensor,
    power: float,
) -> Tensor:
    """Mean cross entropy of finding the image among all images of other patients.

    Other images of the same patient are neither sought nor avoided.

    Args:
        vectors: float32 (b, d), unit vectors of altered images.
        anchors: float32 (m, d), unit vector of each candidate image.
        rows: int64 (b,), which candidate each vector belongs to.
        patients: int64 (b,), patient of each vector.
        anchor_patients: int64 (m,), patient of each candidate.
        power: Exponent of the squared distance; larger attends to the nearest images more.

    Returns:
        The loss, a scalar.
    """
    squared = 2.0 - 2.0 * (vectors @ anchors.T)
    likeness = -power * torch.log(squared.clamp(min=0.0) + _FLOOR)
    left_out = patients[:, None] == anchor_patients[None, :]
    left_out[torch.arange(len(rows)), rows] = False
    return F.cross_entropy(likeness.masked_fill(left_out, -torch.inf), rows)
