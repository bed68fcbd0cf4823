from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from bussynth.cleaning.dual_view import DualViewSettings, find_seam

Gray = NDArray[np.uint8]
MakeTissue = Callable[..., Gray]


def test_single_views(make_tissue: MakeTissue) -> None:
    for seed in range(6):
        assert find_seam(make_tissue(seed)) is None
        assert find_seam(make_tissue(seed, 300, 520)) is None


@pytest.mark.parametrize(("gap", "level"), [(0, 0), (1, 0), (1, 255), (3, 120), (14, 0)])
def test_two_views(gap: int, level: int, make_tissue: MakeTissue) -> None:
    for seed in range(4):
        between = np.full((340, gap), level, np.uint8)
        image = np.concatenate([make_tissue(seed), between, make_tissue(seed + 10)], axis=1)
        seam = find_seam(image)
        assert seam is not None
        assert 278 <= seam <= 282 + gap


def test_a_line_on_top_is_no_seam(make_tissue: MakeTissue) -> None:
    image = make_tissue(1)
    image[:, 140] = 255
    assert find_seam(image) is None


def test_a_shadow_is_no_seam(make_tissue: MakeTissue) -> None:
    image = make_tissue(2)
    image[120:, 110:170] //= 6
    assert find_seam(image) is None


def test_black_beside_an_image_is_no_view(make_tissue: MakeTissue) -> None:
    image = np.concatenate([make_tissue(3), np.zeros((340, 280), np.uint8)], axis=1)
    assert find_seam(image) is None


def test_extremes_and_bad_arguments() -> None:
    for shape in ((1, 1), (1, 90), (90, 2), (80, 80)):
        assert find_seam(np.zeros(shape, np.uint8)) is None
    with pytest.raises(ValueError, match="gray images"):
        find_seam(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="shares"):
        DualViewSettings(middle=0.5)


def test_flat_areas_are_no_trouble(make_tissue: MakeTissue) -> None:
    # Running sums of squares end a little below zero; warnings are errors here.
    image = make_tissue(4)
    image[:, :90] = 255
    image[200:] = 16
    for part in (image, image[:, ::-1], np.full((340, 280), 16, np.uint8)):
        find_seam(part)
