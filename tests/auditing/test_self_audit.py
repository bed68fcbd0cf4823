from __future__ import annotations

import csv
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bussynth.auditing.self_audit import SelfAudit, self_audit
from bussynth.cohort import Cohort, Row
from bussynth.config import RunOptions
from bussynth.errors import DataError, UsageError
from bussynth.images import encode_png

Worlds = dict[str, Callable[..., Any]]
FILES = ["contact-sheet.internal.html", "duplicates.csv", "duplicates.json"]


@pytest.fixture
def doubled(worlds: Worlds, tmp_path: Path) -> Cohort:
    """A cohort of 20 patients in which three pictures come twice."""
    images = worlds["images"](40, seed=1, size=32)
    images[30] = images[4][:, ::-1]
    images[35] = np.clip(images[6] + 3.0, 0, 255).astype(np.uint8)
    images[9] = images[8]
    rows = [
        Row.from_arrays(
            id=f"image{i:03d}",
            image=image,
            patient=f"secret-{i // 2:03d}",
            conditions={
                "pathology": "benign" if i == 35 else "normal",
                "device": "a" if i % 3 else None,
            },
        )
        for i, image in enumerate(images)
    ]
    vocabulary = {"pathology": ["normal", "benign"], "device": ["a"]}
    return Cohort.create(
        tmp_path / "doubled", rows, kind="phantom", image_size=32, vocabulary=vocabulary,
        rows_per_shard=100,
    )  # fmt: skip


def test_groups_are_found_counted_and_written(doubled: Cohort, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = self_audit(doubled.path, out=out)
    assert isinstance(found, SelfAudit)
    assert not found.clean
    assert {group.rows for group in found.groups} == {(4, 30), (6, 35), (8, 9)}
    report = json.loads((out / "duplicates.json").read_text())
    assert report == found.to_dict()
    assert report["schema"] == "bussynth-self-audit/1"
    assert (report["images"], report["patients"]) == (40, 20)
    assert report["counts"]["across_patients"] == 2
    assert report["counts"]["without_problem"] == 1
    assert report["contradicting"] == {"pathology": 1}
    with (out / "duplicates.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    assert [(row["group"], row["row"]) for row in table[-2:]] == [("3", "8"), ("3", "9")]
    assert table[-1]["problem"] == "within one patient"
    assert {row["problem"] for row in table[:4]} == {
        "across patients", "across patients; contradicting pathology",
    }  # fmt: skip


def test_rows_and_images_are_for_their_owner_and_pseudonyms_for_nobody(
    doubled: Cohort, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    found = self_audit(doubled, out=out)
    assert sorted(path.name for path in out.iterdir()) == FILES
    for name in FILES[:2]:
        assert stat.S_IMODE((out / name).stat().st_mode) == 0o600
    for name in FILES:
        text = (out / name).read_text()
        assert "secret" not in text
        assert "image0" not in text
    assert "rows" not in json.dumps(found.to_dict())
    assert "rows" not in repr(found)
    page = (out / FILES[0]).read_text()
    assert "must stay inside the site" in page
    assert "patient 2 of this group" in page
    assert "device: unknown" in page


def test_a_sound_cohort_is_clean_and_workers_change_nothing(worlds: Worlds, tmp_path: Path) -> None:
    cohort = worlds["real"](tmp_path / "real", patients=12, size=32)
    found = self_audit(cohort, out=tmp_path / "out")
    assert found.clean
    assert found.groups == ()
    assert (tmp_path / "out" / "duplicates.csv").read_text() == "group,row,split,problem\n"
    again = self_audit(cohort, options=RunOptions(workers=2))
    assert again.to_dict() == found.to_dict()


def test_splits_are_compared(worlds: Worlds, tmp_path: Path) -> None:
    images = worlds["images"](8, seed=2, size=32)
    images[5] = images[2]
    rows = [
        Row.from_arrays(
            id=f"i{i}", image=image, patient=f"p{i}", conditions={"pathology": "normal"},
            split="train" if i < 4 else "control",
        )
        for i, image in enumerate(images)
    ]  # fmt: skip
    vocabulary = {"pathology": ["normal"]}
    cohort = Cohort.create(
        tmp_path / "c", rows, kind="phantom", image_size=32, vocabulary=vocabulary, rows_per_shard=9
    )
    found = self_audit(cohort)
    assert found.to_dict()["counts"]["across_splits"] == 1
    assert found.groups[0].splits == ("control", "train")


def test_a_folder_has_unknown_patients_and_may_hold_several_sizes(
    worlds: Worlds, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    images = worlds["images"](12, seed=3, size=32)
    images[7] = images[1]
    for number, image in enumerate(images):
        (folder / f"{number:02d}.png").write_bytes(encode_png(image))
    found = self_audit(folder)
    assert [group.rows for group in found.groups] == [(1, 7)]
    assert not found.clean
    assert found.to_dict()["patients"] is None
    (folder / "12.png").write_bytes(encode_png(np.kron(images[5], np.ones((1, 2), np.uint8))))
    assert [group.rows for group in self_audit(folder).groups] == [(1, 7)]


def test_what_cannot_be_searched_is_refused(
    worlds: Worlds, doubled: Cohort, tmp_path: Path
) -> None:
    synthetic = worlds["synthetic"](tmp_path / "made", worlds["images"](4, seed=4))
    with pytest.raises(UsageError, match="synthetic"):
        self_audit(synthetic)
    with pytest.raises(DataError, match="neither a cohort nor a folder"):
        self_audit(tmp_path / "absent")
    out = tmp_path / "taken"
    out.mkdir()
    (out / "letter.txt").write_text("keep me")
    with pytest.raises(UsageError, match="holds no earlier output"):
        self_audit(doubled, out=out, force=True)
    self_audit(doubled, out=tmp_path / "out")
    with pytest.raises(UsageError, match="exists"):
        self_audit(doubled, out=tmp_path / "out")
    self_audit(doubled, out=tmp_path / "out", force=True)
