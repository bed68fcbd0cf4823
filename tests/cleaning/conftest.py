"""Simulated tissue: log-compressed speckle in layers, bright thin interfaces, a dark lesion."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

Gray = NDArray[np.uint8]
MakeTissue = Callable[..., Gray]


@cache
def simulate(seed: int, rows: int, columns: int) -> Gray:
    random = np.random.default_rng(seed)
    parts = [ndimage.gaussian_filter(random.normal(size=(rows, columns)), (1.2, 2.2)) for _ in "ri"]
    layers = ndimage.gaussian_filter(random.normal(size=(rows, columns)), (12, 40))
    layers = (layers - layers.min()) / np.ptp(layers)
    speckle = np.hypot(*parts)
    decibels = 20 * np.log10(speckle / speckle.mean() * (0.02 + layers) + 1e-3)
    image = np.clip((decibels + 42) / 60 * 170, 0, 255)
    y, x = np.mgrid[:rows, :columns]
    profile = ndimage.gaussian_filter1d(random.random(columns), 6)
    line = rows / 4 + 10 * np.sin(x / 50)
    image = np.maximum(image, 200 * np.exp(-(((y - line) / 2.2) ** 2)) * profile / profile.max())
    image[((y - rows * 0.5) / 30) ** 2 + ((x - columns / 2) / 50) ** 2 < 1] *= 0.35
    return image.astype(np.uint8)


@pytest.fixture
def make_tissue() -> MakeTissue:
    """Give a copy of simulated tissue (rows, columns) for a seed."""

    def make(seed: int = 0, rows: int = 340, columns: int = 280) -> Gray:
        return simulate(seed, rows, columns).copy()

    return make
