"""Encoders learn from halves of the patients, blind to the lottery."""

import dataclasses

import numpy as np
import pytest

from audits.encoders import train_encoders
from audits.images import ImageSet, number_patients
from audits.settings import AuditSettings

ONE = AuditSettings(encoders=1, seed=3)


@pytest.fixture(scope="module")
def sets(make_images) -> tuple[ImageSet, ImageSet]:
    train, train_keys = make_images(20, 2, seed=1)
    control, control_keys = make_images(20, 2, seed=2)
    return (
        ImageSet(train, [f"t{key}" for key in train_keys]),
        ImageSet(control, [f"c{key}" for key in control_keys]),
    )


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    from audits.features.learned import training

    monkeypatch.setattr(training, "default_steps", lambda images: 2)


def test_two_encoders_share_the_patients_between_them(sets) -> None:
    patients = number_patients(*sets)
    first, second = train_encoders(*sets, dataclasses.replace(ONE, encoders=2))
    assert (first.seen != second.seen).all()
    for encoder in (first, second):
        per_patient = [
            set(encoder.seen[patients.of_image == p]) for p in range(len(patients.member))
        ]
        assert all(len(kinds) == 1 for kinds in per_patient)
        assert 0 < encoder.seen[: len(sets[0])].sum() < len(sets[0])
        assert 0 < encoder.seen[len(sets[0]) :].sum() < len(sets[1])


def test_threads_change_no_weight_and_the_seed_does(sets) -> None:
    images = sets[0].images[:4]
    (plain,) = train_encoders(*sets, ONE)
    (threaded,) = train_encoders(*sets, ONE, threads=2)
    (other,) = train_encoders(*sets, dataclasses.replace(ONE, seed=4))
    assert np.array_equal(plain.space.features(images), threaded.space.features(images))
    assert not np.allclose(plain.space.features(images), other.space.features(images))


def test_progress_runs_over_all_encoders(sets) -> None:
    seen: list[tuple[int, int]] = []
    train_encoders(
        *sets, dataclasses.replace(ONE, encoders=2), progress=lambda a, b: seen.append((a, b))
    )
    assert seen[-1] == (4, 4)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_none_without_images_or_wish(sets) -> None:
    train, control = sets
    assert train_encoders(train, control, dataclasses.replace(ONE, encoders=0)) == ()
    few = ImageSet(train.images[:8], list(train.patients)[:8])
    assert train_encoders(few, ImageSet(control.images[:8], list(control.patients)[:8]), ONE) == ()
