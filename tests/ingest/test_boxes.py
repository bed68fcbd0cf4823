from __future__ import annotations

import numpy as np
import pytest

from bussynth.errors import DataError
from bussynth.ingest.boxes import BoxConvention, boxes_differ, clip_box, mask_box, parse_box

SPANS = {
    # Pixels 3..5 and 7..10, counted from 0, in every convention.
    ("xywh", 0, False): (3, 7, 3, 4),
    ("xywh", 1, False): (4, 8, 3, 4),
    ("xywh", 0, True): (3, 7, 2, 3),
    ("xywh", 1, True): (4, 8, 2, 3),
    ("xyxy", 0, False): (3, 7, 6, 11),
    ("xyxy", 1, False): (4, 8, 7, 12),
    ("xyxy", 0, True): (3, 7, 5, 10),
    ("xyxy", 1, True): (4, 8, 6, 11),
}


@pytest.mark.parametrize(("convention", "numbers"), SPANS.items())
def test_all_conventions_give_the_same_box(
    convention: tuple[str, int, bool], numbers: tuple[float, float, float, float]
) -> None:
    mask = np.zeros((20, 20), bool)
    mask[7:11, 3:6] = True
    assert BoxConvention(*convention).box(numbers) == mask_box(mask) == (3, 7, 6, 11)


@pytest.mark.parametrize(
    "cells",
    [["[1,2,3,4.5]"], ["1 2 3 4.5"], ["(1; 2; 3; 4.5)"], ["1,  2,3 ,4.5"], ["1", "2", "3", "4.5"]],
)
def test_parse(cells: list[str]) -> None:
    assert parse_box(cells, what="row 1") == (1, 2, 3, 4.5)


@pytest.mark.parametrize(
    "cells",
    [
        [""],
        ["[]"],
        ["1,2,3"],
        ["1,2,3,4,5"],
        ["1,2,3,x"],
        ["1,2,3,nan"],
        ["inf,2,3,4"],
        ["[[1,2,3,4]]"],
        ["1", "2", "", "4"],
        ["1,,3,4"],
        ["__import__('os')"],
    ],
)
def test_parse_refuses_without_quoting(cells: list[str]) -> None:
    with pytest.raises(DataError, match=r"row 9: the box is not four finite numbers\."):
        parse_box(cells, what="row 9")


def test_clip() -> None:
    def clip(*box: float, tolerance: float = 0) -> tuple[float, ...]:
        return clip_box(box, (20, 30), tolerance=tolerance, what="row 2")  # type: ignore[arg-type]

    assert clip(0, 0, 20, 30) == (0, 0, 20, 30)
    assert clip(-1, 0, 5, 31, tolerance=1) == (0, 0, 5, 30)
    for bad in [(5, 5, 5, 9), (5, 9, 8, 5), (8, 5, 5, 9)]:
        with pytest.raises(DataError, match="row 2: the box is empty or inverted"):
            clip(*bad)
    with pytest.raises(DataError, match=r"reaches 0\.5 pixels"):
        clip(-0.5, 0, 5, 5)
    with pytest.raises(DataError, match="reaches 12 pixels"):
        clip(25, 0, 32, 5, tolerance=1)
    # Within the tolerance, but nothing of it is inside.
    with pytest.raises(DataError, match="out of the image"):
        clip(20, 0, 21, 5, tolerance=2)


def test_mask_box_of_nothing_and_of_one_pixel() -> None:
    assert mask_box(np.zeros((4, 5), bool)) is None
    one = np.zeros((4, 5), bool)
    one[3, 4] = True
    assert mask_box(one) == (4, 3, 5, 4)


def test_two_pixels_are_agreement() -> None:
    assert not boxes_differ((0, 0, 9, 9), (2, 0, 9, 7))
    assert boxes_differ((0, 0, 9, 9), (0, 0, 9, 11.1))
