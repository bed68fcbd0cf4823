from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from bussynth.cohort import Cohort
from bussynth.errors import IntegrityError, UsageError
from bussynth.generator.config import PRESET_NAMES, TrainConfig
from bussynth.generator.network import Architecture
from bussynth.generator.plan import _memory, check_train
from bussynth.generator.presets import PRESETS

TINY = TrainConfig(preset="tiny-32")


def test_plan(cohort: Cohort, tmp_path: Path) -> None:
    plan = check_train(cohort, tmp_path / "m", TINY)
    assert plan.state == "new"
    assert plan.images == cohort.counts["images"] - len(cohort.select(split=["control", "test"]))
    assert 100_000 < plan.parameters < 2_000_000
    assert plan.config.steps == PRESETS["tiny-32"].steps
    assert plan.config.batch_size == PRESETS["tiny-32"].batch_size
    assert plan.memory_mib > 0
    assert plan.to_dict()["config"]["preset"] == "tiny-32"
    assert not (tmp_path / "m").exists()


def test_few_patients_are_not_kept_apart() -> None:
    """With one patient a combination, the prior would hold the box of one."""
    with pytest.raises(UsageError, match="prior_min_patients=4: must be at least 5"):
        TrainConfig(prior_min_patients=4)


def test_a_prediction_that_is_not_given_is_edm(cohort: Cohort, tmp_path: Path) -> None:
    said = TrainConfig(preset="tiny-32", prediction="edm")
    one, other = (check_train(cohort, tmp_path / "m", config) for config in (TINY, said))
    assert one.identity == other.identity
    assert one.identity["prediction"] == "edm"


def test_memory_is_that_of_the_network() -> None:
    shallow = Architecture.of(PRESETS["small-64"], (64, 64), {})
    deep = replace(shallow, layers=3)
    assert _memory(deep, 10**6, 64, 100) > 1.5 * _memory(shallow, 10**6, 64, 100)


def test_minutes_alone_mean_no_limit_in_steps(cohort: Cohort, tmp_path: Path) -> None:
    config = TrainConfig(preset="tiny-32", minutes=3)
    assert check_train(cohort, tmp_path / "m", config).config.steps is None


def test_unsplit_cohort_is_refused(unsplit_cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bussynth split"):
        check_train(unsplit_cohort, tmp_path / "m", TINY)


def test_image_size(cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"16x16.*--preset"):
        check_train(cohort, tmp_path / "m", TrainConfig())
    for name in PRESETS:
        config = TrainConfig(preset=name)
        if 16 % PRESETS[name].divisor() == 0:
            assert check_train(cohort, tmp_path / "m", config).parameters > 0


def test_indivisible_size_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    from bussynth.generator import design

    with pytest.raises(UsageError, match="divisible by 4, but images are 18x16"):
        design._preset(TINY.preset, (16, 18))


def test_presets_are_named_in_the_config() -> None:
    assert ("auto", *PRESETS) == PRESET_NAMES
    for preset in PRESETS.values():
        assert preset.image_size % preset.divisor() == 0
        assert len(preset.channels) == len(preset.attention)


def test_foreign_folder_is_not_replaced(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "diary.txt").touch()
    for force in (False, True):
        with pytest.raises(UsageError, match=r"exists|not replaced"):
            check_train(cohort, tmp_path, TINY, force=force)


def test_finished_model_is_found(cohort: Cohort, model_folder: Path) -> None:
    config = TrainConfig(preset="tiny-32", steps=120, batch_size=8)
    assert check_train(cohort, model_folder, config).state == "finished"
    with pytest.raises(UsageError) as caught:
        check_train(cohort, model_folder, TrainConfig(preset="tiny-32", steps=161, seed=1))
    found = [text.split(":")[0] for text in caught.value.problems]
    assert found == ["seed", "steps"]
    assert check_train(cohort, model_folder, TINY, force=True).state == "new"


def test_cohort_edited_after_the_split_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    shutil.copytree(cohort.path, tmp_path / "c")
    edited = Cohort.open(tmp_path / "c")
    with (edited.path / edited.shards[0].path).open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(IntegrityError, match="damaged"):
        check_train(edited, tmp_path / "m", TINY)
