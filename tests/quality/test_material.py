from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bussynth.cohort import Cohort
from bussynth.errors import DataError, IntegrityError, UsageError
from bussynth.quality.material import Facts, Material


def test_a_cohort_is_read_in_order(real: Cohort) -> None:
    view = real.select("test")
    material = Material.from_cohort(view)
    rows = list(view)
    assert len(material) == len(rows)
    assert material.size == (32, 32)
    facts = material.facts
    for i, row in enumerate(rows):
        assert np.array_equal(material.images[i], row.image)
        assert {column: facts.conditions[column][i] for column in facts.conditions} == dict(
            row.conditions
        )
        assert facts.is_normal[i] == (row.conditions["pathology"] == "normal")
        assert facts.has_box[i] == (row.lesion_box is not None)
        if row.lesion_box is not None:
            assert facts.boxes[i].tolist() == list(row.lesion_box)
    same = [[a.patient == b.patient for a in rows] for b in rows]
    assert np.array_equal(facts.patients[:, None] == facts.patients, same)


def test_synthetic_images_count_for_themselves(synthetic: Cohort) -> None:
    assert Facts.from_cohort(synthetic).patients.tolist() == list(range(60))


def test_labels_number_known_values() -> None:
    facts = Facts.of(4, conditions={"device": ["b", None, "a", "c"]})
    assert facts.labels("device", ["a", "b"]).tolist() == [1, -1, 0, -1]
    # A box contradicts "normal", so neither is taken for granted.
    odd = Facts.of(2, conditions={"pathology": ["normal"] * 2}, boxes=[[0, 0, 1, 1], None])
    assert odd.is_normal.tolist() == [False, True]
    assert not Facts.of(2).is_normal.any()


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="2 values for 3 images"):
        Facts.of(3, conditions={"device": ["a", "b"]})
    with pytest.raises(UsageError, match="boxes"):
        Facts.of(3, boxes=[None])
    with pytest.raises(UsageError, match="2 keys for 3 images"):
        Facts.of(3, patients=["a", "b"])
    with pytest.raises(UsageError, match="uint8"):
        Material(images=np.zeros((1, 4, 4)), facts=Facts.of(1))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="2 of 1"):
        Material(images=np.zeros((1, 4, 4), np.uint8), facts=Facts.of(2))


def test_damage_and_emptiness_are_found(
    tmp_path, real: Cohort, real_maker: Callable[..., Cohort]
) -> None:
    with pytest.raises(DataError, match="no images"):
        Material.from_cohort(real.select("train", device="bright", pathology=[]))
    cohort = real_maker(tmp_path / "c", 40)
    shard = cohort.path / cohort.shards[0].path
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match="damaged"):
        Material.from_cohort(cohort)
