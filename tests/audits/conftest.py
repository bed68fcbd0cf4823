"""Made-up images: one smooth layout a patient, one speckle pattern an image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import gaussian_filter, gaussian_filter1d

Images = npt.NDArray[np.uint8]
MakeImages = Callable[..., tuple[Images, list[str]]]


def _make(
    patients: int, per_patient: int = 1, *, seed: int, size: int = 32, same: float = 0.5
) -> tuple[Images, list[str]]:
    rng = np.random.default_rng(seed)
    common = gaussian_filter1d(rng.standard_normal(size), 4)[:, None] * 3
    images, keys = [], []
    for patient in range(patients):
        layout = gaussian_filter(rng.standard_normal((size, size)), size / 10) * size / 4
        for _ in range(per_patient):
            own = gaussian_filter(rng.standard_normal((size, size)), 1.0) * 2
            field = common + layout + same * own
            field = (field - field.mean()) / field.std()
            images.append(np.clip(np.rint(110 + 45 * field), 0, 255).astype(np.uint8))
            keys.append(f"{seed}-{patient}")
    return np.array(images, np.uint8).reshape(-1, size, size), keys


@pytest.fixture(scope="session")
def make_images() -> MakeImages:
    """make_images(patients, per_patient, seed=, size=) -> images and patient keys."""
    return _make
