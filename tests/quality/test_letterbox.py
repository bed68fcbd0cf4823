from __future__ import annotations

import numpy as np
import pytest

from bussynth.quality.figures import box_iou
from bussynth.quality.letterbox import SIDE, letterbox, to_square


def test_a_square_of_the_right_size_is_left_alone() -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE)).astype(np.uint8)
    assert np.array_equal(letterbox(images), images)


@pytest.mark.parametrize("size", [(16, 16), (128, 128), (48, 96), (96, 48), (30, 100)])
def test_the_lesion_stays_in_its_box(size: tuple[int, int]) -> None:
    image = np.full((1, *size), 60, np.uint8)
    y0, y1, x0, x1 = size[0] // 4, size[0] // 2, size[1] // 2, 3 * size[1] // 4
    image[0, y0:y1, x0:x1] = 250
    square = letterbox(image)
    assert square.shape == (1, SIDE, SIDE)
    rows, columns = np.nonzero(square[0] > 155)
    seen = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]) / SIDE
    moved = to_square(np.array([[x0, y0, x1, y1]], float), size)
    assert np.abs(moved - seen).max() <= 1 / SIDE
    # Black outside, nothing lost inside.
    content = (square[0] > 30).sum()
    assert content == pytest.approx(SIDE * SIDE * min(size) / max(size), rel=0.05)


def test_no_box_stays_none_and_overlap_is_kept() -> None:
    boxes = np.array([[1, 2, 30, 20], [5, 5, 40, 30.0]])
    before = box_iou(boxes[:1], boxes[1:])
    moved = to_square(boxes, (48, 96))
    assert box_iou(moved[:1], moved[1:]) == pytest.approx(before)
    assert np.isnan(to_square(np.full((1, 4), np.nan), (48, 96))).all()
