"""Painting text over, and cutting it off."""

from __future__ import annotations

import numpy as np
import pytest

from privacy.deidentify.blanking import blank, clear_part, covered_share
from privacy.deidentify.regions import Rectangle

ROWS, COLUMNS = 40, 60
WHOLE = Rectangle(0, 0, COLUMNS, ROWS)


def largest(boxes: list[Rectangle], rows: int, columns: int) -> int:
    """The area of the largest rectangle that meets no box, by trying all."""
    taken = np.zeros((rows, columns), np.bool_)
    for box in boxes:
        taken[box.top : box.bottom, box.left : box.right] = True
    best = 0
    for top in range(rows):
        free = np.zeros(columns, np.bool_)
        for bottom in range(top, rows):
            free |= taken[bottom]
            run = most = 0
            for blocked in free:
                run = 0 if blocked else run + 1
                most = max(most, run)
            best = max(best, most * (bottom + 1 - top))
    return best


@pytest.mark.parametrize("shape", [(ROWS, COLUMNS), (ROWS, COLUMNS, 3)])
def test_boxes_are_black_and_the_rest_is_as_it_was(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(1, 256, shape, dtype=np.uint8)
    image.setflags(write=False)
    boxes = [Rectangle(2, 3, 10, 7), Rectangle(8, 5, 20, 9), Rectangle(59, 39, 60, 40)]
    done = blank(image, iter(boxes))
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    for box in boxes:
        mask[box.top : box.bottom, box.left : box.right] = True
    assert (done[mask] == 0).all()
    assert (done[~mask] == image[~mask]).all()
    assert covered_share(boxes, ROWS, COLUMNS) == mask.mean()
    assert not np.shares_memory(done, image)
    assert done.flags.writeable


def test_nothing_to_paint() -> None:
    image = np.ones((4, 4), np.uint8)
    done = blank(image, ())
    assert (done == image).all()
    assert not np.shares_memory(done, image)
    assert covered_share((), 4, 4) == 0.0
    assert covered_share([WHOLE], ROWS, COLUMNS) == 1.0
    assert covered_share([Rectangle(50, 30, 500, 300)], ROWS, COLUMNS) == 100 / 2400


@pytest.mark.parametrize(
    ("boxes", "part"),
    [
        ([], WHOLE),
        ([Rectangle(0, 0, 60, 5)], Rectangle(0, 5, 60, 40)),
        ([Rectangle(10, 34, 50, 38)], Rectangle(0, 0, 60, 34)),
        ([Rectangle(0, 10, 6, 30)], Rectangle(6, 0, 60, 40)),
        ([Rectangle(52, 2, 58, 38)], Rectangle(0, 0, 52, 40)),
        # A corner: the strip that costs less.
        ([Rectangle(0, 0, 6, 10)], Rectangle(6, 0, 60, 40)),
        ([Rectangle(2, 1, 50, 4), Rectangle(4, 35, 20, 39)], Rectangle(0, 4, 60, 35)),
        ([Rectangle(29, 18, 31, 22)], Rectangle(31, 0, 60, 40)),
        ([WHOLE], None),
        ([Rectangle(0, 0, 60, 20), Rectangle(0, 20, 60, 40)], None),
    ],
)
def test_strips_are_cut_off(boxes: list[Rectangle], part: Rectangle | None) -> None:
    assert clear_part(boxes, ROWS, COLUMNS) == part
    assert clear_part(boxes[::-1], ROWS, COLUMNS) == part


@pytest.mark.parametrize("seed", range(20))
def test_what_is_left_is_clear_and_near_the_best(seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes = []
    for _ in range(rng.integers(1, 5)):
        left, top = int(rng.integers(0, 50)), int(rng.choice([0, 1, 2, 34, 36]))
        boxes.append(Rectangle(left, top, left + int(rng.integers(3, 11)), top + 3))
    part = clear_part(boxes, ROWS, COLUMNS)
    assert part is not None
    assert part.fits(ROWS, COLUMNS)
    assert not any(part.overlaps(box) for box in boxes)
    area, best = part.width * part.height, largest(boxes, ROWS, COLUMNS)
    assert 0.7 * best <= area <= best


def test_scattered_boxes_leave_a_clear_part_or_none() -> None:
    rng = np.random.default_rng(9)
    for _ in range(100):
        boxes = []
        for _ in range(12):
            left, top = int(rng.integers(0, 58)), int(rng.integers(0, 38))
            width, height = (int(edge) for edge in rng.integers(1, 20, 2))
            boxes.append(Rectangle(left, top, min(left + width, COLUMNS), min(top + height, ROWS)))
        part = clear_part(boxes, ROWS, COLUMNS)
        assert part is None or not any(part.overlaps(box) for box in boxes)
