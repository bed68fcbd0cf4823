from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from privacy.guard.errors import GuardInputError
from privacy.guard.redraw import redraw

Images = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]


def draw(rows: Rows, attempt: int) -> Images:
    """A pure function of (row, attempt): the pixel is a hash of both."""
    values = (np.asarray(rows) * 37 + attempt * 101) % 251
    return np.broadcast_to(values[:, None, None], (len(values), 2, 2)).astype(np.uint8)


def bright(images: Images) -> npt.NDArray[np.bool_]:
    return images[:, 0, 0] > 120


def test_only_accepted_images_come_back_and_all_draws_are_counted() -> None:
    done = redraw(draw, bright, range(50), attempts=20)
    assert bright(done.images).all()
    assert done.rows.tolist() == list(range(50))
    assert done.left_out == 0
    assert done.drawn == 50 + done.rejected
    assert done.rejected > 0


def test_a_row_gets_its_first_accepted_attempt() -> None:
    done = redraw(draw, bright, range(50), attempts=20)
    for row, image in zip(done.rows, done.images, strict=True):
        tries = (draw(np.array([row]), k)[0] for k in range(20))
        wanted = next(image for image in tries if image[0, 0] > 120)
        np.testing.assert_array_equal(image, wanted)


def test_rows_do_not_depend_on_the_batch() -> None:
    whole = redraw(draw, bright, range(40))
    parts = [redraw(draw, bright, range(begin, begin + 7)) for begin in range(0, 40, 7)]
    joined = np.concatenate([part.images for part in parts])[: len(whole.images)]
    np.testing.assert_array_equal(whole.images, joined)


def test_rows_out_of_attempts_are_left_out_and_counted() -> None:
    done = redraw(draw, bright, range(50), attempts=1)
    accepted = bright(draw(np.arange(50), 0))
    assert done.rows.tolist() == np.flatnonzero(accepted).tolist()
    assert done.left_out == done.rejected == (~accepted).sum() > 0
    assert done.drawn == 50


def test_nothing_accepted_gives_no_images_of_the_right_shape() -> None:
    done = redraw(draw, lambda images: np.zeros(len(images), np.bool_), range(5), attempts=3)
    assert done.images.shape == (0, 2, 2)
    assert (done.drawn, done.left_out) == (15, 5)


def test_accepted_rows_are_not_drawn_again() -> None:
    asked: list[list[int]] = []

    def noted(rows: Rows, attempt: int) -> Images:
        asked.append(rows.tolist())
        return draw(rows, attempt)

    redraw(noted, bright, [5, 3, 9])
    for earlier, later in pairwise(asked):
        assert set(later) < set(earlier)


def test_order_of_rows_is_kept() -> None:
    done = redraw(draw, bright, [5, 3, 9], attempts=50)
    assert done.rows.tolist() == [5, 3, 9]


def test_no_rows_are_no_problem() -> None:
    assert len(redraw(draw, bright, []).images) == 0


@pytest.mark.parametrize(
    ("rows", "attempts", "part"), [([1], 0, "attempts=0"), ([1, 1], 3, "given twice")]
)
def test_bad_input_is_refused(rows: list[int], attempts: int, part: str) -> None:
    with pytest.raises(GuardInputError, match=part):
        redraw(draw, bright, rows, attempts=attempts)
