from __future__ import annotations

import numpy as np
import pytest

from audits.features.pixels import (
    PixelMap,
    area_matrix,
    normalised,
    pixel_features,
    reduce_area,
)
from audits.features.windows import CENTRAL, SPAN, Window, extract, orbit

RNG = np.random.default_rng(5)
IMAGES = RNG.integers(0, 256, (4, 24, 36), dtype=np.uint8)


def test_area_reduction_is_the_block_mean_where_sizes_divide() -> None:
    naive = IMAGES.reshape(4, 12, 2, 12, 3).mean(axis=(2, 4))
    assert reduce_area(IMAGES, 12) == pytest.approx(naive, abs=1e-3)


@pytest.mark.parametrize(
    ("size", "cells", "span"), [(24, 7, (0, 24)), (24, 40, (2, 20)), (9, 4, (-2, 12))]
)
def test_area_weights_are_averages(size: int, cells: int, span: tuple[float, float]) -> None:
    weights = area_matrix(size, cells, *span)
    assert weights.sum(axis=1) == pytest.approx(np.ones(cells), abs=1e-6)
    assert weights.min() >= 0


def test_squared_distance_is_two_minus_two_ncc() -> None:
    features = pixel_features(IMAGES, 12)
    cells = reduce_area(IMAGES, 12).reshape(4, -1)
    ncc = np.corrcoef(cells[0], cells[1])[0, 1]
    assert np.square(features[0] - features[1]).sum() == pytest.approx(2 - 2 * ncc, abs=1e-5)


def test_gain_and_offset_drop_out() -> None:
    brighter = (IMAGES // 2 + 40).astype(np.uint8)
    assert pixel_features(brighter, 12) == pytest.approx(pixel_features(IMAGES, 12), abs=0.01)


def test_flat_images_become_zeros_without_nan() -> None:
    features = pixel_features(np.full((2, 24, 24), 77, np.uint8), 16)
    assert not features.any()
    assert normalised(np.empty((0, 9), np.float32)).shape == (0, 9)


def test_reduction_never_overstates_a_distance() -> None:
    a, b = IMAGES[0].astype(float), IMAGES[1].astype(float)
    reduced = reduce_area(IMAGES[:2], 12)
    bound = 6 * np.square(reduced[0] - reduced[1]).sum()
    assert bound <= np.square(a - b).sum() + 1e-2


def test_mirroring_the_image_equals_mirroring_the_features() -> None:
    flipped = np.ascontiguousarray(IMAGES[:, :, ::-1])
    assert pixel_features(IMAGES, 12, mirrored=True) == pytest.approx(
        pixel_features(flipped, 12), abs=1e-6
    )


def test_a_displaced_window_sees_what_the_central_one_saw() -> None:
    image = RNG.integers(0, 256, (1, 100, 100)).astype(np.float32)
    moved = np.roll(image, (5, -3), axis=(1, 2))
    seen = extract(moved, Window(dy=0.05, dx=-0.03), 42)
    assert seen == pytest.approx(extract(image, CENTRAL, 42), abs=1e-2)


def test_the_orbit_stays_inside_the_image_and_has_each_framing_mirrored() -> None:
    windows = orbit()
    assert windows[0] == CENTRAL
    assert len(set(windows)) == len(windows)
    assert sum(window.mirrored for window in windows) * 2 == len(windows)
    for window in windows:
        half = SPAN * window.zoom / 2
        assert 0.5 + max(abs(window.dy), abs(window.dx)) + half <= 1.0


def test_the_margin_adds_cells_of_the_same_size() -> None:
    wide = extract(IMAGES.astype(np.float32), CENTRAL, 12, margin=2)
    assert wide[:, 2:-2, 2:-2] == pytest.approx(
        extract(IMAGES.astype(np.float32), CENTRAL, 12), abs=1e-3
    )


def test_the_map_is_the_function() -> None:
    space = PixelMap(12)
    for mirrored in (False, True):
        expected = pixel_features(IMAGES, 12, mirrored=mirrored)
        assert np.array_equal(space.features(IMAGES, mirrored=mirrored), expected)
    assert space.describe() == {"name": "pixels 12", "family": "pixels", "dimensions": 144}
