from __future__ import annotations

import numpy as np
import pytest

from audits.comparisons.contrast import Captures
from audits.controls.doses import dose_response
from audits.controls.nulls import null_comparisons
from audits.controls.planting import PLANTED_CLASSES
from audits.controls.recall import demonstrate_recall
from audits.copies.findings import calibrate, count_copies
from audits.copies.framings import SCALES, CopyScores, build_reference, score_copies
from audits.features.pixels import pixel_features
from audits.images import ImageSet, Patients, number_patients
from audits.settings import AuditSettings
from audits.spaces import Searcher, Space

SETTINGS = AuditSettings(permutations=399, planted=20, dose=(3, 30), dose_repeats=5)


def _scores(ratios: list[float], patients: list[int]) -> CopyScores:
    n, scales = len(ratios), len(SCALES)
    ratio = np.repeat(np.array(ratios)[:, None], scales, axis=1)
    patient = np.repeat(np.array(patients, np.int64)[:, None], scales, axis=1)
    return CopyScores(
        ratio, np.full((n, scales), 0.5), patient, patient, np.zeros(n), np.zeros(n, np.bool_)
    )


PATIENTS = Patients(np.arange(20), np.arange(20) < 10, np.zeros(20, np.int64), True)


def test_thresholds_stay_as_declared_when_control_images_are_far() -> None:
    found = calibrate(_scores([0.9, 0.8], [0, 1]), np.zeros(2, np.bool_), SETTINGS)
    assert found.ratios == (0.5, 0.5, 0.5)
    assert not found.tightened
    assert found.control_fired == 0


def test_thresholds_tighten_when_control_images_come_near() -> None:
    scores = _scores([0.4, 0.8, 0.1], [0, 1, 2])
    found = calibrate(scores, np.array([False, False, True]), SETTINGS)
    assert found.ratios == pytest.approx((0.36,) * 3)
    assert found.tightened
    assert (found.control_images, found.control_fired) == (2, 1)


def test_copies_of_control_patients_are_false_alarms() -> None:
    thresholds = calibrate(_scores([], []), np.zeros(0, np.bool_), SETTINGS)
    scores = _scores([0.1, 0.2, 0.3, 0.9, 0.1], [0, 0, 4, 5, 12])
    found, scale = count_copies(scores, PATIENTS, thresholds, SETTINGS)
    assert (found.train_images, found.train_patients) == (3, 2)
    assert (found.control_images, found.control_patients) == (1, 1)
    assert scale.tolist() == [0, 0, 0, -1, -1]
    assert not found.above_control(0.05)
    clean, _ = count_copies(scores.take(np.arange(4)), PATIENTS, thresholds, SETTINGS)
    assert clean.above_control(0.05)


def test_a_hit_just_below_a_threshold_drawn_from_control_images_proves_nothing() -> None:
    tightened = calibrate(_scores([0.45], [15]), np.zeros(1, np.bool_), SETTINGS)
    near, _ = count_copies(_scores([0.4], [0]), PATIENTS, tightened, SETTINGS)
    assert near.train_images == 1
    assert not near.above_control(0.05)
    clear, _ = count_copies(_scores([0.1], [0]), PATIENTS, tightened, SETTINGS)
    assert clear.above_control(0.05)


def test_recall_is_lost_when_the_threshold_is(make_images) -> None:
    images, keys = make_images(25, seed=20)
    patients = np.unique(keys, return_inverse=True)[1]
    reference = build_reference(images, patients)
    kinds = [kind for kind in PLANTED_CLASSES if kind.name in ("exact", "noise 20 dB")]

    def found(threshold: float) -> list[int]:
        recalls, _ = demonstrate_recall(
            images,
            patients,
            lambda queries: score_copies(queries, reference),
            (threshold,) * 3,
            SETTINGS,
            classes=kinds,
        )
        return [recall.found for recall in recalls]

    assert found(0.5) == [20, 20]
    assert found(1e-3) == [20, 0]


def test_nothing_to_plant_is_no_recall() -> None:
    none = np.empty((0, 16, 16), np.uint8)
    recalls, _ = demonstrate_recall(
        none, np.empty(0, np.int64), lambda q: _scores([], []), (0.5,) * 3, SETTINGS
    )
    assert {recall.planted for recall in recalls} == {0}
    assert all(recall.passed is False for recall in recalls if recall.decisive)


def _captures(patients: np.ndarray, squared: np.ndarray) -> Captures:
    n = len(patients)
    return Captures(squared, np.arange(n), patients.astype(np.int64), np.ones(n))


def test_power_grows_with_the_dose_and_is_null_without() -> None:
    rng = np.random.default_rng(0)
    patients = Patients(np.arange(200), np.arange(200) < 100, np.zeros(200, np.int64), True)
    synthetic = {"space": _captures(rng.integers(0, 200, 400), rng.random(400) + 1)}
    pool = {"space": _captures(np.arange(60), np.full(60, 0.1))}
    doses = dose_response(synthetic, pool, np.zeros(60, np.bool_), patients, SETTINGS)
    assert [dose.copies for dose in doses] == [0, 3, 30]
    assert doses[0].by_either == 0.0
    assert doses[2].by_contrast == 1.0
    assert doses[2].by_copies == 0.0
    found = dose_response(synthetic, pool, np.ones(60, np.bool_), patients, SETTINGS)
    assert found[1].by_copies == 1.0


def _null_p_values(train: ImageSet, control: ImageSet, synthetic: np.ndarray) -> dict[str, bool]:
    real = np.concatenate([train.images, control.images])
    results = null_comparisons(
        synthetic,
        real,
        [Space("pixels 16", 16, pixel_features(real, 16))],
        number_patients(train, control),
        Searcher(),
        AuditSettings(permutations=999),
    )
    return {result.name: result.fired for result in results}


def test_null_comparisons_are_null_for_a_random_split_and_fire_for_a_biased_one(
    make_images,
) -> None:
    images, keys = make_images(240, seed=21)
    synthetic, _ = make_images(100, seed=22)
    train, control = ImageSet(images[:120], keys[:120]), ImageSet(images[120:], keys[120:])
    assert not any(_null_p_values(train, control, synthetic).values())
    # Control from another device: its images have another common layout.
    biased, other = make_images(120, seed=23)
    fired = _null_p_values(train, ImageSet(biased, other), synthetic)
    assert fired["control posing as synthetic"]
    assert fired["train posing as synthetic"]
    assert not fired["member-only split"]
