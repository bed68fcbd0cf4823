from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bussynth.cleaning.body_marks import BodyMarkSettings, find_body_marks, find_logos
from privacy.deidentify.regions import Rectangle

Gray = NDArray[np.uint8]
MakeTissue = Callable[..., Gray]


def test_tissue_has_no_marks(make_tissue: MakeTissue) -> None:
    for seed in range(6):
        assert find_body_marks(make_tissue(seed)) == ()
        assert find_logos(make_tissue(seed)) == ()


@pytest.mark.parametrize("end", [360, 300])
def test_pictograms(end: int, make_tissue: MakeTissue) -> None:
    picture = Image.fromarray(make_tissue(1))
    pen = ImageDraw.Draw(picture)
    pen.arc((20, 280, 64, 324), 0, end, fill=230)
    pen.line((30, 290, 42, 296), fill=230, width=2)
    found = find_body_marks(np.asarray(picture))
    if end == 360:
        assert len(found) == 1
        assert abs(found[0].left - 20) <= 2
        assert abs(found[0].bottom - 325) <= 2
    else:
        # Open drawings are missed; should they be found, the documentation is to be mended.
        assert found == ()


def test_letters_are_no_pictogram(make_tissue: MakeTissue) -> None:
    picture = Image.fromarray(make_tissue(2))
    ImageDraw.Draw(picture).text((40, 250), "OQ80DB", fill=250, font=ImageFont.load_default(18))
    assert find_body_marks(np.asarray(picture)) == ()


@pytest.mark.parametrize("place", [(8, 3), (240, 3)])
def test_logos_stand_in_a_top_corner(place: tuple[int, int], make_tissue: MakeTissue) -> None:
    picture = Image.fromarray(make_tissue(3))
    ImageDraw.Draw(picture).text(place, "XY", fill=250, font=ImageFont.load_default(18))
    assert len(find_logos(np.asarray(picture))) == 1


def test_words_elsewhere_are_no_logo(make_tissue: MakeTissue) -> None:
    picture = Image.fromarray(make_tissue(4))
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(18)
    pen.text((60, 3), "LEFT BREAST", fill=250, font=font)
    pen.text((240, 200), "XY", fill=250, font=font)
    assert find_logos(np.asarray(picture)) == ()


def test_a_box_of_text_alone_in_a_corner_is_a_logo(make_tissue: MakeTissue) -> None:
    image = make_tissue(5)
    corner, middle = Rectangle(240, 2, 272, 22), Rectangle(100, 2, 132, 22)
    assert find_logos(image, text_boxes=[corner, middle]) == (corner,)


def test_extremes_and_bad_arguments() -> None:
    for shape in ((1, 1), (2, 90), (90, 2)):
        assert find_body_marks(np.full(shape, 9, np.uint8)) == ()
        assert find_logos(np.full(shape, 9, np.uint8)) == ()
    for search in (find_body_marks, find_logos):
        with pytest.raises(ValueError, match="gray images"):
            search(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="largest"):
        BodyMarkSettings(largest=3)
    with pytest.raises(ValueError, match="Corners"):
        BodyMarkSettings(corner_width=0.7)
