from __future__ import annotations

import numpy as np

from audits.controls.nulls import null_comparison, plan_nulls
from audits.features.pixels import PixelMap
from audits.images import ImageSet, number_patients
from audits.settings import AuditSettings
from audits.spaces import Searcher

SETTINGS = AuditSettings(permutations=999)


def _fired(train: ImageSet, control: ImageSet, synthetic: np.ndarray) -> dict[str, bool]:
    space, searcher = PixelMap(16), Searcher()
    real = np.concatenate([train.images, control.images])
    versions = [(space.features(x), space.features(x, mirrored=True)) for x in (real, synthetic)]
    plans = plan_nulls(number_patients(train, control), SETTINGS.seed)
    fired = {}
    for plan in plans:
        posing = (
            versions[1]
            if plan.posing is None
            else (versions[0][0][plan.posing], versions[0][1][plan.posing])
        )
        found = searcher.captures(posing, versions[0][0][plan.rows], plan.patients.of_image, 8)
        result = null_comparison(plan, {space.name: found}, len(plans), SETTINGS)
        assert result.n_images == len(posing[0])
        fired[plan.name] = result.fired
    return fired


def test_null_for_a_random_split_and_firing_for_a_biased_one(make_images) -> None:
    images, keys = make_images(240, seed=21)
    synthetic, _ = make_images(100, seed=22)
    train, control = ImageSet(images[:120], keys[:120]), ImageSet(images[120:], keys[120:])
    assert not any(_fired(train, control, synthetic).values())
    # Control from another device: its images have another common layout.
    biased, other = make_images(120, seed=23)
    fired = _fired(train, ImageSet(biased, other), synthetic)
    assert fired["control posing as synthetic"]
    assert fired["train posing as synthetic"]
    assert not fired["member-only split"]


def test_without_captures_nothing_fires() -> None:
    patients = number_patients(
        ImageSet(np.zeros((1, 8, 8), np.uint8), ["a"]),
        ImageSet(np.zeros((1, 8, 8), np.uint8), ["b"]),
    )
    for plan in plan_nulls(patients, 0):
        result = null_comparison(plan, {}, 3, SETTINGS)
        assert result.p_value is None
        assert not result.fired
