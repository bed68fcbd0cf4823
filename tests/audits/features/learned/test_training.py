from __future__ import annotations

import numpy as np
import pytest
import torch

from audits.errors import AuditInputError
from audits.features.learned.architecture import Architecture
from audits.features.learned.augment import augment
from audits.features.learned.encoder import LearnedMap
from audits.features.learned.training import default_steps, train_encoder

SMALL = Architecture(side=32, width=8, dimensions=16)


@pytest.fixture
def pool(make_images) -> tuple[np.ndarray, np.ndarray]:
    images, keys = make_images(40, 2, seed=1)
    return images, np.unique(keys, return_inverse=True)[1]


def _found(space: LearnedMap, images: np.ndarray, patients: np.ndarray) -> float:
    """Share of altered images whose nearest image is of the right patient."""
    values = torch.from_numpy(images).float()[:, None] / 255
    stream = torch.Generator().manual_seed(9)
    altered = torch.cat([augment(values, stream) for _ in range(4)])
    queries = (255 * altered[:, 0]).round().numpy().astype(np.uint8)
    nearest = (space.features(queries) @ space.features(images).T).argmax(axis=1)
    return float((patients[nearest] == np.tile(patients, 4)).mean())


def test_training_teaches_to_recognise_altered_images(pool) -> None:
    images, patients = pool
    found = [
        _found(
            train_encoder(images, patients, seed=1, steps=steps, architecture=SMALL),
            images,
            patients,
        )
        for steps in (1, 120)
    ]
    assert found[1] > found[0] + 0.08


def test_only_pool_and_seed_decide(pool) -> None:
    images, patients = pool
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    told: list[tuple[int, int]] = []
    once = train_encoder(
        images,
        patients,
        seed=2,
        steps=3,
        architecture=SMALL,
        progress=lambda done, total: told.append((done, total)),
    )
    order = np.random.default_rng(0).permutation(len(images))
    again = train_encoder(
        images[order], 500 - patients[order], seed=2, steps=3, threads=2, architecture=SMALL
    )
    assert once.digest == again.digest
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), state)
    others = [{"seed": 2, "number": 2}, {"seed": 2 + 2**32}]
    for other in others:
        changed = train_encoder(images, patients, steps=3, architecture=SMALL, **other)
        assert changed.digest != once.digest


def test_two_patients_suffice_and_one_does_not(make_images) -> None:
    images, _ = make_images(2, 1, seed=3)
    space = train_encoder(images, np.array([0, 1]), seed=0, steps=2, architecture=SMALL)
    assert np.isfinite(space.features(images)).all()
    with pytest.raises(AuditInputError, match="at least two patients"):
        train_encoder(images, np.zeros(2, np.int64), seed=0)
    with pytest.raises(AuditInputError, match="at least 1"):
        train_encoder(images, np.array([0, 1]), seed=0, steps=0)


def test_steps_grow_slower_than_the_pool() -> None:
    assert default_steps(2) == default_steps(50)
    assert default_steps(8000) == pytest.approx(2 * default_steps(2000), abs=1)
