"""Random framing and grey map of training images, drawn anew at every step."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

__all__ = ["augment"]

_ZOOM: Final = 0.15
_STRETCH: Final = 0.1
_SHIFT: Final = 0.08
_GAMMA: Final = 0.25
_GAIN: Final = 0.2


def augment(images: Tensor, boxes: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Mirror left to right, zoom, stretch, shift; change gamma and gain.

    Left and right are alike in a breast scan; up and down are not, so nothing is turned over.

    Args:
        images: float32 (n, 1, H, W) in [0, 1].
        boxes: float32 (n, 4), in shares of the side; NaN rows stay NaN.
        generator: Source of randomness.

    Returns:
        Images and boxes of the same shapes; boxes are clipped to the frame.
    """
    n = len(images)

    def draw(reach: float) -> Tensor:
        return reach * (2.0 * torch.rand(n, generator=generator) - 1.0)

    mirrored = torch.rand(n, generator=generator) < 0.5
    # affine_grid maps places of the result to places of the input, both in [-1, 1].
    zoom = torch.exp(draw(_ZOOM))
    across = torch.where(mirrored, -zoom, zoom)
    down = zoom * torch.exp(draw(_STRETCH))
    right, below = 2.0 * draw(_SHIFT), 2.0 * draw(_SHIFT)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 0, 2] = across, right
    theta[:, 1, 1], theta[:, 1, 2] = down, below
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    framed = F.grid_sample(images, grid, align_corners=False)
    gamma, gain = torch.exp(draw(_GAMMA)), torch.exp(draw(_GAIN))
    graded = framed.clamp(min=1e-6) ** gamma[:, None, None, None] * gain[:, None, None, None]

    places = 2.0 * boxes - 1.0
    horizontal = (places[:, [0, 2]] - right[:, None]) / across[:, None]
    vertical = (places[:, [1, 3]] - below[:, None]) / down[:, None]
    ends = [horizontal.amin(1), vertical.amin(1), horizontal.amax(1), vertical.amax(1)]
    moved = ((torch.stack(ends, 1) + 1.0) / 2.0).clamp(0.0, 1.0)
    return graded.clamp(0.0, 1.0), moved
