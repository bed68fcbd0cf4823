from __future__ import annotations

import json

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from audits.copies.similarity import (
    describe_pair,
    largest_tile_distance,
    multi_scale_ssim,
    shifted_ncc,
)


def test_an_image_is_like_itself_up_to_gain_mirror_and_shift(make_images) -> None:
    (image,), _ = make_images(1, seed=1, size=64)
    same = describe_pair(image, image, ratio=0.1)
    assert json.loads(json.dumps(same)) == {
        "mirrored": False,
        "ncc": pytest.approx(1.0),
        "shift": [0, 0],
        "largest_tile_distance": 0.0,
        "ms_ssim": pytest.approx(1.0),
        "neighbour_ratio": 0.1,
    }
    assert describe_pair(image[:, ::-1], image)["mirrored"] is True
    assert describe_pair(image[:, ::-1], image)["ncc"] == pytest.approx(1.0)
    dimmed = (image // 2).astype(np.uint8)
    assert shifted_ncc(dimmed, image)[0] > 0.999
    assert largest_tile_distance(dimmed, image) < 0.05
    value, shift = shifted_ncc(np.roll(image, (3, -2), (0, 1)), image)
    assert shift == (3, -2)
    assert value == pytest.approx(1.0)


def test_unlike_and_flat_images(make_images) -> None:
    images, _ = make_images(2, seed=2, size=64)
    unlike = describe_pair(*images)
    assert isinstance(unlike["ncc"], float)
    assert unlike["ncc"] < 0.8
    assert multi_scale_ssim(*images) < 0.7
    flat = np.full((64, 64), 9, np.uint8)
    assert describe_pair(flat, images[0])["ncc"] == 0.0
    assert 0.0 <= multi_scale_ssim(flat, images[0]) < 0.5
    assert multi_scale_ssim(flat, flat) == 1.0


def test_one_bad_tile_is_seen() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (32, 32), dtype=np.uint8)
    changed = image.copy()
    changed[:8, 8:16] = 255 - changed[:8, 8:16]
    standard = [(v - v.mean()) / v.std() for v in (image.astype(float), changed.astype(float))]
    tiles = np.square(standard[0] - standard[1]).reshape(4, 8, 4, 8).mean(axis=(1, 3))
    assert tiles.argmax() == 1
    assert largest_tile_distance(changed, image) == pytest.approx(np.sqrt(tiles.max()))


def test_one_scale_is_the_structural_similarity_of_scikit_image(make_images) -> None:
    # 16 pixels keep eleven a side at one scale only.
    images, _ = make_images(2, seed=3, size=16)
    expected = structural_similarity(
        *images.astype(float),
        data_range=255,
        gaussian_weights=True,
        use_sample_covariance=False,
        full=True,
    )[1].mean()
    assert multi_scale_ssim(*images) == pytest.approx(max(0.0, expected), abs=1e-9)


def test_more_noise_is_less_similar(make_images) -> None:
    (image,), _ = make_images(1, seed=4, size=64)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((64, 64))
    values = [
        multi_scale_ssim(np.clip(image + level * noise, 0, 255).astype(np.uint8), image)
        for level in (0, 5, 20, 60)
    ]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(1.0)
