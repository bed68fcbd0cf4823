from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from audits.features.base import FeatureMap
from audits.features.defaults import default_maps

MakeImages = Callable[..., tuple[npt.NDArray[np.uint8], list[str]]]
MAPS = default_maps(128)


def test_fine_pixels_only_where_images_are_large() -> None:
    small = ["pixels 16", "pixels 32", "hash 256", "gradients", "random convolution"]
    assert [space.name for space in default_maps(64)] == small
    assert [space.name for space in MAPS] == [*small[:2], "pixels 64", *small[2:]]
    assert {space.family for space in MAPS} == {"pixels", "hash", "gradients", "random"}


@pytest.mark.parametrize("space", MAPS, ids=lambda space: str(space.name))
class TestEveryMap:
    def test_rows_are_finite_unit_and_described(
        self, space: FeatureMap, make_images: MakeImages
    ) -> None:
        images, _ = make_images(8, seed=1, size=40)
        features = space.features(images)
        assert features.dtype == np.float32
        assert np.linalg.norm(features, axis=1) == pytest.approx(1, abs=1e-5)
        told = space.describe()
        assert told["name"] == space.name
        assert told["family"] == space.family
        assert told.get("dimensions", told.get("bits")) == features.shape[1]
        json.dumps(told)

    def test_a_row_does_not_depend_on_the_batch(
        self, space: FeatureMap, make_images: MakeImages
    ) -> None:
        images, _ = make_images(300, seed=2, size=24)
        together = space.features(images)
        for row in (0, 63, 64, 255, 256, 299):
            assert np.array_equal(space.features(images[row : row + 1])[0], together[row])
        assert np.array_equal(space.features(images[::-1])[::-1], together)

    def test_mirroring_is_that_of_the_image(
        self, space: FeatureMap, make_images: MakeImages
    ) -> None:
        images, _ = make_images(4, seed=3, size=48)
        flipped = np.ascontiguousarray(images[:, :, ::-1])
        mirrored = space.features(images, mirrored=True)
        assert mirrored == pytest.approx(space.features(flipped), abs=1e-6)
        assert np.abs(mirrored - space.features(images)).max() > 0.01

    def test_flat_images_and_none(self, space: FeatureMap) -> None:
        flat = np.stack([np.full((32, 48), value, np.uint8) for value in (0, 77, 255)])
        features = space.features(flat)
        assert not features.any()
        assert space.features(flat[:0]).shape == (0, features.shape[1])

    def test_altered_copies_lie_nearest_to_their_original(
        self, space: FeatureMap, make_images: MakeImages
    ) -> None:
        images, _ = make_images(60, seed=4, size=64)
        rng = np.random.default_rng(5)
        noisy = np.clip(images * 0.8 + 8 * rng.standard_normal(images.shape), 0, 255)
        copies, originals = space.features(noisy.astype(np.uint8)), space.features(images)
        squared = 2 - 2 * copies.astype(float) @ originals.T.astype(float)
        assert (squared.argmin(axis=1) == np.arange(60)).all()
        ordered = np.sort(squared, axis=1)
        assert (ordered[:, 0] < 0.5 * ordered[:, 1]).mean() > 0.95
