"""Flags put together, with text and colour."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from bussynth.cleaning.colour import is_doppler, is_elastography
from bussynth.cleaning.flags import SENTENCES, Flag, find_flags
from bussynth.cleaning.text import TextSettings, find_text
from privacy.deidentify.colour_marks import ColourFinding, ColourKind, colour_finding
from privacy.deidentify.regions import Rectangle
from privacy.deidentify.text import TextBox, open_detector

Gray = NDArray[np.uint8]
MakeTissue = Callable[..., Gray]


def written(image: Gray, text: str = "LEFT BREAST 3 H") -> Gray:
    picture = Image.fromarray(image)
    ImageDraw.Draw(picture).text((60, 280), text, fill=255, font=ImageFont.load_default(16))
    return np.asarray(picture)


def box(score: float = 0.9, height: int = 20) -> TextBox:
    return TextBox(rectangle=Rectangle(60, 280, 180, 280 + height), score=score)


def overlay(mask: NDArray[np.bool_]) -> ColourFinding:
    return ColourFinding(kind=ColourKind.OVERLAY, mask=mask, share=float(mask.mean()))


def test_every_flag_has_a_sentence() -> None:
    assert list(SENTENCES) == list(Flag)
    for flag in Flag:
        assert flag.sentence.endswith(".")
        assert flag.value == flag.value.lower()


def test_clean_tissue_has_no_flag(make_tissue: MakeTissue) -> None:
    for seed in range(3):
        assert find_flags(make_tissue(seed), text_boxes=()) == ()


def test_all_at_once_in_fixed_order(make_tissue: MakeTissue) -> None:
    image = written(np.concatenate([make_tissue(0), make_tissue(1)], axis=1))
    picture = Image.fromarray(image)
    pen = ImageDraw.Draw(picture)
    pen.ellipse((400, 270, 450, 320), outline=230)
    pen.line((140, 100, 152, 100), fill=240)
    pen.line((146, 94, 146, 106), fill=240)
    image = np.asarray(picture)
    flags = find_flags(image, texts=["AXILA"])
    assert flags == (Flag.DUAL_VIEW, Flag.CALIPERS, Flag.TEXT, Flag.BODY_MARK, Flag.AXILLA)
    assert find_flags(image, texts=["AXILA"]) == flags


def test_an_invalid_frame_is_not_searched_further() -> None:
    assert find_flags(written(np.zeros((340, 280), np.uint8))) == (Flag.INVALID,)


def test_text_comes_from_boxes_or_from_strokes(make_tissue: MakeTissue) -> None:
    clean, image = make_tissue(2), written(make_tissue(2))
    assert find_flags(image) == (Flag.TEXT,)
    assert Flag.TEXT not in find_flags(image, text_boxes=())
    assert find_flags(clean, text_boxes=[box()]) == (Flag.TEXT,)
    assert find_text(image, detector=open_detector("none")) == ()
    assert find_text(image, detector=open_detector("strokes")) == find_text(image)


def test_unsure_and_low_boxes_can_be_left_out(make_tissue: MakeTissue) -> None:
    boxes = (box(0.2), box(0.9, height=4), box(0.9))
    image = make_tissue(3)
    assert len(find_text(image, boxes=boxes)) == 2
    settings = TextSettings(least_score=0.5, least_height=1)
    assert len(find_text(image, boxes=boxes, settings=settings)) == 2
    with pytest.raises(ValueError, match="least_score"):
        TextSettings(least_score=2)


def test_colour_flags(make_tissue: MakeTissue) -> None:
    gray = make_tissue(4)
    rgb = np.repeat(gray[..., None], 3, axis=2)
    marked, tinted, flow, stiff = (rgb.copy() for _ in range(4))
    marked[100:120, 50] = (255, 255, 0)
    tinted[..., 2] = tinted[..., 2] * 0.6
    vessels = np.abs(ndimage.gaussian_filter(np.random.default_rng(0).normal(size=gray.shape), 14))
    flow[vessels < 0.005] = (220, 30, 20)
    stiff[90:250, 60:220, 0] //= 3
    stiff[90:250, 60:220, 2] = 200
    cases = [(rgb, None), (marked, Flag.COLOUR_MARKS), (tinted, Flag.TINT), (flow, Flag.DOPPLER)]
    for image, flag in [*cases, (stiff, Flag.ELASTOGRAPHY)]:
        found = find_flags(gray, colour=colour_finding(image), text_boxes=())
        assert found == (() if flag is None else (flag,))


def test_what_fills_a_rectangle_is_stiffness() -> None:
    full, vessel, small = (np.zeros((200, 200), np.bool_) for _ in range(3))
    full[50:150, 60:160] = True
    full[80:83, 90:93] = False
    y, x = np.mgrid[:200, :200]
    vessel[np.abs(y - 100 - 30 * np.sin(x / 25)) < 8] = True
    small[50:80, 60:90] = True
    assert is_elastography(overlay(full))
    assert not is_doppler(overlay(full))
    for mask in (vessel, small):
        assert is_doppler(overlay(mask))
        assert not is_elastography(overlay(mask))
    none = ColourFinding(kind=ColourKind.MARKS, mask=full, share=0.25)
    assert not is_doppler(none)
    assert not is_elastography(none)


def test_sizes_must_agree(make_tissue: MakeTissue) -> None:
    with pytest.raises(ValueError, match="another size"):
        find_flags(make_tissue(0), colour=overlay(np.zeros((4, 4), np.bool_)))
    with pytest.raises(ValueError, match="gray images"):
        find_flags(np.zeros((4, 4, 3), np.uint8))
