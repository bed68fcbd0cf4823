from __future__ import annotations

import numpy as np
import pytest

from audits.encoders import Encoder
from audits.features.pixels import PixelMap
from audits.images import ImageSet, number_patients
from audits.material import Material, prepare_material
from audits.settings import AuditSettings
from audits.spaces import Searcher, SpaceFindings, examine_space, judge_space

SETTINGS = AuditSettings(planted=20, neighbours=4, singled_out=10)


def _pixels(material: Material) -> Encoder:
    return Encoder(PixelMap(16), np.zeros(len(material.real), np.bool_))


@pytest.fixture(scope="module")
def examined(make_images) -> tuple[Material, SpaceFindings]:
    """Two images a patient; the synthetic images are the mirrored images of train patients."""
    images, keys = make_images(30, 2, seed=8)
    train, control = ImageSet(images[:40], keys[:40]), ImageSet(images[40:], keys[40:])
    synthetic = ImageSet(train.images[::2, :, ::-1].copy())
    patients = number_patients(train, control)
    material = prepare_material(synthetic, train, control, patients, SETTINGS)
    return material, examine_space(_pixels(material), material, Searcher(), SETTINGS)


def test_neighbours_agree_with_brute_force(examined) -> None:
    material, found = examined
    space = PixelMap(16)
    real = space.features(material.real).astype(float)
    made = np.stack([
        space.features(material.synthetic), space.features(material.synthetic, mirrored=True)
    ]).astype(float)  # fmt: skip
    table = np.square(real[:, None, None] - made[None]).sum(axis=3).min(axis=1)
    order = np.argsort(table, axis=1, kind="stable")[:, :4]
    np.testing.assert_allclose(
        found.reach.to_synthetic.squared, np.take_along_axis(table, order, 1), atol=1e-9
    )
    # Each synthetic image counts once, at the lesser of its two distances.
    rows = found.reach.to_synthetic.rows
    assert all(len(set(row.tolist())) == 4 for row in rows)
    own = material.patients.of_image
    between = np.square(real[:, None] - real[None]).sum(axis=2)
    between[own[:, None] == own[None, :]] = np.inf
    np.testing.assert_allclose(found.reach.to_others, between.min(axis=1), atol=1e-9)


def test_a_mirrored_copy_is_captured_by_its_patient_at_distance_zero(examined) -> None:
    material, found = examined
    np.testing.assert_allclose(found.captures.squared, 0.0, atol=1e-12)
    np.testing.assert_array_equal(found.captures.patient, material.patients.of_image[:40:2])
    assert found.minima.shape == (10, 30)
    assert (found.minima.min(axis=1) < 1e-12).all()
    assert found.checked == 20
    assert found.mismatch == 0.0


def test_light_copies_admit_a_space_and_their_loss_does_not(examined) -> None:
    _, found = examined
    assert judge_space(found, {"exact": 0.99}, SETTINGS).admitted
    report = judge_space(found, {"exact": 0.99, "mirrored": 0.2}, SETTINGS)
    assert not report.admitted
    assert "mirrored" in report.reasons[0]


def test_shards_do_not_change_a_number(examined) -> None:
    material, found = examined
    again = examine_space(_pixels(material), material, Searcher(shards=3), SETTINGS)
    np.testing.assert_array_equal(again.minima, found.minima)
    np.testing.assert_array_equal(again.copies.synthetic.ratio, found.copies.synthetic.ratio)
    np.testing.assert_array_equal(
        again.reach.to_synthetic.squared, found.reach.to_synthetic.squared
    )
