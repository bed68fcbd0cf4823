"""What only shows when all files are seen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bussynth.dicom.conflicts import settle_conflicts
from bussynth.dicom.record import FileRecord, ImageRecord, ObjectRecord


def record(number: int, **values: Any) -> FileRecord:
    """A kept file of one image, like no other unless told."""
    digest = values.pop("digest", f"digest {number}")
    digests = digest if isinstance(digest, tuple) else (digest,)
    filled: dict[str, Any] = {
        "number": number,
        "name": f"name {number}",
        "size": 1,
        "changed": 1,
        "decision": "kept",
        "reason": "kept",
        "uid": f"uid {number}",
        "patient": f"patient {number}",
        "identity": f"identity {number}",
        "birth": "born",
        "images": tuple(
            ImageRecord(
                id=f"{number}.{place}", part=0, frame=place, rectangle=(0, 0, 1, 1), digest=d
            )
            for place, d in enumerate(digests)
        ),
        "objects": (ObjectRecord(uid="u", path=f"{number}", bytes=1, sha256=f"{number}"),),
    }
    return FileRecord(**filled | values)


def settled(*records: FileRecord, **options: Any) -> list[str]:
    done = settle_conflicts(records, **options)
    assert [one.number for one in done] == [one.number for one in records]
    for before, after in zip(records, done, strict=True):
        if after.reason == "kept":
            assert after == before
        elif before.reason == "kept":
            assert after.images == ()
            assert after.objects == ()
            assert after.decision == ("left-out" if after.reason == "duplicate" else "quarantined")
            assert after.why
        else:
            assert after == before
    return [one.reason for one in done]


def test_files_without_conflict() -> None:
    assert settled() == []
    assert settled(record(1), record(2), record(3)) == ["kept"] * 3
    same = {"patient": "p", "identity": "i"}
    assert settled(record(1, **same), record(2, **same)) == ["kept"] * 2


def test_equal_objects_are_kept_once() -> None:
    same = {"uid": "u", "patient": "p", "identity": "i", "digest": "d"}
    assert settled(record(3, **same), record(1, **same), record(7, **same)) == [
        *("kept", "duplicate", "duplicate")
    ]


@pytest.mark.parametrize("other", [{"digest": "e"}, {"patient": "q"}, {"digest": ("d", "d")}])
def test_different_objects_of_one_uid_wait(other: dict[str, Any]) -> None:
    same = {"uid": "u", "patient": "p", "identity": "i", "digest": "d"}
    for options in ({}, {"trust_patient_ids": True}):
        reasons = settled(
            record(1, **same), record(2, **same), record(3, **same | other), **options
        )
        assert reasons == ["two-objects-one-uid"] * 3


def test_a_copy_that_is_not_kept_is_no_conflict() -> None:
    same = {"uid": "u", "patient": "p", "identity": "i", "digest": "d"}
    first = record(1, **same | {"digest": "e"}, decision="quarantined", reason="text")
    assert settled(first, record(2, **same)) == ["text", "kept"]


def test_two_patients_under_one_id() -> None:
    files = (
        record(1, patient="p", birth="a", identity="x"),
        record(2, patient="p", birth="b", identity="y"),
        record(3, patient="p", birth="", identity=""),
        record(4, patient="q", birth="a"),
    )
    # One without a birth date goes where nobody can say whose it is.
    assert settled(*files) == [*["two-patients-one-id"] * 3, "kept"]
    assert settled(*files, trust_patient_ids=True) == ["kept"] * 4


def test_one_patient_under_two_ids() -> None:
    files = (record(1, identity="x"), record(2, identity="x"), record(3, identity=""))
    assert settled(*files) == ["one-patient-two-ids", "one-patient-two-ids", "kept"]
    assert settled(*files, trust_patient_ids=True) == ["kept"] * 3


def test_one_study_of_two_patients() -> None:
    # Nobody says when they were born, so names tell nothing.
    nameless = {"identity": "", "birth": ""}
    files = (
        record(1, study="s", **nameless),
        record(2, study="s", **nameless),
        record(3, study="t", **nameless),
        record(4, study="t", patient="patient 3", **nameless),
    )
    assert settled(*files) == [*["one-study-two-patients"] * 2, "kept", "kept"]
    assert settled(*files, trust_patient_ids=True) == ["kept"] * 4


@pytest.mark.parametrize("trust", [True, False])
def test_one_image_of_two_patients(trust: bool) -> None:
    files = [
        record(1, digest=("a", "b")),
        record(2, digest=("c", "a")),
        record(3, digest="d"),
        record(4, digest="d", patient="patient 3"),
        record(5, patient="patient 1"),
    ]
    # Another file of the patient is in no doubt: it is the image that was filed twice.
    expected = [*["one-image-two-patients"] * 2, "kept", "kept", "kept"]
    assert settled(*files, trust_patient_ids=trust) == expected


def test_frames_that_are_black_are_nobodys() -> None:
    files = [record(1, digest="a"), record(2, digest="a")]
    black = [
        replace(one, images=tuple(replace(image, constant=True) for image in one.images))
        for one in files
    ]
    assert settled(*files) == ["one-image-two-patients"] * 2
    assert settled(*black) == ["kept"] * 2


def test_all_files_of_patients_in_doubt_wait() -> None:
    # The second patient has another file, whose name was typed in another way.
    files = (
        record(1, patient="p", identity="x"),
        record(2, patient="q", identity="x"),
        record(3, patient="q", identity="y"),
        record(4, patient="r", identity="z"),
    )
    assert settled(*files) == [*["one-patient-two-ids"] * 3, "kept"]


def test_no_names_and_no_dates_are_no_conflict() -> None:
    files = [record(number, identity="", birth="") for number in range(3)]
    assert settled(*files) == ["kept"] * 3
    one = [record(number, patient="p", identity="", birth="") for number in range(3)]
    assert settled(*one) == ["kept"] * 3


def test_the_order_of_files_decides_nothing_but_which_copy_is_first() -> None:
    same = {"uid": "u", "patient": "p", "identity": "i", "digest": "d"}
    files = [
        record(1, **same),
        record(2, **same),
        record(3, patient="m", birth="a"),
        record(4, patient="m", birth="b"),
        record(5, identity="x"),
        record(6, identity="x"),
        record(7),
    ]
    reasons = settled(*files)
    assert settled(*reversed(files[2:])) == list(reversed(reasons[2:]))


@pytest.mark.parametrize(
    ("name", "character_set"),
    [("M\u00fcller^Eva", "ISO_IR 192"), ("M\u00fcller^Eva^^Dr", "ISO_IR 100")],
)
def test_a_name_in_other_bytes_is_the_same_name(
    hospital: Any, inline: None, name: str, character_set: str
) -> None:
    # Written in Latin-1 by one machine, and in UTF-8 or with a title by another.
    hospital.add("1", number=1, SpecificCharacterSet="ISO_IR 100", PatientName="M\u00fcller^Eva")
    hospital.add("2", number=2, SpecificCharacterSet=character_set, PatientName=name)
    assert hospital.deidentify().counts["quarantined"] == {"one-patient-two-ids": 2}
