"""A small classifier for small images: what a set of images with labels is worth.

It is chosen by nothing that was measured: a fixed number of steps, the last weights.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["STEPS", "correct"]

STEPS: Final = 2_000
_BATCH: Final = 128
_RATE: Final = 1e-3
_CLASSES: Final = 10


def correct(
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    test_images: npt.NDArray[np.uint8],
    test_labels: npt.NDArray[np.int64],
    *,
    steps: int = STEPS,
    seed: int = 0,
) -> int:
    """Train on some images and count the right answers on others.

    Args:
        images: uint8 ``(n, H, W)``, sides divisible by 4.
        labels: int64 ``(n,)`` in 0 .. 9.
        test_images: uint8 ``(m, H, W)``.
        test_labels: int64 ``(m,)``.
        steps: Training steps of 128 images.
        seed: Of weights and order.

    Returns:
        How many of the m test images are told right.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = _trained(_scaled(images), torch.from_numpy(labels), steps)
        inputs = _scaled(test_images)
        with torch.inference_mode():
            told = torch.cat([network(part).argmax(1) for part in torch.split(inputs, 1000)])
    return int((told.numpy() == test_labels).sum())


def _scaled(images: npt.NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).unsqueeze(1).float() / 255


def _network(height: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64 * (height // 4) * (width // 4), 128),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(128, _CLASSES),
    )


def _trained(inputs: Tensor, labels: Tensor, steps: int) -> nn.Module:
    network = _network(*inputs.shape[2:]).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=_RATE)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = _RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        rows = torch.randint(len(inputs), (_BATCH,))
        loss = F.cross_entropy(network(inputs[rows]), labels[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network.eval()
