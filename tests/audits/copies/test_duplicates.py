from __future__ import annotations

import numpy as np

from audits.copies.channel import CopyScores
from audits.copies.duplicates import find_duplicates

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 12, 12), dtype=np.uint8)
TRAIN, CONTROL = IMAGES[:4], IMAGES[4:].copy()


def _scores(
    ratio: list[list[float]], distance: list[list[float]], row: list[list[int]]
) -> CopyScores:
    named = np.array(row, np.int64)
    return CopyScores(np.array(ratio), np.array(distance), named, named)


def test_pairs_are_taken_at_the_first_scale_that_confirms_them() -> None:
    scores = _scores(
        [[0.9, 0.2], [0.1, 0.1], [0.1, 0.9]],
        [[0.5, 0.5], [0.5, 0.5], [1.5, 0.5]],
        [[0, 2], [5, 1], [3, 3]],
    )
    found = find_duplicates(TRAIN, CONTROL, scores, 1 / 3, 1.0)
    # Control 0 repeats train 2; control 1 repeats control 5 - 4; control 2 is too far at scale 0.
    assert found.near == ((0, 2),)
    assert found.within_control == ((1, 1),)
    assert found.identical == ()
    assert found.across == 1


def test_equal_pixels_are_found_whatever_the_scores_and_counted_once() -> None:
    control = CONTROL.copy()
    control[2] = TRAIN[1][:, ::-1]
    far = _scores([[1.0]] * 3, [[2.0]] * 3, [[0]] * 3)
    found = find_duplicates(TRAIN, control, far, 1 / 3, 1.0)
    assert [(hit.query, hit.reference) for hit in found.identical] == [(2, 1)]
    near = _scores([[1.0], [1.0], [0.0]], [[2.0], [2.0], [0.0]], [[0], [0], [1]])
    both = find_duplicates(TRAIN, control, near, 1 / 3, 1.0)
    assert both.near == ((2, 1),)
    assert both.across == 1


def test_nothing_to_compare_is_no_duplicate() -> None:
    none = _scores(np.ones((0, 2)), np.ones((0, 2)), np.zeros((0, 2)))
    found = find_duplicates(TRAIN, CONTROL[:0], none, 1 / 3, 1.0)
    assert (found.identical, found.near, found.within_control, found.across) == ((), (), (), 0)
