from __future__ import annotations

import numpy as np
import pytest

from audits.controls.planting import PLANTED_CLASSES, PlantedClass
from audits.controls.recall import plant

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 40, 30), dtype=np.uint8)
NAMES = {kind.name: kind for kind in PLANTED_CLASSES}


@pytest.mark.parametrize("kind", PLANTED_CLASSES, ids=lambda kind: kind.name)
def test_copies_keep_shape_and_type_and_follow_the_seed(kind: PlantedClass) -> None:
    first = kind.alter(IMAGES, np.random.default_rng(1))
    again = kind.alter(IMAGES, np.random.default_rng(1))
    assert first.shape == IMAGES.shape
    assert first.dtype == np.uint8
    assert first.tobytes() == again.tobytes()
    assert kind.alter(IMAGES[:0], np.random.default_rng(1)).shape == (0, 40, 30)
    if kind.name != "exact":
        assert (first != IMAGES).any()


def test_noise_has_the_stated_power() -> None:
    images = np.clip(np.random.default_rng(0).normal(128, 20, (20, 64, 64)), 0, 255).astype(
        np.uint8
    )
    noisy = NAMES["noise 10 dB"].alter(images, np.random.default_rng(1))
    power = np.square(noisy.astype(float) - images).mean() / images.var()
    assert 10 * np.log10(1 / power) == pytest.approx(10, abs=0.2)


def test_a_shift_moves_by_the_stated_share() -> None:
    image = np.zeros((1, 100, 100), np.uint8)
    image[0, 50, 50] = 255
    moved = NAMES["shift 8 %"].alter(image, np.random.default_rng(2))[0].astype(float)
    centre = np.array([(moved.sum(axis=1 - axis) * np.arange(100)).sum() for axis in (0, 1)])
    assert np.hypot(*(centre / moved.sum() - 50)) == pytest.approx(8, abs=0.2)


def test_names_are_unique_and_decisive_classes_exist() -> None:
    assert len(NAMES) == len(PLANTED_CLASSES)
    families = {kind.family for kind in PLANTED_CLASSES if kind.decisive}
    assert families == {"exact", "mirrored", "noise", "blur", "gain", "JPEG"}


def test_as_many_patients_as_possible_are_planted_and_flat_images_left_out() -> None:
    images = np.concatenate([IMAGES, np.full((1, 40, 30), 5, np.uint8)])
    patients = np.array([0, 0, 0, 1, 1, 2, 3])
    copies, rows = plant(images, patients, NAMES["exact"], 3, seed=0)
    assert sorted(patients[rows].tolist()) == [0, 1, 2]
    assert copies.tobytes() == images[rows].tobytes()
    assert len(plant(images, patients, NAMES["exact"], 300, seed=0)[1]) == 6
    assert plant(images[:0], patients[:0], NAMES["exact"], 3, seed=0)[0].shape == (0, 40, 30)
