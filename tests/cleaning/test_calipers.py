from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bussynth.cleaning.calipers import CaliperSettings, CaliperShape, find_calipers
from privacy.deidentify.regions import Rectangle

Gray = NDArray[np.uint8]
MakeTissue = Callable[..., Gray]
PLACES = ((90, 120), (190, 150))


def crossed(image: Gray, *, arm: int, width: int, level: int, oblique: bool = False) -> Gray:
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    for x, y in PLACES:
        if oblique:
            pen.line((x - arm, y - arm, x + arm, y + arm), fill=level, width=width)
            pen.line((x - arm, y + arm, x + arm, y - arm), fill=level, width=width)
        else:
            pen.line((x - arm, y, x + arm, y), fill=level, width=width)
            pen.line((x, y - arm, x, y + arm), fill=level, width=width)
    return np.asarray(picture)


def near(found: set[tuple[int, int]]) -> bool:
    return all(any(max(abs(x - a), abs(y - b)) <= 1 for a, b in found) for x, y in PLACES)


def test_tissue_has_no_calipers(make_tissue: MakeTissue) -> None:
    for seed in range(6):
        assert find_calipers(make_tissue(seed)) == ()


@pytest.mark.parametrize("arm", [4, 6, 8])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_upright_crosses(arm: int, width: int, make_tissue: MakeTissue) -> None:
    image = crossed(make_tissue(1), arm=arm, width=width, level=240)
    found = find_calipers(image)
    assert {mark.shape for mark in found} == {CaliperShape.PLUS}
    assert near({(mark.x, mark.y) for mark in found})


@pytest.mark.parametrize("arm", [4, 5])
def test_oblique_crosses(arm: int, make_tissue: MakeTissue) -> None:
    found = find_calipers(crossed(make_tissue(2), arm=arm, width=1, level=240, oblique=True))
    assert near({(mark.x, mark.y) for mark in found if mark.shape is CaliperShape.CROSS})


def test_lossy_compression_and_gray_marks(make_tissue: MakeTissue) -> None:
    out = io.BytesIO()
    marked = crossed(make_tissue(3), arm=5, width=1, level=200)
    Image.fromarray(marked).save(out, "JPEG", quality=80)
    found = find_calipers(np.asarray(Image.open(out)))
    assert near({(mark.x, mark.y) for mark in found})


def test_dotted_lines(make_tissue: MakeTissue) -> None:
    image = make_tissue(4)
    for step in range(12):
        image[100 + 3 * step, 60 + 7 * step] = 255
    found = find_calipers(image)
    assert [mark.shape for mark in found] == [CaliperShape.DOTS]
    # Four dots may be anything.
    few = make_tissue(4)
    for step in range(4):
        few[100 + 3 * step, 60 + 7 * step] = 255
    assert find_calipers(few) == ()


def test_a_scale_along_the_edge_is_none(make_tissue: MakeTissue) -> None:
    image = make_tissue(5)
    for row in range(60, 320, 60):
        image[row, 10:21] = image[row - 5 : row + 6, 15] = 240
    assert find_calipers(image) == ()


def test_letters_are_none_where_text_is_known(make_tissue: MakeTissue) -> None:
    picture = Image.fromarray(make_tissue(6))
    ImageDraw.Draw(picture).text((60, 280), "X4KX + X", fill=255, font=ImageFont.load_default(16))
    image = np.asarray(picture)
    assert find_calipers(image)
    assert find_calipers(image, text_boxes=[Rectangle(55, 276, 150, 304)]) == ()
    # A cross beside its number is boxed with it, and still a cross.
    image = crossed(make_tissue(1), arm=5, width=1, level=240)
    boxes = [Rectangle(x - 10, y - 10, x + 10, y + 8) for x, y in PLACES]
    assert near({(mark.x, mark.y) for mark in find_calipers(image, text_boxes=boxes)})


def test_what_is_missed_is_known(make_tissue: MakeTissue) -> None:
    # Should these be found one day, the documentation is to be mended.
    picture = Image.fromarray(make_tissue(7))
    pen = ImageDraw.Draw(picture)
    pen.rectangle((80, 80, 90, 90), outline=240)
    pen.ellipse((180, 180, 190, 190), outline=240)
    assert find_calipers(np.asarray(picture)) == ()
    black = crossed(np.full((340, 280), 180, np.uint8), arm=5, width=1, level=0)
    assert find_calipers(black) == ()


def test_extremes_and_bad_arguments() -> None:
    for shape in ((1, 1), (3, 200), (200, 3)):
        assert find_calipers(np.full(shape, 200, np.uint8)) == ()
    for bad in (np.zeros((4, 4), np.uint16), np.zeros((4, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="gray images"):
            find_calipers(bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="positive"):
        CaliperSettings(plus=0)
    with pytest.raises(ValueError, match="pixels long"):
        CaliperSettings(arms=(40,))
