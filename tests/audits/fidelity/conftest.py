"""Clouds of vectors with patients of unequal numbers of images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

Cloud = tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]
MakeCloud = Callable[..., Cloud]


def _make(
    patients: int, d: int, *, seed: int, most: int = 1, shift: float = 0.0, scale: float = 1.0
) -> Cloud:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, most + 1, patients)
    groups = rng.permutation(np.repeat(np.arange(patients), sizes))
    centres = rng.standard_normal((patients, d))
    vectors = 0.8 * centres[groups] + 0.6 * rng.standard_normal((len(groups), d))
    return shift + scale * vectors, groups


@pytest.fixture(scope="session")
def make_cloud() -> MakeCloud:
    """make_cloud(patients, d, seed=, most=, shift=, scale=) -> vectors and patients."""
    return _make
