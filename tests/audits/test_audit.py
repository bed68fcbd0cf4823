from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from audits.audit import audit_images
from audits.errors import AuditInputError
from audits.images import ImageSet
from audits.settings import AuditSettings
from audits.verdict import State

SMALL = AuditSettings(
    permutations=299,
    bootstrap=50,
    planted=60,
    dose=(3, 30),
    dose_repeats=3,
    min_control_patients=40,
    encoders=0,
)
TINY = AuditSettings(
    permutations=99, bootstrap=20, planted=4, dose=(3,), dose_repeats=1, encoders=0
)


@pytest.fixture
def cohort(make_images) -> tuple[np.ndarray, ImageSet, ImageSet]:
    """One population of 165 patients: 60 synthetic images, 65 train and 40 control patients."""
    images, keys = make_images(165, seed=30)
    train = ImageSet(images[60:125], keys[60:125])
    return images[:60], train, ImageSet(images[125:], keys[125:])


def test_independent_images_give_no_evidence_and_loosened_settings_no_clean_verdict(cohort) -> None:
    synthetic, train, control = cohort
    stages: list[tuple[str, int, int]] = []
    result = audit_images(
        ImageSet(synthetic),
        train,
        control,
        settings=SMALL,
        randomised_split=True,
        progress=lambda *stage: stages.append(stage),
    )
    # Nothing is found, but a threshold below its default may not end in a clean verdict.
    assert result.verdict.state is State.INCONCLUSIVE
    assert result.verdict.failures == ()
    settings = [limit for limit in result.verdict.limits if limit.startswith("The setting")]
    assert [limit.split()[2] for limit in settings] == [
        *("min_control_patients", "encoders", "planted"),
    ]
    assert [test.name for test in result.tests] == [
        "identity", "copies", "contrast", "disclosure", "membership", "singling_out",
        "linkability", "inference", "dp_bound",
    ]  # fmt: skip
    assert not any(p <= SMALL.alpha for p in result.verdict.adjusted.values())
    assert all(space.admitted for space in result.spaces if space.family == "pixels")
    assert result.private["copies"] == []
    assert result.limit_of_detection["either"] == 3
    assert stages[-1][0] == "done"
    assert [done for _, done, _ in stages] == sorted(done for _, done, _ in stages)
    text = json.dumps([result.to_dict(), result.aggregate()], allow_nan=False)
    assert "anonym" not in text.lower()
    assert not any(key in text for key in train.patients or ())


def test_noisy_copies_fail_and_are_listed_for_the_site_only(cohort) -> None:
    synthetic, train, control = cohort
    rng = np.random.default_rng(0)
    planted = synthetic.copy()
    noise = rng.normal(0, 4, (2, 32, 32))
    planted[[5, 9]] = np.clip(train.images[[11, 23]] + noise, 0, 255).astype(np.uint8)
    result = audit_images(ImageSet(planted), train, control, settings=TINY, randomised_split=True)
    assert result.verdict.state is State.FAIL
    assert "2 synthetic images are near-copies" in result.verdict.reasons[0]
    pairs = {(pair["synthetic"], pair["train"]) for pair in result.private["copies"]}
    assert pairs == {(5, 11), (9, 23)}
    aggregate = result.aggregate()
    assert "histograms" not in aggregate
    assert "private" not in result.to_dict()


def test_an_exact_mirrored_copy_fails_with_three_control_patients(cohort) -> None:
    synthetic, train, control = cohort
    planted = synthetic.copy()
    planted[0] = train.images[4, :, ::-1]
    few = ImageSet(control.images[:3], (control.patients or ())[:3])
    result = audit_images(ImageSet(planted), train, few, settings=TINY, randomised_split=True)
    assert result.verdict.state is State.FAIL
    assert result.private["identical_to_train"][0]["orientation"] == "mirrored left-right"


def test_three_control_patients_work_and_say_why_they_do_not_suffice(cohort) -> None:
    synthetic, train, control = cohort
    few = ImageSet(control.images[:3], (control.patients or ())[:3])
    result = audit_images(ImageSet(synthetic), train, few, settings=TINY, randomised_split=True)
    assert result.verdict.state is State.INCONCLUSIVE
    assert any("There are 3 control patients" in reason for reason in result.verdict.reasons)


def test_a_duplicate_between_train_and_control_voids_the_audit(cohort) -> None:
    synthetic, train, control = cohort
    images = control.images.copy()
    images[7] = train.images[3]
    result = audit_images(
        ImageSet(synthetic),
        train,
        ImageSet(images, control.patients),
        settings=TINY,
        randomised_split=True,
    )
    assert result.verdict.state is State.INCONCLUSIVE
    assert result.duplicates == {"identical": 1, "near": 1, "within_control": 0}
    assert any("1 control images are duplicates" in reason for reason in result.verdict.reasons)


@pytest.mark.parametrize("shards", [2, 5])
def test_shards_and_executors_do_not_change_a_byte(cohort, shards: int) -> None:
    synthetic, train, control = cohort

    def run(**how: Any) -> str:
        result = audit_images(
            ImageSet(np.repeat(synthetic, 3, axis=0)),
            train,
            control,
            settings=TINY,
            randomised_split=True,
            **how,
        )
        return json.dumps([result.to_dict(), result.private], allow_nan=False)

    with ThreadPoolExecutor(2) as pool:
        assert run(shards=shards, executor=pool) == run()


@pytest.mark.parametrize("empty", ["synthetic", "train", "control", "all"])
def test_empty_sets_are_inconclusive(cohort, empty: str) -> None:
    synthetic, train, control = cohort
    none = np.empty((0, 32, 32), np.uint8)
    sets = {
        "synthetic": ImageSet(synthetic[:20]),
        "train": ImageSet(train.images[:20], (train.patients or ())[:20]),
        "control": ImageSet(control.images[:20], (control.patients or ())[:20]),
    }
    for name in sets:
        if empty in (name, "all"):
            sets[name] = ImageSet(none, None if name == "synthetic" else [])
    result = audit_images(**sets, settings=TINY, randomised_split=True)
    assert result.verdict.state is State.INCONCLUSIVE
    json.dumps([result.to_dict(), result.aggregate()], allow_nan=False)


def test_single_and_identical_images_have_a_defined_outcome(cohort) -> None:
    synthetic, train, control = cohort
    one = [ImageSet(synthetic[:1]), ImageSet(train.images[:1]), ImageSet(control.images[:1])]
    assert audit_images(*one, settings=TINY, randomised_split=True).verdict.state is (
        State.INCONCLUSIVE
    )
    same = np.repeat(train.images[:1], 12, axis=0)
    alike = audit_images(
        ImageSet(same),
        ImageSet(same, [f"t{i}" for i in range(12)]),
        ImageSet(same, [f"c{i}" for i in range(12)]),
        settings=TINY,
        randomised_split=True,
    )
    assert alike.verdict.state is State.FAIL
    assert alike.duplicates["identical"] == 12
    flat = np.full((12, 32, 32), 40, np.uint8)
    blank = audit_images(
        ImageSet(flat), ImageSet(flat), ImageSet(flat), settings=TINY, randomised_split=True
    )
    assert blank.verdict.state is State.INCONCLUSIVE
    json.dumps(blank.to_dict(), allow_nan=False)


def test_unusable_input_is_refused_before_any_work(cohort) -> None:
    synthetic, train, control = cohort
    with pytest.raises(AuditInputError, match="in both train and control"):
        audit_images(
            ImageSet(synthetic),
            train,
            ImageSet(control.images, (train.patients or ())[:40]),
            randomised_split=True,
        )
