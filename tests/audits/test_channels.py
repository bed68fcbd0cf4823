from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audits.channels import (
    CopyExamination,
    FramingSearch,
    examine_copies,
    score_channel,
    search_framings,
)
from audits.copies.listing import list_copies
from audits.copies.nearest import build_nearest
from audits.copies.thresholds import calibrate
from audits.features.pixels import PixelMap
from audits.images import ImageSet, number_patients
from audits.material import Material, prepare_material
from audits.settings import AuditSettings

SETTINGS = AuditSettings(planted=60)


@pytest.fixture(scope="module")
def world(make_images) -> tuple[Material, FramingSearch, CopyExamination]:
    """65 train and 50 control patients; of 45 synthetic images number 3 copies train image 9."""
    images, keys = make_images(160, seed=5)
    train, control = ImageSet(images[:65], keys[:65]), ImageSet(images[65:115], keys[65:115])
    synthetic = images[115:].copy()
    synthetic[3] = np.clip(train.images[9].astype(int) + 3, 0, 255)
    patients = number_patients(train, control)
    material = prepare_material(ImageSet(synthetic), train, control, patients, SETTINGS)
    whole = search_framings(material, SETTINGS, raw_train=train.images, raw_control=control.images)
    coarse = build_nearest(PixelMap(16), material.real, patients.of_image)
    scores = [whole.scores, score_channel(coarse, material)]
    return material, whole, examine_copies(scores, whole.duplicates, material, SETTINGS)


def test_the_copy_is_found_by_every_channel_and_nothing_else_is(world) -> None:
    _, _, found = world
    assert (found.findings.train_images, found.findings.train_patients) == (1, 1)
    assert found.findings.control_images == 0
    assert found.findings.certain
    assert [channel.name for channel in found.channels] == ["framings", "pixels 16"]
    assert all(channel.of_train[3].any() for channel in found.channels)


def test_the_copy_lies_within_the_radius_that_real_images_leave_free(world) -> None:
    _, whole, _ = world
    assert set(zip(whole.near.query.tolist(), whole.near.row.tolist(), strict=True)) == {(3, 9)}
    assert whole.duplicates.across == 0


def test_channels_are_admitted_by_the_light_copies(world) -> None:
    _, _, found = world
    assert found.counting == ("framings", "pixels 16")
    light = set(found.traced["pixels 16"])
    assert {"exact", "mirrored"} <= light
    by_name = {recall.name: recall for recall in found.recalls}
    assert by_name["exact"].by_channel == {"framings": 60, "pixels 16": 60}
    # Coarse pixels cannot follow a large shift, whole pictures under framings can.
    assert (
        by_name["shift 8 %"].by_channel["framings"] > by_name["shift 8 %"].by_channel["pixels 16"]
    )


def test_a_blind_channel_is_not_admitted_and_demonstrates_nothing(world) -> None:
    material, whole, _ = world
    blind = replace(
        whole.scores,
        name="blind",
        planted={
            name: replace(scores, patient=np.full_like(scores.patient, -1))
            for name, scores in whole.scores.planted.items()
        },
    )
    found = examine_copies([blind], whole.duplicates, material, SETTINGS)
    assert not found.channels[0].admitted
    assert "a recall of 0.000 is demonstrated" in found.channels[0].reasons[0]
    assert all(recall.found == 0 for recall in found.recalls)
    # What it sees in the synthetic images still counts: control images keep it specific.
    assert found.findings.train_images == 1


def test_too_few_planted_copies_to_admit_a_channel_are_counted_all_the_same(world) -> None:
    material, whole, found = world
    strict = replace(SETTINGS, min_recall=0.99)
    none = examine_copies([whole.scores], whole.duplicates, material, strict)
    assert not none.channels[0].admitted
    exact = next(recall for recall in none.recalls if recall.name == "exact")
    assert (exact.found, exact.passed) == (60, False)
    assert next(r for r in found.recalls if r.name == "exact").passed


def test_more_comparisons_make_thresholds_stricter(world) -> None:
    _, whole, _ = world
    posing = whole.scores.posing
    none = np.zeros(len(posing), np.bool_)
    few = calibrate(posing, none, SETTINGS, comparisons=100).ratios
    many = calibrate(posing, none, SETTINGS, comparisons=100_000).ratios
    assert all(b < a for a, b in zip(few, many, strict=True))
    declared = calibrate(posing, none, SETTINGS).ratios
    assert max(declared) <= SETTINGS.copy_ratio


def test_copies_are_listed_once_with_the_channels_that_agree(world) -> None:
    material, _, found = world
    (pair,) = list_copies(found.channels, material.synthetic, material.real[: material.n_train])
    assert (pair["synthetic"], pair["train"]) == (3, 9)
    assert pair["channels"] == ["framings", "pixels 16"]
    assert pair["ncc"] > 0.99
    assert not pair["mirrored"]
