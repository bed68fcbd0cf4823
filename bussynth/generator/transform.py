"""Orthonormal Haar transform between grey images and the maps the network works on.

A 64-pixel image becomes 32x32x4 (factor 2) or 16x16x16 (factor 4): a quarter or a sixteenth of
the positions, and nothing is lost. The bands of a medical image differ in standard deviation by a
factor of about fifteen; diffusion adds the same noise to all of them, so unscaled detail bands
would drown. Each band is therefore brought to about one size with **public constants**. They were
measured once on a public data set; measuring them on the cohort at hand would be one more look at
its images.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["SIGMA_DATA", "Haar"]

#: Standard deviation every band is scaled to, and the data scale of the diffusion (Karras 2022).
SIGMA_DATA = 0.5

# Of images in [-1, 1], in the order of `bands`: average, horizontal, vertical, diagonal. Mean
# brightness is about -0.5 and every level doubles the average band, hence the centres.
_CENTRE = {1: (-0.5,), 2: (-1.0,), 4: (-2.0,)}
_SCALES = {
    1: (0.405,),
    2: (0.81, 0.14, 0.16, 0.056),
    4: (
        *(1.63, 0.25, 0.32, 0.12, 0.14, 0.15, 0.06, 0.08),
        *(0.165, 0.073, 0.22, 0.10, 0.035, 0.05, 0.05, 0.07),
    ),
}


def _split(x: Tensor) -> Tensor:
    """One Haar level: ``(n, c, h, w)`` to ``(n, 4c, h/2, w/2)``, band major within a channel."""
    a, b = x[..., 0::2, 0::2], x[..., 0::2, 1::2]
    c, d = x[..., 1::2, 0::2], x[..., 1::2, 1::2]
    bands = (a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d)
    return torch.stack(bands, dim=2).flatten(1, 2) / 2


def _merge(y: Tensor) -> Tensor:
    """Inverse of :func:`_split`; the transform is its own transpose."""
    n, c, h, w = y.shape
    s, p, q, r = y.view(n, c // 4, 4, h, w).unbind(2)
    out = y.new_empty(n, c // 4, 2 * h, 2 * w)
    out[..., 0::2, 0::2] = s + p + q + r
    out[..., 0::2, 1::2] = s - p + q - r
    out[..., 1::2, 0::2] = s + p - q - r
    out[..., 1::2, 1::2] = s - p - q + r
    return out / 2


@dataclass(frozen=True)
class Haar:
    """Image to scaled Haar bands and back.

    Attributes:
        factor: 2 (one level, 4 bands) or 4 (two levels, all bands split again, 16 bands); 1 leaves
            the pixels as they are but for their scale, to compare with.
    """

    factor: int = 2

    def __post_init__(self) -> None:
        if self.factor not in _SCALES:
            raise ValueError(f"factor must be one of {sorted(_SCALES)}, got {self.factor!r}")

    @property
    def channels(self) -> int:
        """Number of bands, ``factor**2``."""
        return self.factor**2

    @cached_property
    def _scale(self) -> Tensor:
        return torch.tensor(_SCALES[self.factor]).view(1, -1, 1, 1) / SIGMA_DATA

    @cached_property
    def _centre(self) -> Tensor:
        centre = torch.zeros(self.channels)
        centre[0] = _CENTRE[self.factor][0]
        return centre.view(1, -1, 1, 1)

    def bands(self, x: Tensor) -> Tensor:
        """Orthonormal, unscaled bands of ``x``.

        Args:
            x: Float ``(n, 1, H, W)``, H and W divisible by ``factor``.

        Returns:
            Float ``(n, factor**2, H/factor, W/factor)`` with the same sum of squares.
        """
        for _ in range(self.factor.bit_length() - 1):
            x = _split(x)
        return x

    def unbands(self, y: Tensor) -> Tensor:
        """Inverse of :meth:`bands`."""
        for _ in range(self.factor.bit_length() - 1):
            y = _merge(y)
        return y

    def encode(self, pixels: Tensor) -> Tensor:
        """Scaled bands of grey images.

        Args:
            pixels: uint8 or float32 ``(n, H, W)`` in [0, 255], H and W divisible by ``factor``.

        Returns:
            float32 ``(n, factor**2, H/factor, W/factor)``; on breast ultrasound each band has a
            standard deviation of about :data:`SIGMA_DATA`.
        """
        bands = self.bands(pixels.unsqueeze(1).float() / 127.5 - 1)
        return (bands - self._centre.to(bands.device)) / self._scale.to(bands.device)

    def decode(self, latents: Tensor) -> Tensor:
        """Grey images of scaled bands: inverse of :meth:`encode`, rounded and clipped.

        Args:
            latents: float32 ``(n, factor**2, h, w)``.

        Returns:
            uint8 ``(n, h*factor, w*factor)``.
        """
        bands = latents * self._scale.to(latents.device) + self._centre.to(latents.device)
        pixels = (self.unbands(bands).squeeze(1) + 1) * 127.5
        return pixels.round().clamp(0, 255).to(torch.uint8)
