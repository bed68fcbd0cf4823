"""A small residual network from a grey image to a unit vector.

Group instead of batch normalisation (Wu & He, ECCV 2018), so that a vector depends on its image
alone. Pre-activation blocks follow He et al. (ECCV 2016). The last maps are flattened, not
averaged: at nine places they still say where things lie, which tells images of one organ apart.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from audits.features.learned.architecture import Architecture
from audits.features.pixels import area_matrix

__all__ = ["Encoder"]

_GROUPS = 8
_CONTRAST = 1e-3
"""Added to the standard deviation: an image flatter than this (of 1) is not stretched to noise."""


class _Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
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


class Encoder(nn.Module):
    """Images of any size to unit vectors."""

    centre: Tensor
    spread: Tensor

    def __init__(self, architecture: Architecture) -> None:
        """Draw weights from torch's global generator: fork it, or load weights afterwards."""
        super().__init__()
        width = architecture.width
        self.side = architecture.side
        self.stem = nn.Conv2d(1, width, 6, 4, 1, bias=False)
        stages = ((width, 1), (2 * width, 2), (2 * width, 1), (4 * width, 2))
        blocks, inputs = [], width
        for outputs, stride in stages:
            blocks.append(_Block(inputs, outputs, stride))
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.GroupNorm(_GROUPS, inputs)
        length = inputs * (architecture.side // 16) ** 2
        self.head = nn.Linear(length, architecture.dimensions)
        self.register_buffer("centre", torch.zeros(length))
        self.register_buffer("spread", torch.ones(length))

    def hidden(self, images: Tensor) -> Tensor:
        """What the last maps hold.

        Args:
            images: float32 (n, 1, H, W) in [0, 1].

        Returns:
            float32 (n, length), not negative.
        """
        rows = torch.tensor(area_matrix(images.shape[2], self.side))
        columns = torch.tensor(area_matrix(images.shape[3], self.side))
        reduced = rows @ images @ columns.T
        # Gain and offset of the machine drop out.
        mean = reduced.mean(dim=(2, 3), keepdim=True)
        deviation = (reduced - mean).square().mean(dim=(2, 3), keepdim=True).sqrt()
        reduced = (reduced - mean) / (deviation + _CONTRAST)
        maps = self.blocks(self.stem(reduced.contiguous(memory_format=torch.channels_last)))
        return F.relu(self.norm(maps)).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Unit vectors, float32 (n, dimensions), of float32 (n, 1, H, W) in [0, 1]."""
        standard = (self.hidden(images) - self.centre) / self.spread
        return F.normalize(self.head(standard), dim=1)
