"""Changes of framing and composition, each image with its own draw: one resampling pass."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from audits.features.learned.draws import chosen, uniform

__all__ = ["Framing", "compose", "draw_framing", "reframe"]


class Framing(NamedTuple):
    """How each of n images is framed anew; lengths are shares of the side.

    Attributes:
        zoom: (n,), magnification; above 1 the image is cropped.
        stretch: (n,), extra magnification of the height over that of the width.
        angle: (n,), turn in radians.
        dy: (n,), downward displacement of the content.
        dx: (n,), rightward displacement of the content.
        mirrored: bool (n,), left-right flip.
        upended: bool (n,), upside-down flip.
        black: bool (n,), whether what lies outside the image is black; else the edge repeats.
    """

    zoom: Tensor
    stretch: Tensor
    angle: Tensor
    dy: Tensor
    dx: Tensor
    mirrored: Tensor
    upended: Tensor
    black: Tensor


def draw_framing(n: int, generator: Generator) -> Framing:
    """Draw framings: turn up to 15 degrees, crop to 0.65, depth 0.8 to 1.25, shift to 8 %.

    Args:
        n: Images.
        generator: Source of randomness.

    Returns:
        The draws; about one image in seven keeps its framing but for the flips.
    """
    moved = chosen(n, 0.86, generator)
    turned = moved & chosen(n, 0.6, generator)
    scaled = moved & chosen(n, 0.8, generator)
    # A crop to a share s, then a change of depth: one magnification.
    crop = uniform(n, 0.65, 1.0, generator)
    depth = torch.exp(uniform(n, -0.2231, 0.2231, generator))
    cropped = scaled & chosen(n, 0.6, generator)
    one = torch.ones(n)
    zoom = torch.where(scaled, depth, one) / torch.where(cropped, crop, one)
    # A crop may lie anywhere within the image; what is not cropped may be displaced a little.
    room = torch.clamp(1.0 - 1.0 / zoom, min=0.0) / 2.0 + 0.08
    return Framing(
        zoom,
        torch.where(scaled, torch.exp(uniform(n, -0.08, 0.08, generator)), one),
        torch.where(turned, uniform(n, -0.2618, 0.2618, generator), 0.0 * one),
        torch.where(moved, room * uniform(n, -1.0, 1.0, generator), 0.0 * one),
        torch.where(moved, room * uniform(n, -1.0, 1.0, generator), 0.0 * one),
        chosen(n, 0.5, generator),
        chosen(n, 0.05, generator),
        chosen(n, 0.3, generator),
    )


def reframe(images: Tensor, framing: Framing) -> Tensor:
    """Apply framings by one bilinear resampling.

    Args:
        images: float32 (n, 1, H, W).
        framing: One framing an image.

    Returns:
        float32 (n, 1, H, W).
    """
    height, width = images.shape[2:]
    aspect = height / width
    cosine, sine = torch.cos(framing.angle), torch.sin(framing.angle)
    across = torch.where(framing.mirrored, -1.0, 1.0)
    down = torch.where(framing.upended, -1.0, 1.0)
    by_x, by_y = 1.0 / framing.zoom, 1.0 / (framing.zoom * framing.stretch)
    # affine_grid maps places of the result to places of the input, both in [-1, 1].
    matrix = torch.stack(
        [
            torch.stack([across * cosine * by_x, -across * sine * aspect * by_x], 1),
            torch.stack([down * sine / aspect * by_y, down * cosine * by_y], 1),
        ],
        1,
    )
    offset = torch.stack([-2.0 * framing.dx, -2.0 * framing.dy], 1)
    theta = torch.cat([matrix, offset[:, :, None]], 2)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    inside = (grid.abs() <= 1.0).all(dim=3)[:, None]
    result: Tensor = torch.where(framing.black[:, None, None, None] & ~inside, 0.0, moved)
    return result


def compose(images: Tensor, others: Tensor, generator: Generator) -> Tensor:
    """Replace a smaller part of each image: by another image, black, grey or noise.

    Each image keeps at least 55 % of its area, so it remains what the composite is a copy of
    (random erasing, Zhong et al. 2017; CutMix, Yun et al. 2019, with the label of the larger part).

    Args:
        images: float32 (n, 1, H, W) in [0, 1].
        others: float32 (n, 1, H, W), what is pasted.
        generator: Source of randomness.

    Returns:
        float32 (n, 1, H, W).
    """
    n, _, height, width = images.shape
    # Rectangles anywhere, or a band along one edge as when two images stand side by side.
    high, wide = uniform(n, 0.15, 0.6, generator), uniform(n, 0.15, 0.6, generator)
    top = uniform(n, 0.0, 1.0, generator) * (1.0 - high)
    left = uniform(n, 0.0, 1.0, generator) * (1.0 - wide)
    band, side, share = (
        chosen(n, 0.4, generator),
        chosen(n, 0.5, generator),
        uniform(n, 0.1, 0.45, generator),
    )
    across = band & chosen(n, 0.7, generator)
    along = band & ~across
    wide = torch.where(across, share, torch.where(along, torch.ones(n), wide))
    left = torch.where(
        across, torch.where(side, 1.0 - share, 0.0), torch.where(along, torch.zeros(n), left)
    )
    high = torch.where(along, share, torch.where(across, torch.ones(n), high))
    top = torch.where(
        along, torch.where(side, 1.0 - share, 0.0), torch.where(across, torch.zeros(n), top)
    )
    ys = ((torch.arange(height) + 0.5) / height)[None, :, None]
    xs = ((torch.arange(width) + 0.5) / width)[None, None, :]
    low_y, low_x = top[:, None, None], left[:, None, None]
    inside = (ys >= low_y) & (ys < low_y + high[:, None, None])
    inside = inside & (xs >= low_x) & (xs < low_x + wide[:, None, None])
    flat = torch.where(chosen(n, 0.5, generator), uniform(n, 0.0, 1.0, generator), torch.zeros(n))
    foreign = chosen(n, 0.75, generator)[:, None, None, None]
    filling = torch.where(foreign, others, flat[:, None, None, None])
    return torch.where(inside[:, None], filling, images)
