"""A small network that tells letters from speckle, pixel by pixel.

A fully convolutional encoder and decoder (Ronneberger et al. 2015, U-Net, with sums in the place of
concatenations) at half the resolution of the image, without any enlargement. It has a quarter of a
million parameters: what it has to know is small, since all it sees is ultrasound.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import nn
from torch.nn import functional as F

__all__ = ["STEP", "LettersNetwork"]

STEP: Final = 16
"""Edges of the input are multiples of this."""

_WIDTHS: Final = (16, 40, 56, 72)


class LettersNetwork(nn.Module):
    """From gray images to the log-odds that a place is a line of text.

    The input is float (N, 1, H, W), -1 black to 1 white, with H and W multiples of :data:`STEP`;
    the output float (N, 1, H / 2, W / 2).
    """

    def __init__(self) -> None:
        super().__init__()
        a, c, d, e = _WIDTHS
        self.stem = nn.Sequential(*_convolution(1, a, stride=2, size=5), _block(a, a))
        self.d1 = nn.Sequential(_block(a, c, 2), _block(c, c))
        self.d2 = nn.Sequential(_block(c, d, 2), _block(d, d))
        self.d3 = nn.Sequential(_block(d, e, 2), _block(e, e), _block(e, e))
        self.u3, self.m2 = nn.Conv2d(e, d, 1), _block(d, d)
        self.u2, self.m1 = nn.Conv2d(d, c, 1), _block(c, c)
        self.u1, self.m0 = nn.Conv2d(c, a, 1), _block(a, a)
        self.out = nn.Conv2d(a, 1, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return log-odds; see the class."""
        fine = self.stem(images)
        middle = self.d1(fine)
        coarse = self.d2(middle)
        coarsest = self.d3(coarse)
        found = self.m2(coarse + _enlarged(self.u3(coarsest), coarse))
        found = self.m1(middle + _enlarged(self.u2(found), middle))
        found = self.m0(fine + _enlarged(self.u1(found), fine))
        odds: torch.Tensor = self.out(found)
        return odds


def _convolution(inside: int, outside: int, *, stride: int, size: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inside, outside, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outside),
        nn.ReLU(inplace=True),
    ]


def _block(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(*_convolution(inside, outside, stride=stride, size=3))


def _enlarged(small: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return F.interpolate(small, size=like.shape[-2:], mode="nearest")
