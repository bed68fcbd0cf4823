"""The trunk that classifier and detector share: grey squares to maps at three scales.

Pre-activation residual blocks (He et al., ECCV 2016) with group normalisation (Wu & He, ECCV
2018), so that an answer depends on its image alone. The first convolution strides by four: at
64 pixels that costs a quarter of a stride of two and recognises no less.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bussynth.quality.letterbox import SIDE

__all__ = ["CELLS", "WIDTH", "Block", "Trunk"]

WIDTH: Final = 32
"""Channels of the finest maps; each coarser scale has twice as many."""
CELLS: Final = SIDE // 4
"""Rows and columns of the finest maps."""
_GROUPS: Final = 8
_CENTRE, _SPREAD = 0.25, 0.25
"""Public constants near the mean and spread of ultrasound images in [0, 1]."""


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(_GROUPS, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = nn.GroupNorm(_GROUPS, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False) if inputs != outputs else None
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        beside = maps if self.stride == 1 else F.avg_pool2d(maps, self.stride)
        if self.shortcut is not None:
            beside = self.shortcut(beside)
        inner = self.conv1(F.relu(self.norm1(maps)))
        result: Tensor = beside + self.conv2(F.relu(self.norm2(inner)))
        return result


class Trunk(nn.Module):
    """Squares to maps of 16, 8 and 4 cells a side."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, WIDTH, 6, 4, 1, bias=False)
        self.fine = Block(WIDTH, WIDTH)
        self.middle = nn.Sequential(Block(WIDTH, 2 * WIDTH, 2), Block(2 * WIDTH, 2 * WIDTH))
        self.coarse = Block(2 * WIDTH, 4 * WIDTH, 2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps of three scales.

        Args:
            images: float32 (n, 1, 64, 64) in [0, 1].

        Returns:
            (n, 32, 16, 16), (n, 64, 8, 8) and (n, 128, 4, 4).
        """
        standard = (images - _CENTRE) / _SPREAD
        fine = self.fine(self.stem(standard.contiguous(memory_format=torch.channels_last)))
        middle = self.middle(fine)
        return fine, middle, self.coarse(middle)
