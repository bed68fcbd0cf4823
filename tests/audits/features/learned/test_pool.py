from __future__ import annotations

import numpy as np
import pytest

from audits.errors import AuditInputError
from audits.features.learned.pool import pool_digest, shuffled_pool

RNG = np.random.default_rng(2)
IMAGES = RNG.integers(0, 256, (12, 16, 20), dtype=np.uint8)
PATIENTS = np.array([7, 7, 7, 1, 1, 2, 3, 4, 5, 5, 6, 9])


def test_neither_order_nor_numbering_reaches_the_pool() -> None:
    pool = shuffled_pool(IMAGES, PATIENTS)
    order = RNG.permutation(12)
    other = shuffled_pool(IMAGES[order], (100 - PATIENTS)[order])
    assert np.array_equal(pool.images, other.images)
    assert np.array_equal(pool.patients, other.patients)
    assert pool.digest == other.digest == pool_digest(IMAGES) == pool_digest(IMAGES[order])
    assert pool.digest != pool_digest(IMAGES[:11])
    # Images of one patient, and no others, share a number.
    rows = [int(np.flatnonzero((one == IMAGES).all(axis=(1, 2)))[0]) for one in pool.images]
    same = PATIENTS[rows][:, None] == PATIENTS[rows][None]
    assert np.array_equal(same, pool.patients[:, None] == pool.patients[None])


def test_flat_and_repeated_images_are_left_out_and_their_patients_merged() -> None:
    images = np.concatenate([IMAGES, IMAGES[[3]], np.full((1, 16, 20), 9, np.uint8)])
    pool = shuffled_pool(images, np.r_[PATIENTS, 2, 50])
    assert len(pool.images) == 12
    # Patients 1 and 2 share an image.
    assert len(np.unique(pool.patients)) == len(np.unique(PATIENTS)) - 1


def test_large_images_are_reduced() -> None:
    images = RNG.integers(0, 256, (3, 130, 90), dtype=np.uint8)
    assert shuffled_pool(images, np.arange(3)).images.shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("images", "patients", "message"),
    [
        (IMAGES.astype(float), PATIENTS, "uint8"),
        (IMAGES[:, :4], PATIENTS, "8x8"),
        (IMAGES, PATIENTS[:3], "one patient an image"),
        (IMAGES[:0], PATIENTS[:0], "at least two patients"),
        (IMAGES[:3], PATIENTS[:3], "at least two patients"),
        (IMAGES * 0, PATIENTS, "at least two patients"),
        (IMAGES[[0, 0, 0]], np.arange(3), "at least two patients"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(
    images: np.ndarray, patients: np.ndarray, message: str
) -> None:
    with pytest.raises(AuditInputError, match=message):
        shuffled_pool(images, patients)
