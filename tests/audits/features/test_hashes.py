from __future__ import annotations

import numpy as np
import pytest

from audits.features.hashes import HashMap, low_frequencies
from audits.features.pixels import reduce_area

RNG = np.random.default_rng(8)
IMAGES = RNG.integers(0, 256, (6, 48, 40), dtype=np.uint8)


def test_low_frequencies_are_the_cosine_transform() -> None:
    cells = reduce_area(IMAGES[:1], 16)[0].astype(float)
    index = np.arange(16)
    basis = np.cos(np.pi * (2 * index[None] + 1) * index[:, None] / 32) * np.sqrt(2 / 16)
    naive = (basis @ cells @ basis.T)[1:5, 1:5]
    assert low_frequencies(IMAGES[:1], 4)[0] == pytest.approx(naive, abs=1e-2)


def test_squared_distance_counts_bits() -> None:
    space = HashMap(8)
    a, b = space.features(IMAGES[:2])
    differing = int((np.sign(a) != np.sign(b)).sum())
    assert 0 < differing < 64
    assert np.square(a - b).sum() == pytest.approx(4 * differing / 64, abs=1e-6)
    assert np.linalg.norm(space.features(IMAGES), axis=1) == pytest.approx(1, abs=1e-6)


def test_half_of_the_bits_are_set() -> None:
    assert ((HashMap().features(IMAGES) > 0).sum(axis=1) == 128).all()


def test_strangers_lie_at_two_and_gain_changes_nothing() -> None:
    space = HashMap()
    features = space.features(IMAGES)
    apart = np.square(features[0] - features[1:]).sum(axis=1)
    assert apart == pytest.approx(2, abs=0.7)
    darker = (IMAGES // 2 + 30).astype(np.uint8)
    assert np.square(space.features(darker) - features).sum(axis=1).max() < 0.1


def test_images_with_next_to_no_structure_become_zeros() -> None:
    flat = np.full((3, 48, 40), 90, np.uint8)
    flat[1, 5, 7] = 91
    flat[2] += RNG.integers(0, 2, (48, 40), dtype=np.uint8)
    assert not HashMap().features(flat).any()
    assert HashMap().features(flat[:0]).shape == (0, 256)
