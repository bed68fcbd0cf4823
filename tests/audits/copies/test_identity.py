from __future__ import annotations

import numpy as np
import pytest

from audits.copies.identity import canonical_hash, find_identical, orientations

RNG = np.random.default_rng(3)
IMAGES = RNG.integers(0, 256, (5, 12, 12), dtype=np.uint8)


@pytest.mark.parametrize("turn", range(8))
def test_every_orientation_is_found(turn: int) -> None:
    query = np.ascontiguousarray(orientations(IMAGES[2])[turn])[None]
    (hit,) = find_identical(query, IMAGES)
    assert (hit.query, hit.reference) == (0, 2)


def test_one_changed_pixel_is_no_identity() -> None:
    query = IMAGES[:1].copy()
    query[0, 5, 5] ^= 1
    assert find_identical(query, IMAGES) == ()


def test_shape_is_part_of_the_hash() -> None:
    assert canonical_hash(np.zeros((2, 8), np.uint8)) != canonical_hash(np.zeros((4, 4), np.uint8))


def test_a_view_hashes_like_a_copy() -> None:
    assert canonical_hash(IMAGES[0].T) == canonical_hash(IMAGES[0].T.copy())


def test_flat_images_and_empty_sets_give_no_hit() -> None:
    flat = np.full((2, 12, 12), 7, np.uint8)
    assert find_identical(flat, flat) == ()
    assert find_identical(IMAGES[:0], IMAGES) == ()
    assert find_identical(IMAGES, IMAGES[:0]) == ()


def test_the_lowest_row_is_reported_among_equal_references() -> None:
    (hit,) = find_identical(IMAGES[:1], np.concatenate([IMAGES[:1], IMAGES[:1]]))
    assert hit.reference == 0
