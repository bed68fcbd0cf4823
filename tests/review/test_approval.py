from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bussynth.cohort import Cohort
from bussynth.cohort.split import split_cohort
from bussynth.cohort.split_config import SplitConfig
from bussynth.errors import BussynthError, DataError, IntegrityError, UsageError
from bussynth.review.approval import check_review, record_review, rejected_files
from bussynth.review.material import read_previews, write_previews

Marks = Callable[..., Path]


def test_a_review_goes_from_none_to_approved(cohort: Path, marks: Marks) -> None:
    assert check_review(cohort).state == "none"
    some = marks(cohort, looked_at=["row-0001", "row-0002"])
    first = record_review(cohort, [some], reviewer="A. Example")
    assert (first.looked_at, first.images, first.complete) == (2, 8, False)
    assert check_review(cohort).state == "incomplete"
    every = marks(cohort)
    with pytest.raises(UsageError, match=r"by A\. Example"):
        record_review(cohort, [every], reviewer="B")
    bad = marks(cohort, "bad.json", rejected=["row-0003"])
    record_review(cohort, [bad], reviewer="B", force=True)
    assert check_review(cohort).state == "rejected-left"
    record_review(cohort, [every], reviewer="B", force=True)
    state = check_review(cohort)
    assert (state.state, state.approved) == ("approved", True)
    saved = json.loads((cohort / "review" / "approval.json").read_text())
    assert set(saved) == {
        *("schema", "digest", "previews", "reviewer", "recorded", "images", "looked_at"),
        *("rejected", "complete", "dropped"),
    }
    assert (saved["schema"], saved["reviewer"]) == ("bussynth-review/1", "B")


def test_several_files_are_joined_and_a_rejection_wins(cohort: Path, marks: Marks) -> None:
    ids = [f"row-{number:04d}" for number in range(8)]
    one = marks(cohort, "1.json", looked_at=ids[:5], rejected=ids[4:5])
    two = marks(cohort, "2.json", looked_at=ids[4:])
    made = record_review(cohort, [one, two], reviewer="A")
    assert (made.looked_at, made.rejected, made.complete) == (8, ("row-0004",), True)
    assert rejected_files(cohort, made) == [f"{4:032x}"]


def test_recording_a_split_keeps_the_review(cohort: Path, marks: Marks) -> None:
    record_review(cohort, [marks(cohort)], reviewer="A")
    before = Cohort.open(cohort).digest
    split_cohort(cohort, SplitConfig(control=0.2, test=0.2, by=(), seed=1))
    assert Cohort.open(cohort).digest != before
    assert check_review(cohort).state == "approved"


def test_other_images_or_pictures_make_it_stale(
    cohort: Path, marks: Marks, new_cohort: Callable[..., Cohort], tmp_path: Path
) -> None:
    approval = cohort / "review" / "approval.json"
    record_review(cohort, [marks(cohort)], reviewer="A")
    other = new_cohort(tmp_path / "other", n=7).path
    (other / "review" / "approval.json").write_bytes(approval.read_bytes())
    assert check_review(other).state == "stale"
    pictures = cohort / "review" / "previews.parquet"
    write_previews(pictures, [*read_previews(pictures)][::-1])
    assert check_review(cohort).state == "stale"
    # Pictures of patients may be deleted when the review is done.
    pictures.unlink()
    assert check_review(cohort).state == "approved"


def test_files_are_reviewed_too(files: Path, marks: Marks) -> None:
    record_review(files, [marks(files)], reviewer="A")
    assert check_review(files).state == "approved"
    (files / "images" / "a.dcm").write_bytes(b"DICM b")
    assert check_review(files).state == "stale"
    (files / "images" / "a.dcm").write_bytes(b"DICM a")
    (files / "images" / "b.dcm").symlink_to(files / "images" / "a.dcm")
    with pytest.raises(DataError, match="link"):
        check_review(files)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"schema": "x"}, DataError),
        ({"more": 1}, DataError),
        ({"digest": "sha256:" + "0" * 64}, IntegrityError),
        ({"previews": None}, IntegrityError),
        ({"looked_at": ["row-0001", "row-0001"]}, DataError),
        ({"looked_at": "row-0001"}, DataError),
        ({"looked_at": [1]}, DataError),
        ({"looked_at": ["foreign"]}, DataError),
        ({"looked_at": [], "rejected": ["row-0001"]}, DataError),
        ({"saved": [[[[1]]]]}, DataError),
    ],
)
def test_bad_marks_are_refused(
    cohort: Path, marks: Marks, changes: Any, error: type[BussynthError]
) -> None:
    file = marks(cohort, "patient-name.json", **changes)
    with pytest.raises(error) as caught:
        record_review(cohort, [file], reviewer="A")
    assert "patient-name" not in str(caught.value)
    assert "foreign" not in str(caught.value)
    assert check_review(cohort).state == "none"


@pytest.mark.parametrize("text", ["no json", '{"schema": 1, "schema": 1}', "\x00", "NaN"])
def test_marks_that_are_no_json_are_refused(cohort: Path, tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text)
    for file in (tmp_path / "m.json", tmp_path / "absent.json", tmp_path):
        with pytest.raises(DataError, match="File 1 of 1"):
            record_review(cohort, [file], reviewer="A")


def test_a_reviewer_has_a_name(cohort: Path, marks: Marks) -> None:
    for name in ("", "two\nlines", "x" * 201):
        with pytest.raises(UsageError, match="reviewer"):
            record_review(cohort, [marks(cohort)], reviewer=name)


@pytest.mark.parametrize(
    "changes",
    [
        {"looked_at": 9},
        {"complete": False},
        {"rejected": ["b", "a"]},
        {"reviewer": ""},
        {"recorded": "yesterday"},
        {"dropped": -1},
        {"digest": "x"},
        {"more": 1},
    ],
)
def test_an_edited_approval_is_refused(cohort: Path, marks: Marks, changes: Any) -> None:
    record_review(cohort, [marks(cohort)], reviewer="A")
    file = cohort / "review" / "approval.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(IntegrityError, match="record the review again"):
        check_review(cohort)


def test_images_without_a_picture_are_not_reviewed(cohort: Path, marks: Marks) -> None:
    file = marks(cohort)
    pictures = cohort / "review" / "previews.parquet"
    rows = [*read_previews(pictures)]
    write_previews(pictures, rows[:-1])
    with pytest.raises(DataError, match="1 images have no picture"):
        record_review(cohort, [file], reviewer="A")
    write_previews(pictures, [*rows, rows[0]])
    with pytest.raises(IntegrityError, match="twice"):
        record_review(cohort, [file], reviewer="A")
    write_previews(pictures, [])
    with pytest.raises(DataError, match="nothing to review"):
        record_review(cohort, [file], reviewer="A")


def test_what_cannot_be_reviewed(
    tmp_path: Path, new_cohort: Callable[..., Cohort], marks: Marks
) -> None:
    with pytest.raises(DataError, match="nothing to review"):
        check_review(tmp_path)
    made = new_cohort(tmp_path / "c").path
    record = made / "cohort.json"
    text = record.read_text()
    record.write_text(text.replace('"real"', '"synthetic"'))
    with pytest.raises(DataError, match="synthetic"):
        check_review(made)
