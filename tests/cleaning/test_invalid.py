from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bussynth.cleaning.invalid import Invalidity, InvaliditySettings, find_invalidity

Gray = NDArray[np.uint8]
MakeTissue = Callable[..., Gray]


def test_tissue_is_valid(make_tissue: MakeTissue) -> None:
    for seed in range(4):
        assert find_invalidity(make_tissue(seed)) is None
        assert find_invalidity(make_tissue(seed) // 2) is None


@pytest.mark.parametrize(("share", "invalid"), [(0.6, False), (0.74, False), (0.78, True)])
def test_black(share: float, invalid: bool, make_tissue: MakeTissue) -> None:
    image = np.maximum(make_tissue(1), 5)
    image[round((1 - share) * 340) :] = 0
    assert find_invalidity(image) == (Invalidity.BLACK if invalid else None)


def test_constant() -> None:
    noise = np.random.default_rng(0).integers(99, 102, (60, 60)).astype(np.uint8)
    assert find_invalidity(noise) is Invalidity.CONSTANT
    assert find_invalidity(np.zeros((1, 1), np.uint8)) is Invalidity.CONSTANT


@pytest.mark.parametrize("paper", [30, 235])
def test_forms(paper: int, make_tissue: MakeTissue) -> None:
    page = Image.new("L", (800, 600), paper)
    pen = ImageDraw.Draw(page)
    for line in range(20):
        pen.text((40, 20 + 20 * line), "Lesion 1  12.3 mm x 8.1 mm", fill=265 - paper)
    page.paste(Image.fromarray(make_tissue(2)[:150, :200]), (560, 400))
    assert find_invalidity(np.asarray(page)) is Invalidity.NO_SPECKLE


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="gray images"):
        find_invalidity(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="Shares"):
        InvaliditySettings(black_share=0)
    with pytest.raises(ValueError, match="negative"):
        InvaliditySettings(contrast=-1)
