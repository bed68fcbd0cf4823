"""Alterations under which a copy must stay recognisable, drawn anew for every image.

They follow what a copy may undergo between a scanner and a release: framing, the machine's gain,
depth gain and grey map, speckle and noise, smoothing, compression, calipers and text, and parts
replaced by another image. All act on float batches (n, 1, H, W) in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from audits.features.learned.draws import chosen, uniform
from audits.features.learned.geometry import compose, draw_framing, reframe

__all__ = ["augment", "blur", "compress", "degrade", "overlay", "regrade"]

_QUANTA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Luminance table of ITU-T T.81 (JPEG), annex K.1."""


def _column(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _some(
    images: Tensor, share: float, generator: Generator, alter: Callable[[Tensor], Tensor]
) -> Tensor:
    """Alter a random share of the images only; the others cost nothing."""
    rows = torch.nonzero(chosen(len(images), share, generator))[:, 0]
    if not len(rows):
        return images
    return images.index_copy(0, rows, alter(images[rows]))


def regrade(images: Tensor, generator: Generator) -> Tensor:
    """Change the grey map: gamma 0.5 to 2, gain, depth gain, dynamic range.

    Args:
        images: float32 (n, 1, H, W) in [0, 1].
        generator: Source of randomness.

    Returns:
        float32 (n, 1, H, W) in [0, 1].
    """
    n, _, height, width = images.shape
    exponent = torch.exp(math.log(2.0) * uniform(n, -1.0, 1.0, generator))
    images = images.clamp(min=1e-6) ** _column(exponent)
    # Depth gain: an exponential ramp down the image, at times across it.
    slope = _column(torch.where(chosen(n, 0.5, generator), uniform(n, -0.9, 0.9, generator), 0.0))
    rows = torch.linspace(-0.5, 0.5, height)[None, None, :, None]
    columns = torch.linspace(-0.5, 0.5, width)[None, None, None, :]
    sideways = _column(chosen(n, 0.15, generator))
    images = images * torch.exp(slope * torch.where(sideways, columns, rows))
    # Another dynamic range keeps the bright decibels and drops the dark ones, or the reverse.
    ranged = chosen(n, 0.4, generator)
    floor = _column(torch.where(ranged, uniform(n, -0.25, 0.25, generator), 0.0))
    images = (images - floor) / (1.0 - floor)
    gain = torch.exp(uniform(n, -0.4, 0.35, generator))
    return (images * _column(gain)).clamp(0.0, 1.0)


def _blurring(size: int, sigma: Tensor) -> Tensor:
    """Gaussian weights (n, size, size) along one axis, renormalised at the border."""
    places = torch.arange(size, dtype=torch.float32)
    squared = torch.square(places[:, None] - places[None, :])
    weights = torch.exp(-squared / (2.0 * torch.square(sigma)[:, None, None]).clamp(min=1e-4))
    return weights / weights.sum(dim=2, keepdim=True)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur with a width for every image.

    Args:
        images: float32 (n, 1, H, W).
        sigma: (n,), standard deviation as a share of the height.

    Returns:
        float32 (n, 1, H, W).
    """
    height, width = images.shape[2:]
    rows = _blurring(height, sigma * height)
    columns = _blurring(width, sigma * height)
    return torch.bmm(torch.bmm(rows, images[:, 0]), columns.transpose(1, 2))[:, None]


def degrade(images: Tensor, generator: Generator) -> Tensor:
    """Add multiplicative speckle or additive noise.

    Speckle is gamma distributed with mean 1 (intensity averaged over 2 to 30 looks), drawn by
    the cube of a normal (Wilson & Hilferty, PNAS 17, 1931). Noise has 0 to 22 dB of signal.

    Args:
        images: float32 (n, 1, H, W) in [0, 1].
        generator: Source of randomness.

    Returns:
        float32 (n, 1, H, W) in [0, 1].
    """
    n = len(images)
    normal = torch.randn(images.shape, generator=generator)
    looks = _column(torch.exp(uniform(n, math.log(2.0), math.log(30.0), generator)))
    speckle = (1.0 - 1.0 / (9.0 * looks) + normal / (3.0 * looks.sqrt())).clamp(min=0.0) ** 3
    decibel = _column(uniform(n, 0.0, 22.0, generator))
    spread = images.std(dim=(2, 3), keepdim=True)
    noisy = images + normal * spread * 10.0 ** (-decibel / 20.0)
    multiplied = _column(chosen(n, 0.45, generator))
    return torch.where(multiplied, images * speckle, noisy).clamp(0.0, 1.0)


def _coarsen(images: Tensor, generator: Generator) -> Tensor:
    """Reduce by two or four and enlarge again."""
    size = list(images.shape[2:])
    coarse = [
        F.interpolate(F.avg_pool2d(images, factor, ceil_mode=True), size, mode="bilinear")
        for factor in (2, 4)
    ]
    return torch.where(_column(chosen(len(images), 0.7, generator)), coarse[0], coarse[1])


@lru_cache(maxsize=1)
def _cosines() -> Tensor:
    """Orthonormal 8-point DCT-II matrix."""
    order, place = torch.arange(8.0)[:, None], torch.arange(8.0)[None, :]
    matrix = torch.cos(math.pi * (2 * place + 1) * order / 16.0) / 2.0
    matrix[0] /= math.sqrt(2.0)
    return matrix


def compress(images: Tensor, quality: Tensor) -> Tensor:
    """Round the coefficients of 8x8 cosine blocks as JPEG does.

    Args:
        images: float32 (n, 1, H, W) in [0, 1].
        quality: (n,), 1 to 100, on the scale of the Independent JPEG Group.

    Returns:
        float32 (n, 1, H, W) in [0, 1].
    """
    n, _, height, width = images.shape
    padded = F.pad(images, (0, -width % 8, 0, -height % 8), mode="replicate")
    down, across = padded.shape[2] // 8, padded.shape[3] // 8
    blocks = (255.0 * padded - 128.0).reshape(n, down, 8, across, 8).permute(0, 1, 3, 2, 4)
    scale = torch.where(quality < 50, 5000.0 / quality, 200.0 - 2.0 * quality)
    table = torch.tensor(_QUANTA, dtype=torch.float32)[None]
    quanta = torch.floor((table * scale[:, None, None] + 50.0) / 100.0).clamp(1.0, 255.0)
    quanta = quanta[:, None, None]
    matrix = _cosines()
    coefficients = torch.round(matrix @ blocks @ matrix.T / quanta) * quanta
    restored = (matrix.T @ coefficients @ matrix).permute(0, 1, 3, 2, 4)
    pixels = restored.reshape(n, 1, 8 * down, 8 * across)[:, :, :height, :width]
    return ((pixels + 128.0) / 255.0).clamp(0.0, 1.0)


def overlay(images: Tensor, generator: Generator) -> Tensor:
    """Draw bright calipers, a stroke between them and a block of text.

    Args:
        images: float32 (n, 1, H, W) in [0, 1].
        generator: Source of randomness.

    Returns:
        float32 (n, 1, H, W) in [0, 1].
    """
    n, _, height, width = images.shape
    ys = torch.arange(height)[None, :, None] / height
    xs = torch.arange(width)[None, None, :] / width

    def draw(low: float, high: float) -> Tensor:
        return uniform(n, low, high, generator)[:, None, None]

    marks = torch.zeros(n, height, width, dtype=torch.bool)
    ends = []
    for _ in range(2):
        y, x, arm = draw(0.1, 0.9), draw(0.1, 0.9), draw(0.02, 0.06)
        thick = draw(0.5, 1.2) / height
        off_y, off_x = (ys - y).abs(), (xs - x).abs()
        marks |= ((off_y <= thick) & (off_x <= arm)) | ((off_x <= thick) & (off_y <= arm))
        ends.append((y, x))
    (y0, x0), (y1, x1) = ends
    long_y, long_x = y1 - y0, x1 - x0
    length = torch.sqrt(torch.square(long_y) + torch.square(long_x)).clamp(min=1e-3)
    along = ((ys - y0) * long_y + (xs - x0) * long_x) / length
    beside = ((ys - y0) * long_x - (xs - x0) * long_y) / length
    dotted = (along * height).floor() % 3 < 1
    stroke = (beside.abs() < 0.6 / height) & (along > 0) & (along < length) & dotted
    marks |= stroke & chosen(n, 0.5, generator)[:, None, None]
    top, left = draw(0.0, 0.9), draw(0.0, 0.7)
    block = (ys >= top) & (ys < top + draw(0.04, 0.12)) & (xs >= left)
    block = block & (xs < left + draw(0.15, 0.5))
    letters = torch.rand(n, height, width, generator=generator) < 0.5
    marks |= block & letters & chosen(n, 0.6, generator)[:, None, None]
    return torch.where(marks[:, None], _column(uniform(n, 0.7, 1.0, generator)), images)


def augment(images: Tensor, generator: Generator) -> Tensor:
    """One random alteration of every image.

    Args:
        images: float32 (n, 1, H, W) in [0, 1]; n is at least 1.
        generator: Source of randomness, on the CPU.

    Returns:
        float32 (n, 1, H, W) in [0, 1].
    """
    n = len(images)

    def pasted(part: Tensor) -> Tensor:
        rows = torch.randint(n, (len(part),), generator=generator)
        return compose(part, images[rows], generator)

    altered = _some(images, 0.2, generator, pasted)
    altered = reframe(altered, draw_framing(n, generator))
    altered = _some(altered, 0.15, generator, pasted)
    altered = _some(altered, 0.7, generator, lambda part: regrade(part, generator))
    altered = _some(altered, 0.2, generator, lambda part: overlay(part, generator))
    altered = _some(altered, 0.1, generator, lambda part: degrade(part, generator))
    altered = _some(
        altered,
        0.35,
        generator,
        lambda part: blur(part, uniform(len(part), 0.004, 0.065, generator)),
    )
    altered = _some(altered, 0.15, generator, lambda part: _coarsen(part, generator))
    altered = _some(altered, 0.4, generator, lambda part: degrade(part, generator))
    altered = _some(
        altered,
        0.25,
        generator,
        lambda part: compress(part, uniform(len(part), 5.0, 95.0, generator)),
    )
    return _some(altered, 0.1, generator, lambda part: 1.0 - part)
