from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from audits.errors import AuditInputError
from audits.features.learned.architecture import Architecture
from audits.features.learned.encoder import LearnedMap
from audits.features.learned.pool import pool_digest
from audits.features.learned.training import train_encoder

SMALL = Architecture(side=32, width=8, dimensions=16)
RNG = np.random.default_rng(8)
IMAGES = RNG.integers(0, 256, (70, 24, 24), dtype=np.uint8)


@pytest.fixture(scope="module")
def space() -> LearnedMap:
    return train_encoder(IMAGES, np.arange(70), seed=1, steps=1, architecture=SMALL)


def test_a_row_depends_on_its_image_alone(space: LearnedMap) -> None:
    vectors = space.features(IMAGES)
    order = RNG.permutation(70)
    assert np.array_equal(space.features(IMAGES[order]), vectors[order])
    assert np.array_equal(space.features(IMAGES[:1]), vectors[:1])
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(70), abs=1e-5)
    mirrored = np.ascontiguousarray(IMAGES[:, :, ::-1])
    assert np.array_equal(space.features(IMAGES, mirrored=True), space.features(mirrored))


def test_no_images_and_flat_images(space: LearnedMap) -> None:
    assert space.features(IMAGES[:0]).shape == (0, 16)
    mixed = IMAGES[:3].copy()
    mixed[1] = 7
    vectors = space.features(mixed)
    assert not vectors[1].any()
    assert np.array_equal(vectors[[0, 2]], space.features(IMAGES[[0, 2]]))


def test_large_images_are_accepted(space: LearnedMap) -> None:
    large = IMAGES[:2].repeat(5, axis=1).repeat(4, axis=2)
    assert np.isfinite(space.features(large)).all()


def test_nothing_of_a_patient_is_shown(space: LearnedMap) -> None:
    described = json.dumps(space.describe())
    assert '"symmetric on train and control": true' in described
    assert pool_digest(IMAGES) not in described
    assert repr(space) == "LearnedMap(name='learned 1')"
    assert (space.name, space.family) == ("learned 1", "learned")


def test_a_saved_encoder_returns_and_only_its_owner_reads_it(
    space: LearnedMap, tmp_path: Path
) -> None:
    path = tmp_path / "encoder.safetensors"
    space.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    restored = LearnedMap.load(path, expects=pool_digest(IMAGES[::-1]))
    assert np.array_equal(restored.features(IMAGES), space.features(IMAGES))
    assert restored.describe() == space.describe()


def test_an_encoder_of_other_images_needs_a_word(space: LearnedMap, tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    space.save(path)
    with pytest.raises(AuditInputError, match="other images"):
        LearnedMap.load(path, expects=pool_digest(IMAGES[1:]))
    assert LearnedMap.load(path, expects=None).digest == space.digest


def test_damaged_files_are_refused(space: LearnedMap, tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    with pytest.raises(AuditInputError, match="cannot be read"):
        LearnedMap.load(path, expects=None)
    space.save(path)
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    flipped = bytearray(whole)
    flipped[start + 100] ^= 1
    cases = {
        "digest": bytes(flipped),
        "cannot be read|digest": whole[:-1],
        "cannot be read": b"\xff" * 64,
        "schema": whole.replace(b"bussynth-encoder/1", b"bussynth-encoder/9"),
        "multiple": whole.replace(b'width\\": 8', b'width\\": 9'),
    }
    for message, data in cases.items():
        assert data != whole
        path.write_bytes(data)
        with pytest.raises(AuditInputError, match=message):
            LearnedMap.load(path, expects=None)


def test_weights_that_do_not_fit_are_refused(space: LearnedMap) -> None:
    weights = dict(space.weights)
    with pytest.raises(AuditInputError, match="missing"):
        replace(space, weights={})
    with pytest.raises(AuditInputError, match=r"head.bias: expected float32 \(16,\)"):
        replace(space, weights=weights | {"head.bias": np.zeros(3, np.float32)})
    with pytest.raises(AuditInputError, match="finite"):
        replace(space, weights=weights | {"head.bias": np.full(16, np.nan, np.float32)})
    with pytest.raises(AuditInputError, match="whole numbers"):
        replace(space, counts={})
