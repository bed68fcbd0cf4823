"""Judges of a toy world: what they can see they recognise, the rest they do not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bussynth.cohort import Cohort
from bussynth.errors import DataError, UsageError
from bussynth.quality.config import EvaluateConfig
from bussynth.quality.material import Facts, Material
from bussynth.quality.obedience import Judge


def test_obedient_images_are_recognised(judge: Judge, synthetic: Cohort) -> None:
    found = judge.measure(synthetic)
    by_column = {one.column: one for one in found.recognition}
    device = by_column["device"]
    assert device.values == ("dark", "bright")
    assert device.left_out == ("rare",)
    assert device.auc.real.value > 0.9
    assert device.auc.synthetic.value > 0.9
    assert device.auc.shuffled.high < 0.8
    assert abs(by_column["birads"].auc.synthetic.value - 0.5) < 0.25
    located = found.localisation
    assert located is not None
    assert located.iou.synthetic.value > located.iou.shuffled.high
    assert located.centre.real.value > located.centre.shuffled.high
    assert found.presence is not None
    assert found.presence.images["synthetic"] == {"normal": 20, "lesion": 40}
    assert found.reasons == {}


def test_disobedient_images_are_not(judge: Judge, synthetic: Cohort) -> None:
    made = Material.from_cohort(synthetic)
    order = np.random.default_rng(0).permutation(len(made))
    lies = Facts(
        conditions={
            column: tuple(values[i] for i in order)
            for column, values in made.facts.conditions.items()
        },
        boxes=made.facts.boxes[order],
        patients=made.facts.patients,
    )
    found = judge.measure(Material(images=made.images, facts=lies))
    device = next(one for one in found.recognition if one.column == "device")
    assert device.auc.real.value > 0.9
    assert device.auc.synthetic.value < 0.8
    assert found.localisation is not None
    assert found.localisation.iou.difference.high < 0


def test_one_judge_measures_many_sets_the_same_way(judge: Judge, synthetic: Cohort) -> None:
    first = judge.measure(synthetic)
    judge.measure(synthetic.select(pathology="benign"))
    assert judge.measure(synthetic).to_dict() == first.to_dict()


def test_what_was_not_requested_is_not_measured(judge: Judge, synthetic: Cohort) -> None:
    images = Material.from_cohort(synthetic).images
    found = judge.measure(Material(images=images, facts=Facts.of(len(images))))
    assert found.recognition == ()
    assert found.localisation is None
    assert found.presence is None
    assert set(found.reasons) == {"birads", "device", "pathology", "lesion box", "normal"}
    lesions = judge.measure(synthetic.select(pathology="benign"))
    assert lesions.localisation is not None
    assert lesions.presence is None
    assert "without, a lesion" in lesions.reasons["normal"]
    assert "fewer than two of its values" in lesions.reasons["pathology"]


def test_the_seed_decides(real: Cohort, synthetic: Cohort, quick: EvaluateConfig) -> None:
    quick = dataclasses.replace(quick, steps=2, columns=("device",))
    one, two = (Judge.fit(real, config=quick).measure(synthetic).to_dict() for _ in range(2))
    other = Judge.fit(real, config=dataclasses.replace(quick, seed=1)).measure(synthetic)
    assert one == two
    assert other.to_dict() != one


def test_wrong_material_is_refused(
    judge: Judge, real: Cohort, synthetic: Cohort, quick: EvaluateConfig
) -> None:
    large = Material(images=np.zeros((6, 40, 40), np.uint8), facts=Facts.of(6))
    with pytest.raises(DataError, match="40x40"):
        judge.measure(large)
    with pytest.raises(DataError, match="differ in size"):
        Judge.fit_material(Material.from_cohort(real.select("train")), large, vocabulary={})
    with pytest.raises(UsageError, match='did you mean "device"'):
        Judge.fit(real, columns=["devise"], config=quick)
    with pytest.raises(UsageError, match="not split"):
        Judge.fit(synthetic, config=quick)
