from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.ndimage import correlate, gaussian_filter

from audits.features.random_multiscale import (
    RandomMultiscaleMap,
    _origin,
    _projection,
    random_weights,
)

RNG = np.random.default_rng(6)
SMOOTH = gaussian_filter(RNG.standard_normal((6, 64, 64)), (0, 2, 2))
IMAGES = np.clip(np.rint(90 + 30 * SMOOTH / SMOOTH.std()), 0, 255).astype(np.uint8)
SPACE = RandomMultiscaleMap()


def halved(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    folded = image.reshape(height // 2, 2, width // 2, 2, *image.shape[2:])
    return folded.mean(axis=(1, 3))


def naive(image: np.ndarray) -> np.ndarray:
    x, parts = image.astype(float), []
    for scale in range(3):
        kernels = random_weights(0, scale, 0).T.reshape(16, 5, 5)
        first = np.stack(
            [np.log1p(np.maximum(correlate(x, w, mode="nearest"), 0) / 8) for w in kernels], -1
        )
        small = halved(first)
        second = np.zeros_like(small)
        weights = random_weights(0, scale, 1).reshape(3, 3, 16, 16)
        for place in range(16):
            answer = sum(
                correlate(small[..., c], weights[:, :, c, place], mode="nearest") for c in range(16)
            )
            second[..., place] = np.maximum(answer, 0)
        for maps in (first, second):
            parts += [maps.mean(axis=(0, 1)), maps.std(axis=(0, 1))]
        bands = second.reshape(4, -1, second.shape[1], 16).mean(axis=(1, 2))
        parts.append(0.5 * bands.ravel())
        x = halved(x)
    return (np.concatenate(parts) - _origin(0, 64, 64)) @ _projection(0) / 1.5


def test_vectors_are_pooled_answers_of_two_layers_at_three_scales() -> None:
    assert SPACE.features(IMAGES[:1])[0] == pytest.approx(naive(IMAGES[0]), abs=1e-3)


def test_a_row_depends_on_its_image_alone() -> None:
    many = np.concatenate([IMAGES] * 12)
    whole = SPACE.features(many)
    assert (SPACE.features(IMAGES[4:5]) == whole[70:71]).all()
    assert (SPACE.features(many[5:69]) == whole[5:69]).all()
    assert whole.dtype == np.float32


def test_mirrored_is_the_mirrored_image() -> None:
    mirrored = SPACE.features(IMAGES, mirrored=True)
    assert (mirrored == SPACE.features(np.ascontiguousarray(IMAGES[:, :, ::-1]))).all()
    assert np.abs(mirrored - SPACE.features(IMAGES)).max() > 1e-4


def test_filters_are_orthonormal_and_depend_on_the_seed_alone() -> None:
    for scale in range(3):
        for layer, taps in ((0, 25), (1, 144)):
            weights = random_weights(0, scale, layer)
            assert weights.shape == (taps, 16)
            assert weights.T @ weights == pytest.approx(np.eye(16), abs=1e-5)
            assert np.abs(weights - random_weights(1, scale, layer)).max() > 0.1
            assert not weights.flags.writeable
        assert random_weights(0, scale, 0)[:, 0] == pytest.approx(np.full(25, 0.2))
        assert random_weights(0, scale, 0)[:, 1:].sum(axis=0) == pytest.approx(0, abs=1e-5)


def speckle(rng: np.random.Generator, sigma: float) -> np.ndarray:
    waves = gaussian_filter(rng.standard_normal((2, 24, 64, 64)), (0, 0, sigma, sigma))
    values = np.hypot(*waves)
    return np.clip(np.rint(60 * values / values.mean()), 0, 255).astype(np.uint8)


def apart(real: np.ndarray, other: np.ndarray) -> float:
    """Gap in standard deviations, along a direction found on the first half of the images."""
    direction = other[:12].mean(axis=0) - real[:12].mean(axis=0)
    one, two = real[12:] @ direction, other[12:] @ direction
    return float((two.mean() - one.mean()) / np.hypot(one.std(), two.std()))


@pytest.mark.parametrize(
    "harm",
    [
        lambda x: x + 15,
        lambda x: x.mean() + 0.7 * (x - x.mean()),
        lambda x: gaussian_filter(x, (0, 1, 1)),
        lambda x: x + 15 * np.random.default_rng(1).standard_normal(x.shape),
        lambda x: x * np.linspace(1.3, 0.7, 64)[:, None],
    ],
    ids=["brightness", "contrast", "blur", "noise", "depth"],
)
def test_what_other_spaces_even_out_moves_vectors(harm) -> None:
    real = speckle(np.random.default_rng(2), 1.5)
    harmed = np.clip(np.rint(harm(real.astype(float))), 0, 255).astype(np.uint8)
    assert apart(SPACE.features(real), SPACE.features(harmed)) > 2


def test_coarseness_of_speckle_moves_vectors() -> None:
    rng = np.random.default_rng(3)
    first, again, coarser, coarse = (SPACE.features(speckle(rng, s)) for s in (1.2, 1.2, 1.5, 2.0))
    assert abs(apart(first, again)) < 1
    assert 2 < apart(first, coarser) < apart(first, coarse)


@pytest.mark.parametrize("shape", [(8, 8), (9, 33), (160, 120)])
def test_any_size_from_eight_pixels(shape: tuple[int, int]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, *shape)).astype(np.uint8)
    images[1] = 7  # flat
    found = SPACE.features(images)
    assert found.shape == (3, 128)
    assert np.isfinite(found).all()


def test_no_image_gives_no_vector() -> None:
    assert SPACE.features(IMAGES[:0]).shape == (0, 128)


def test_seeds_have_names_of_their_own() -> None:
    assert (SPACE.name, SPACE.family) == ("random multi-scale", "random")
    other = RandomMultiscaleMap(3)
    assert other.name == "random multi-scale 3"
    assert json.loads(json.dumps(other.describe()))["seed"] == 3
    assert np.abs(other.features(IMAGES) - SPACE.features(IMAGES)).max() > 0.01
