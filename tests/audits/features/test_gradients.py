from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from audits.features.gradients import GradientMap, pool_matrix, unit_rows

RNG = np.random.default_rng(4)
SMOOTH = gaussian_filter(RNG.standard_normal((5, 64, 64)), (0, 3, 3))
IMAGES = np.clip(np.rint(120 + 45 * SMOOTH / SMOOTH.std()), 0, 255).astype(np.uint8)
SPACE = GradientMap()


def naive(image: np.ndarray) -> np.ndarray:
    """One histogram after the other, pixel by pixel."""
    reduced = image.astype(float).reshape(32, 2, 32, 2).mean(axis=(1, 3))
    parts = []
    for sigma, grid in ((1.0, 8), (2.0, 4)):
        smooth = gaussian_filter(reduced, sigma, truncate=3.0, mode="nearest")
        down, across = np.zeros((32, 32)), np.zeros((32, 32))
        for y in range(32):
            for x in range(32):
                if 0 < y < 31:
                    down[y, x] = smooth[y + 1, x] - smooth[y - 1, x]
                if 0 < x < 31:
                    across[y, x] = smooth[y, x + 1] - smooth[y, x - 1]
        magnitude = np.hypot(down, across)
        around = gaussian_filter(magnitude, 2.0, truncate=3.0, mode="nearest")
        magnitude /= around + 1
        votes = np.zeros((8, 32, 32))
        for y in range(32):
            for x in range(32):
                place = np.arctan2(down[y, x], across[y, x]) % np.pi / np.pi * 8
                low = int(place) % 8
                votes[low, y, x] += magnitude[y, x] * (1 - place % 1)
                votes[(low + 1) % 8, y, x] += magnitude[y, x] * (place % 1)
        pool = pool_matrix(32, grid).astype(float)
        values = np.sqrt(np.array([(pool @ v @ pool.T).ravel() for v in votes]))
        values -= values.mean(axis=0, keepdims=True)
        values -= values.mean(axis=1, keepdims=True)
        parts.append(values.ravel() / np.linalg.norm(values))
    joined = np.concatenate(parts)
    return joined / np.linalg.norm(joined)


def test_features_are_the_histograms_of_the_definition() -> None:
    assert SPACE.features(IMAGES[:1])[0] == pytest.approx(naive(IMAGES[0]), abs=1e-4)


def test_inverted_grey_values_are_the_same_image() -> None:
    assert SPACE.features(255 - IMAGES) == pytest.approx(SPACE.features(IMAGES), abs=1e-3)


def test_gain_gamma_and_depth_gain_move_an_image_less_than_it_lies_from_strangers() -> None:
    features = SPACE.features(IMAGES)
    strangers = np.square(features[0] - features[1:]).sum(axis=1).min()
    ramp = np.linspace(1, 0.6, 64)[:, None]
    for altered in (IMAGES * 0.7, 255 * (IMAGES / 255.0) ** 1.4, IMAGES * ramp):
        moved = SPACE.features(np.rint(altered).astype(np.uint8))
        assert np.square(moved - features).sum(axis=1).max() < strangers / 5


def test_pooling_is_a_partition() -> None:
    for size, cells in ((32, 8), (26, 4), (12, 4), (5, 5)):
        weights = pool_matrix(size, cells)
        assert weights.min() >= 0
        assert weights.sum(axis=1) == pytest.approx(np.ones(cells), abs=1e-6)
        assert weights == pytest.approx(weights[::-1, ::-1], abs=1e-6)


def test_unit_rows_and_zeros() -> None:
    rows = unit_rows(np.array([[3.0, 4.0], [0.0, 1e-4], [0.0, 0.0]]), 1e-3)
    assert rows == pytest.approx(np.array([[0.6, 0.8], [0, 0], [0, 0]]))
