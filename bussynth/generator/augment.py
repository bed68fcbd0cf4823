"""Label-free augmentation that does not leak into what is generated.

Karras et al. 2022 (arXiv:2206.00364, appendix F.2): training images are altered at random and the
network is told how; asked for an unaltered image, it draws none of the alterations. Of their
transformations those are taken that a breast-ultrasound image survives: zoom, stretch and shift
(depth and width of the view) and gain. Rotation and blitting are not, since depth runs downwards.
Mirroring left to right needs no label: breasts come in both orders.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from bussynth.generator.conditions import BOX_PRESENT, BOX_UNKNOWN, ConditionBatch

__all__ = ["LABELS", "Draws", "augment"]

LABELS: Final = 5
"""Length of a label: zoom, stretch, shift to the right, shift downwards, gain."""

# Standard deviations of log2 zoom, log2 stretch, the shifts in sides of the image, log2 gain; the
# first four are those of Karras et al. 2022, table 6, but for smaller shifts.
_SPREAD = (0.2, 0.2, 0.0625, 0.0625, 0.3)
# A lesion of which less than this share is left in view is no lesion of that box any more.
_LEAST_VISIBLE = 0.5


@dataclass(frozen=True)
class Draws:
    """Random numbers of an augmentation.

    Attributes:
        amount: Standard normal ``(n, LABELS)``.
        choice: Uniform in [0, 1), ``(n, LABELS)``.
    """

    amount: Tensor
    choice: Tensor

    @classmethod
    def of(cls, uniform: Callable[[int], Tensor], normal: Callable[[int], Tensor]) -> Draws:
        """Draw from sources that give ``(n, count)`` numbers."""
        return cls(normal(LABELS), uniform(LABELS))


def augment(
    pixels: Tensor, conditions: ConditionBatch, probability: float, draws: Draws
) -> tuple[Tensor, ConditionBatch]:
    """Alter training images and say how.

    Args:
        pixels: uint8 ``(n, H, W)``.
        conditions: Of the n rows; boxes move with their images.
        probability: Chance of each of the alterations, in [0, 1].
        draws: Random numbers of the n rows.

    Returns:
        float32 ``(n, H, W)`` in [0, 255] and the conditions with :attr:`ConditionBatch.augment`,
        zeros for an unaltered image. What comes into view from outside is black.
    """
    n, height, width = pixels.shape
    used = draws.choice < probability
    labels = torch.where(used, draws.amount, 0.0)
    zoom, stretch, right, down, gain = (labels * torch.tensor(_SPREAD)).unbind(1)
    scale_x, scale_y = 2 ** (zoom + stretch / 2), 2 ** (zoom - stretch / 2)
    theta = torch.zeros((n, 2, 3))
    theta[:, 0, 0], theta[:, 0, 2] = 1 / scale_x, -2 * right / scale_x
    theta[:, 1, 1], theta[:, 1, 2] = 1 / scale_y, -2 * down / scale_y
    grid = F.affine_grid(theta, [n, 1, height, width], align_corners=False)
    values = pixels.float().unsqueeze(1)
    moved = F.grid_sample(values, grid, padding_mode="zeros", align_corners=False)
    # An image that is not moved must not be resampled either.
    still = ~used[:, :4].any(dim=1).view(-1, 1, 1, 1)
    altered = torch.where(still, values, moved).squeeze(1)
    altered = (altered * (2**gain).view(-1, 1, 1)).clamp(0, 255)
    return altered, _follow(conditions, labels, (scale_x, scale_y), (right, down), (width, height))


def _follow(
    conditions: ConditionBatch,
    labels: Tensor,
    scale: tuple[Tensor, Tensor],
    shift: tuple[Tensor, Tensor],
    size: tuple[int, int],
) -> ConditionBatch:
    """Move boxes with their images; a box mostly out of view becomes unknown."""
    edges = []
    for axis in (0, 1):
        low, high = conditions.boxes[:, axis], conditions.boxes[:, axis + 2]
        centre = size[axis] / 2
        edges.append(
            [(v - centre) * scale[axis] + centre + shift[axis] * size[axis] for v in (low, high)]
        )
    moved = torch.stack((edges[0][0], edges[1][0], edges[0][1], edges[1][1]), dim=1)
    limit = torch.tensor([size[0], size[1], size[0], size[1]], dtype=torch.float32)
    inside = moved.clamp(min=0).minimum(limit)
    visible = _area(inside) / _area(moved).clamp(min=math.ulp(1.0))
    present = conditions.box_state == BOX_PRESENT
    lost = present & (visible < _LEAST_VISIBLE)
    kept = (present & ~lost).unsqueeze(1)
    return replace(
        conditions,
        box_state=conditions.box_state.masked_fill(lost, BOX_UNKNOWN),
        boxes=torch.where(kept, inside, 0.0),
        augment=labels,
    )


def _area(boxes: Tensor) -> Tensor:
    x0, y0, x1, y1 = boxes.unbind(1)
    return (x1 - x0).clamp(min=0) * (y1 - y0).clamp(min=0)
