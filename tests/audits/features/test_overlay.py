from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from audits.features.overlay import mask_overlays

Images = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def tissue() -> Images:
    """Speckle under layers, as in a breast: no mark on it."""
    rng = np.random.default_rng(3)
    speckle = gaussian_filter(rng.standard_normal((40, 64, 64)), (0, 0.7, 1.2))
    layers = gaussian_filter(rng.standard_normal((40, 64, 64)), (0, 2, 12))
    field = 90 + 20 * speckle / speckle.std() + 20 * layers / layers.std()
    return np.clip(np.rint(field), 0, 255).astype(np.uint8)


def draw(images: Images) -> Images:
    result = images.copy()
    for pixels in result:
        picture = Image.fromarray(pixels)
        pen = ImageDraw.Draw(picture)
        pen.text((6, 50), "L 12:30", fill=255)
        for x, y in ((20, 20), (44, 31)):
            pen.line((x - 2, y, x + 2, y), fill=255)
            pen.line((x, y - 2, x, y + 2), fill=255)
        pixels[:] = np.asarray(picture)
    return result


def correlation(a: Images, b: Images) -> float:
    pairs = zip(a, b, strict=True)
    return float(np.mean([np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in pairs]))


def test_text_and_calipers_go_and_the_picture_comes_back(tissue: Images) -> None:
    drawn = draw(tissue)
    masked = mask_overlays(drawn)
    strokes = drawn.astype(int) - tissue > 60
    left = masked.astype(int) - tissue > 60
    assert left[strokes].mean() < 0.15
    assert correlation(tissue, drawn) < 0.9
    assert correlation(tissue, masked) > 0.95


def test_tissue_without_marks_is_left_alone(tissue: Images) -> None:
    assert (mask_overlays(tissue) != tissue).mean() < 1e-4


def test_pixels_away_from_marks_are_left_alone(tissue: Images) -> None:
    drawn = draw(tissue)
    marked = drawn != tissue
    away = ~np.array([gaussian_filter(m.astype(float), 1, truncate=2) > 0 for m in marked])
    assert (mask_overlays(drawn) != drawn)[away].mean() < 0.005


def test_strong_noise_is_no_overlay(tissue: Images) -> None:
    rng = np.random.default_rng(0)
    noisy = np.clip(tissue + 70 * rng.standard_normal(tissue.shape), 0, 255).astype(np.uint8)
    speckled = np.clip(tissue * rng.gamma(4, 0.25, tissue.shape), 0, 255).astype(np.uint8)
    for images in (noisy, speckled):
        assert (mask_overlays(images) != images).mean() < 1e-3


def test_bright_layers_across_the_image_are_tissue() -> None:
    image = np.full((1, 64, 64), 40, np.uint8)
    image[:, 20:22] = 240
    image[:, 40, 8:50] = 250
    assert np.array_equal(mask_overlays(image), image)


def test_a_mark_takes_the_mean_of_the_unmarked_pixels_around() -> None:
    image = np.tile(np.arange(40, 104, dtype=np.uint8), (64, 1))[None]
    drawn = image.copy()
    drawn[0, 28:37, 30] = 255
    drawn[0, 32, 26:35] = 255
    assert np.abs(mask_overlays(drawn).astype(int) - image).max() <= 1


def test_an_image_does_not_depend_on_the_batch(tissue: Images) -> None:
    drawn = draw(np.concatenate([tissue] * 5))
    masked = mask_overlays(drawn)
    for row in (0, 130, 199):
        assert np.array_equal(mask_overlays(drawn[row : row + 1])[0], masked[row])


@pytest.mark.parametrize("value", [0, 77, 255])
def test_flat_images_and_none_pass(value: int) -> None:
    flat = np.full((2, 48, 80), value, np.uint8)
    assert np.array_equal(mask_overlays(flat), flat)
    assert mask_overlays(flat[:0]).shape == (0, 48, 80)


def test_the_input_is_not_written_to(tissue: Images) -> None:
    drawn = draw(tissue)
    before = drawn.copy()
    mask_overlays(drawn)
    assert np.array_equal(drawn, before)


def test_larger_images_have_thicker_marks(tissue: Images) -> None:
    drawn = draw(tissue[:10])
    large, clean = (images.repeat(3, axis=1).repeat(3, axis=2) for images in (drawn, tissue[:10]))
    strokes = large.astype(int) - clean > 60
    assert (mask_overlays(large).astype(int) - clean > 60)[strokes].mean() < 0.2
