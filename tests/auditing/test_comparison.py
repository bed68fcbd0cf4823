from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bussynth.auditing.comparison import open_comparison, open_real
from bussynth.cohort import Cohort
from bussynth.errors import DataError, UsageError

Worlds = dict[str, Callable[..., Any]]


def test_a_split_cohort_is_a_randomised_comparison(real: Cohort, synthetic: Cohort) -> None:
    for arguments in ({"real": real.path}, {"train": real.path, "control": real.path}):
        found = open_comparison(synthetic.path, **arguments)
        assert found.randomised
        assert found.doubts == ()
        assert found.notes == ()
        assert found.n_patients("control") == 10
        assert found.patients is not None
        assert found.strata is not None
        assert len(found.strata["train"]) == len(found.train) == len(found.patients["train"])
        assert set(found.strata["train"]) == {"normal / a", "benign / a"}
        assert "seed" not in found.split
        assert "secret" not in repr(found)


def test_a_view_keeps_the_lottery_only_for_both(real: Cohort, synthetic: Cohort) -> None:
    view = real.select(pathology="benign")
    assert open_comparison(synthetic, real=view).randomised
    found = open_comparison(synthetic, train=view, control=real)
    assert not found.randomised
    assert "Only some" in found.doubts[0]
    assert found.strata is None


def test_copies_of_one_cohort_agree_other_lotteries_do_not(
    real: Cohort, synthetic: Cohort, worlds: Worlds, tmp_path: Path
) -> None:
    shutil.copytree(real.path, tmp_path / "copy")
    assert open_comparison(synthetic, train=real, control=tmp_path / "copy").randomised
    other = worlds["real"](tmp_path / "other", seed=2)
    found = open_comparison(synthetic, train=real, control=other)
    assert "two different lotteries" in found.doubts[0]


def test_an_altered_lottery_is_noticed(real: Cohort, synthetic: Cohort, tmp_path: Path) -> None:
    shutil.copytree(real.path, tmp_path / "copy")
    file = tmp_path / "copy" / "cohort.json"
    manifest = json.loads(file.read_text())
    manifest["split"]["assignment_sha256"] = "0" * 64
    file.write_text(json.dumps(manifest))
    found = open_comparison(synthetic, real=tmp_path / "copy")
    assert not found.randomised
    assert "recorded" in found.doubts[0]


def test_another_training_cohort_is_refused(real: Cohort, worlds: Worlds, tmp_path: Path) -> None:
    images = worlds["images"](3, 5)
    wrong = worlds["synthetic"](tmp_path / "a", images, {"trained_on": "sha256:" + "0" * 64})
    with pytest.raises(DataError, match="trained on another cohort"):
        open_comparison(wrong, real=real)
    silent = worlds["synthetic"](tmp_path / "b", images)
    assert "on trust" in open_comparison(silent, real=real).notes[0]


def test_arguments_that_contradict(real: Cohort, synthetic: Cohort, worlds: Worlds,
                                   tmp_path: Path) -> None:  # fmt: skip
    for arguments in ({}, {"real": real, "train": real}, {"train": real}, {"control": real}):
        with pytest.raises(UsageError):
            open_comparison(synthetic, **arguments)
    unsplit = worlds["real"](tmp_path / "unsplit", split=False)
    with pytest.raises(UsageError, match="not split"):
        open_comparison(synthetic, real=unsplit)
    with pytest.raises(UsageError, match="real must be"):
        open_comparison(synthetic, real=worlds["images"](2, 1))
    with pytest.raises(UsageError, match="patient table"):
        open_comparison(synthetic, real=real, patients=tmp_path / "p.csv")


def test_a_patient_in_both_roles_is_refused(worlds: Worlds, tmp_path: Path) -> None:
    images = worlds["images"](6, 1)
    keys = {"train": ["DOE", "b"], "control": ["c", "DOE"]}
    with pytest.raises(DataError, match="both train and control") as caught:
        open_comparison(images[:2], train=images[2:4], control=images[4:], patients=keys)
    assert caught.value.problems == ("image 2 of control",)
    assert "DOE" not in str(caught.value)
    unsplit = worlds["real"](tmp_path / "r", split=False)
    with pytest.raises(DataError, match="both train and control"):
        open_comparison(images[:2], train=unsplit, control=unsplit)


def test_folders_are_exploratory(worlds: Worlds, tmp_path: Path) -> None:
    images = worlds["images"](6, 1)
    paths = [
        worlds["folder"](tmp_path / name, images[i : i + 2], name)
        for name, i in (("syn", 0), ("train", 2), ("control", 4))
    ]
    unknown = open_comparison(paths[0], train=paths[1], control=paths[2])
    assert unknown.patients is None
    assert not unknown.randomised
    assert unknown.n_patients("train") is None
    table = tmp_path / "patients.csv"
    rows = [f"{name}{i:03d}.png,{name}{i}" for name in ("train", "control") for i in range(2)]
    table.write_text("file,patient\n" + "\n".join(rows))
    known = open_comparison(paths[0], train=paths[1], control=str(paths[2]), patients=table)
    assert known.n_patients("train") == 2
    assert "No recorded lottery" in known.doubts[0]
    assert known.strata is None


def test_patients_of_one_side_only(real: Cohort, synthetic: Cohort, worlds: Worlds,
                                   tmp_path: Path) -> None:  # fmt: skip
    folder = worlds["folder"](tmp_path / "c", worlds["images"](2, 1))
    with pytest.raises(UsageError, match="control: its patients are unknown"):
        open_comparison(synthetic, train=real, control=folder)
    with pytest.raises(DataError, match="1 patients for 2 images"):
        open_comparison(synthetic, train=real, control=folder, patients={"control": ["x"]})
    with pytest.raises(UsageError, match="must be train or control"):
        open_comparison(synthetic, train=real, control=folder, patients={"train": ["x"]})


def test_sizes_must_agree(real: Cohort, worlds: Worlds, tmp_path: Path) -> None:
    small = worlds["synthetic"](tmp_path / "s", worlds["images"](2, 1, 8))
    with pytest.raises(DataError, match="different sizes") as caught:
        open_comparison(small, real=real)
    assert caught.value.problems[0] == "train: 16x16, but synthetic: 8x8"
    images, large = worlds["images"](4, 1, 8), worlds["images"](2, 1, 16)
    folder = worlds["folder"](tmp_path / "f", large)
    found = open_comparison(images[:2], train=folder, control=images[2:])
    assert "letterboxed to 8x8" in found.notes[0]
    mixed = worlds["folder"](tmp_path / "m", large)
    worlds["folder"](tmp_path / "m" / "sub", images)
    with pytest.raises(DataError, match="2 different sizes"):
        open_comparison(mixed, train=images, control=images)


def test_the_same_images_in_both_roles_are_refused(worlds: Worlds, tmp_path: Path) -> None:
    images = worlds["images"](4, 1)
    folder = worlds["folder"](tmp_path / "train", images[:2])
    copied = worlds["folder"](tmp_path / "control", images[:2][::-1], "other_names_")
    for train, control in ((folder, folder), (folder, copied), (images[:2], images[:2].copy())):
        with pytest.raises(DataError, match="train and control are the same images"):
            open_comparison(images[2:], train=train, control=control)


def test_real_images_can_be_opened_alone(real: Cohort, worlds: Worlds) -> None:
    train, control = open_real(real=real)
    assert (train.role, control.role) == ("train", "control")
    assert len(train) == real.counts["splits"]["train"]
    with pytest.raises(UsageError, match="Give either"):
        open_real()
