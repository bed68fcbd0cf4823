from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.signal import correlate

from audits.features.gradients import pool_matrix
from audits.features.random_convolution import RandomConvolutionMap, random_filters

RNG = np.random.default_rng(6)
SMOOTH = gaussian_filter(RNG.standard_normal((5, 64, 64)), (0, 2, 2))
IMAGES = np.clip(np.rint(120 + 45 * SMOOTH / SMOOTH.std()), 0, 255).astype(np.uint8)


def naive(image: np.ndarray) -> np.ndarray:
    parts = []
    for size, side in ((32, 7), (16, 5)):
        fold = 64 // size
        x = image.astype(float).reshape(size, fold, size, fold).mean(axis=(1, 3))
        around = size // 4 | 1
        x = x - uniform_filter(x, around, mode="nearest")
        x = x / np.sqrt(uniform_filter(x * x, around, mode="nearest") + 9)
        pool = pool_matrix(size - side + 1, 4).astype(float)
        filters = random_filters(0, side).T.reshape(16, side, side)
        pooled = np.array(
            [(pool @ np.abs(correlate(x, w, "valid")) @ pool.T).ravel() for w in filters]
        ).T
        pooled = pooled - pooled.mean(axis=1, keepdims=True)
        parts.append((pooled - pooled.mean(axis=0, keepdims=True)).ravel())
    joined = np.concatenate(parts)
    return joined / np.linalg.norm(joined)


def test_features_are_pooled_magnitudes_of_correlations() -> None:
    features = RandomConvolutionMap().features(IMAGES[:1])[0]
    assert features == pytest.approx(naive(IMAGES[0]), abs=1e-4)


def test_filters_are_orthonormal_of_mean_zero_and_depend_on_the_seed_alone() -> None:
    for side in (5, 7):
        filters = random_filters(0, side)
        assert filters.T @ filters == pytest.approx(np.eye(16), abs=1e-5)
        assert filters.sum(axis=0) == pytest.approx(np.zeros(16), abs=1e-5)
        assert np.abs(filters - random_filters(1, side)).max() > 0.1
        assert not filters.flags.writeable


def test_inverted_grey_values_are_the_same_image() -> None:
    space = RandomConvolutionMap()
    assert space.features(255 - IMAGES) == pytest.approx(space.features(IMAGES), abs=1e-3)


def test_seeds_have_names_of_their_own() -> None:
    assert RandomConvolutionMap().name == "random convolution"
    assert RandomConvolutionMap(3).name == "random convolution 3"
    assert RandomConvolutionMap(3).describe()["seed"] == 3
