from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bussynth.cohort import Cohort
from bussynth.cohort.cohort import LEDGER_FILE
from bussynth.cohort.split import split_cohort
from bussynth.cohort.split_config import SplitConfig
from bussynth.errors import BussynthError, DataError, IntegrityError, UsageError
from bussynth.review.approval import check_review, record_review
from bussynth.review.folder import ReviewFolder
from bussynth.review.material import read_decisions
from bussynth.review.removal import REJECTED, drop_rejected

Marks = Callable[..., Path]


@pytest.fixture
def rejected(cohort: Path, marks: Marks) -> Path:
    record_review(cohort, [marks(cohort, rejected=["row-0002", "row-0004"])], reviewer="A")
    return cohort


def test_rejected_images_are_gone_and_the_review_is_carried_over(
    rejected: Path, tmp_path: Path
) -> None:
    source = Cohort.open(rejected)
    made, approval = drop_rejected(rejected, tmp_path / "clean")
    kept = {row.id: row.png for row in source if row.id not in ("row-0002", "row-0004")}
    assert {row.id: row.png for row in made} == kept
    assert (made.kind, made.image_size, made.vocabulary) == ("real", (16, 16), source.vocabulary)
    assert made.provenance["review"] == {
        "source": source.digest, "dropped": 2, "times_split": 0,
    }  # fmt: skip
    assert made.provenance["deidentification"] == source.provenance["deidentification"]
    made.verify()
    state = check_review(made.path)
    assert state.approval == approval
    assert (state.state, approval.images, approval.dropped) == ("approved", 6, 2)
    assert {preview.id for preview in ReviewFolder.open(made.path).previews()} == set(kept)
    rows = {row.file: row for row in read_decisions(made.path / "review" / "decisions.jsonl")}
    assert rows[f"{2:032x}"].reason == REJECTED
    assert rows[f"{1:032x}"].images == ("row-0001",)
    assert len(rows) == 10
    # The source is as it was.
    assert check_review(rejected).state == "rejected-left"


def test_no_byte_of_a_rejected_image_is_left(rejected: Path, tmp_path: Path) -> None:
    refused = [row for row in Cohort.open(rejected) if row.id == "row-0002"]
    made, _ = drop_rejected(rejected, tmp_path / "clean")
    written = [file.read_bytes() for file in made.path.rglob("*") if file.is_file()]
    assert len(written) == 5
    assert not any(b"row-0002" in data or refused[0].png in data for data in written)


def test_an_incomplete_review_stays_incomplete(cohort: Path, marks: Marks, tmp_path: Path) -> None:
    some = marks(cohort, looked_at=["row-0001", "row-0002"], rejected=["row-0002"])
    record_review(cohort, [some], reviewer="A")
    made, approval = drop_rejected(cohort, tmp_path / "clean")
    assert (approval.looked_at, approval.images) == (1, 7)
    assert check_review(made.path).state == "incomplete"


def test_the_new_cohort_is_not_split(rejected: Path, tmp_path: Path) -> None:
    split_cohort(rejected, SplitConfig(control=0.2, test=0.2, by=(), seed=1))
    made, _ = drop_rejected(rejected, tmp_path / "clean")
    assert made.split_record is None
    assert {row.split for row in made} == {None}
    assert made.provenance["review"]["times_split"] == 1


def test_what_is_not_dropped(
    cohort: Path, files: Path, marks: Marks, tmp_path: Path, new_cohort: Callable[..., Cohort]
) -> None:
    out = tmp_path / "clean"

    def refused(folder: Path, match: str, error: type[BussynthError], place: Path = out) -> None:
        with pytest.raises(error, match=match):
            drop_rejected(folder, place)
        assert not out.exists()

    refused(cohort, "Nobody", UsageError)
    record_review(cohort, [marks(cohort)], reviewer="A")
    refused(cohort, "rejected no image", UsageError)
    ids = [f"row-{number:04d}" for number in range(8)]
    record_review(cohort, [marks(cohort, rejected=ids)], reviewer="A", force=True)
    refused(cohort, "Every image", DataError)
    record_review(cohort, [marks(cohort, rejected=ids[:1])], reviewer="A", force=True)
    refused(cohort, "overlaps", UsageError, cohort / "inside")
    (cohort / LEDGER_FILE).touch()
    refused(cohort, "nothing spent", UsageError)
    (cohort / LEDGER_FILE).unlink()
    shard = cohort / Cohort.open(cohort).shards[0].path
    shard.write_bytes(shard.read_bytes() + b"x")
    refused(cohort, "damaged", IntegrityError)
    record_review(files, [marks(files, rejected=["2.25.1#0"])], reviewer="A")
    refused(files, "DICOM", UsageError)
    made = new_cohort(tmp_path / "derived", provenance={"derived": {"by": "restyle"}}).path
    record_review(made, [marks(made, rejected=ids[:1])], reviewer="A")
    refused(made, "derived", UsageError)
