from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from bussynth.cohort import Cohort, Row
from bussynth.errors import DataError, UsageError
from bussynth.quality.config import EvaluateConfig
from bussynth.quality.inputs import open_inputs


def test_cohorts_that_fit(real: Cohort, synthetic: Cohort, quick: EvaluateConfig) -> None:
    inputs = open_inputs(synthetic.path, real.path, quick)
    assert inputs.columns == ("birads", "device", "pathology")
    assert inputs.tasks.boxes
    assert inputs.tasks.normals
    assert inputs.counts["synthetic"] == {"images": 60}
    assert inputs.counts["train"]["patients"] + inputs.counts["test"]["patients"] < 60
    assert inputs.to_dict()["real"]["digest"] == real.digest
    assert any("nothing says what the generator learned from" in note for note in inputs.notes)
    assert any("intervals are wide" in note for note in inputs.notes)


def test_all_that_keeps_cohorts_apart_is_listed(
    tmp_path: Path, synthetic: Cohort, quick: EvaluateConfig, real_maker: Callable[..., Cohort]
) -> None:
    whole = real_maker(tmp_path / "whole", 12, split=False)
    other = real_maker(tmp_path / "other", split=False, size=48)
    with pytest.raises(DataError) as refused:
        open_inputs(synthetic, other, quick)
    assert [*map(str, refused.value.problems)] == [
        "synthetic images are of 32x32 pixels, real ones of 48x48",
        f"{other.path} is not split by patient; run `bussynth split {other.path}` first",
    ]
    with pytest.raises(DataError, match="are the arguments swapped") as swapped:
        open_inputs(whole, synthetic, quick)
    assert len(swapped.value.problems) == 2
    with pytest.raises(DataError, match="holds no cohort"):
        open_inputs(tmp_path, synthetic, quick)


def test_too_few_test_patients(
    tmp_path: Path, synthetic: Cohort, quick: EvaluateConfig, real_maker: Callable[..., Cohort]
) -> None:
    small = real_maker(tmp_path / "small", 20)
    with pytest.raises(DataError, match="test patients are fewer than 9"):
        open_inputs(synthetic, small, dataclasses.replace(quick, min_patients=9))


def test_columns_that_are_not_shared(
    tmp_path: Path, real: Cohort, quick: EvaluateConfig, synthetic_maker: Callable[..., Cohort]
) -> None:
    made = synthetic_maker(tmp_path / "s", drop=("device",))
    inputs = open_inputs(made, real, quick)
    assert inputs.columns == ("birads", "pathology")
    assert inputs.reasons == {"device": "the two cohorts do not share it"}
    with pytest.raises(UsageError, match="'device' in both cohorts"):
        open_inputs(made, real, dataclasses.replace(quick, columns=("device",)))
    assert open_inputs(made, real, EvaluateConfig(columns=("birads",))).columns == ("birads",)


def test_a_column_that_hardly_varies_is_not_learned(
    real: Cohort, tmp_path: Path, quick: EvaluateConfig, synthetic_maker: Callable[..., Cohort]
) -> None:
    rows = [
        Row(id=row.id, png=row.png, conditions={"device": "dark"})
        for row in synthetic_maker(tmp_path / "s", 12)
    ]
    made = Cohort.create(
        tmp_path / "t", rows, kind="synthetic", image_size=32, vocabulary=real.vocabulary
    )
    inputs = open_inputs(made, real, quick)
    assert inputs.columns == ()
    assert set(inputs.reasons) == {"birads", "device", "pathology"}


def test_nothing_to_measure(
    tmp_path: Path, synthetic: Cohort, quick: EvaluateConfig, real_maker: Callable[..., Cohort]
) -> None:
    small = real_maker(tmp_path / "small", 60)
    config = dataclasses.replace(quick, min_patients=9)
    with pytest.raises(DataError, match="nothing to measure") as refused:
        open_inputs(synthetic, small, config)
    assert any(problem.startswith("lesion box: ") for problem in refused.value.problems)
    # Fidelity asks for no condition.
    assert open_inputs(synthetic, small, dataclasses.replace(config, fidelity=True)).columns


def test_the_generator_should_have_learned_from_this_split(
    tmp_path: Path, real: Cohort, quick: EvaluateConfig, synthetic_maker: Callable[..., Cohort]
) -> None:
    for digest, words in ((real.digest, None), ("sha256:" + 64 * "0", "another cohort")):
        made = Cohort.create(
            tmp_path / digest[-1],
            [Row(id=row.id, png=row.png, conditions=row.conditions, lesion_box=row.lesion_box)
             for row in synthetic_maker(tmp_path / f"s{digest[-1]}")],
            kind="synthetic",
            image_size=32,
            vocabulary=real.vocabulary,
            provenance={"trained_on": digest},
        )  # fmt: skip
        notes = " ".join(open_inputs(made, real, quick).notes)
        assert ("learned from" in notes) == (words is not None)
        assert words is None or words in notes
