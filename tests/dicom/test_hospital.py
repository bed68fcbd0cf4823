"""A phantom hospital through both verbs: what is kept is what its answer key says."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from bussynth.cohort import Cohort
from bussynth.cohort.phantom.config import HospitalConfig
from bussynth.cohort.phantom.hospital.folder import write_phantom_hospital
from bussynth.config import RunOptions
from bussynth.dicom.cohort import DicomIngestResult, ingest_dicom
from bussynth.dicom.config import DeidentifyConfig
from bussynth.dicom.deidentify import DeidentifyResult, deidentify_folder
from bussynth.ingest.config import IngestConfig
from bussynth.ingest.geometry import Placement
from bussynth.review.material import read_decisions, read_previews

SIZE = 48


@dataclass(frozen=True)
class Hospital:
    root: Path
    truth: dict[str, Any]

    @property
    def images(self) -> dict[str, dict[str, Any]]:
        found = {}
        for patient in self.truth["patients"]:
            for image in patient["images"]:
                found[str(Path(image["file"]).relative_to("DICOM"))] = image | {"of": patient}
        return found

    @property
    def identifiers(self) -> list[str]:
        own = [word for one in self.truth["patients"] for word in one["identifiers"]]
        own += [image["sop_instance_uid"] for image in self.images.values()]
        return [*own, *self.truth["hospital"]["identifiers"]]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    root = tmp_path_factory.mktemp("phantom") / "hospital"
    write_phantom_hospital(root, HospitalConfig(patients=12, image_size=96, seed=4))
    return Hospital(root, json.loads((root / "truth.json").read_text("utf-8")))


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Always the same, or a shifted date would now and then be the date of somebody else.
    path = tmp_path_factory.mktemp("secret") / "site.key"
    path.write_text("bussynth-site-key-v1:" + "5e" * 31 + "17\n")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def ingested(hospital: Hospital, key: Path) -> DicomIngestResult:
    return ingest_dicom(
        hospital.root / "DICOM",
        hospital.root.parent / "cohort",
        map_path=hospital.root / "map.toml",
        table=hospital.root / "labels.csv",
        site_key=key,
        config=IngestConfig(image_size=SIZE, text_engine="none", most_frames=2),
        options=RunOptions(workers=2),
    )


@pytest.fixture(scope="module")
def files(hospital: Hospital, key: Path) -> DeidentifyResult:
    return deidentify_folder(
        hospital.root / "DICOM",
        hospital.root.parent / "files",
        config=DeidentifyConfig(text_engine="none", dates="shift", keep_device=True),
        site_key=key,
        options=RunOptions(workers=2),
    )


def link_of(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def expected(image: dict[str, Any]) -> str:
    if image["no_region"]:
        return "absent"
    if image["whole_frame"]:
        return "whole-frame"
    return "overlap or colour or kept" if image["doppler"] else "kept"


def test_every_file_is_decided_as_the_answer_key_says(
    hospital: Hospital, ingested: DicomIngestResult
) -> None:
    link = link_of(ingested.link)
    previews = read_previews(ingested.cohort.path / "review" / "previews.parquet")
    flags = {preview.id: preview.flags for preview in previews}
    assert link.pop("README.TXT")["decision"] == "left-out"
    assert set(link) == set(hospital.images)
    for path, image in hospital.images.items():
        wanted, found = expected(image), link[path]
        assert found["reason"] in wanted.split(" or "), (wanted, found["reason"])
        assert (found["decision"] == "kept") == (found["reason"] == "kept")
        if image["doppler"] and found["reason"] == "kept":
            # A little flow looks like coloured marks: painted over, and told.
            assert "colour-marks" in flags[found["outputs"]]
    counts = ingested.counts
    assert counts["files"] == len(link) + 1
    assert counts["kept"] == sum(one["decision"] == "kept" for one in link.values())


def test_the_cohort_has_the_labels_of_the_table(
    hospital: Hospital, ingested: DicomIngestResult
) -> None:
    rows = {row.id: row for row in ingested.cohort}
    with (hospital.root / "labels.csv").open(newline="") as file:
        labels = {row["sop_instance_uid"]: row for row in csv.DictReader(file)}
    link = link_of(ingested.link)
    seen = 0
    for path, image in hospital.images.items():
        label = labels[image["sop_instance_uid"]]
        for name in link[path]["outputs"].split():
            row = rows.pop(name)
            seen += 1
            assert row.patient == link[path]["patient"]
            assert row.conditions["pathology"] == label["pathology"]
            assert row.conditions["birads"] == (label["birads"] or None)
    assert not rows
    assert seen == len(ingested.cohort)
    # One patient, one pseudonym.
    pairs = {
        (image["of"]["patient_id"], link[path]["patient"])
        for path, image in hospital.images.items()
        if link[path]["decision"] == "kept"
    }
    assert len({one for one, _ in pairs}) == len({one for _, one in pairs}) == len(pairs)


def test_lesion_boxes_move_with_the_crop(hospital: Hospital, ingested: DicomIngestResult) -> None:
    rows = {row.id: row for row in ingested.cohort}
    link = link_of(ingested.link)
    checked = 0
    for path, image in hospital.images.items():
        box, outputs = image["label_box"], link[path]["outputs"].split()
        if box is None or len(outputs) != 1:
            continue
        (left, top, right, bottom) = image["tissue"][0]
        place = Placement.fit((right - left, bottom - top), SIZE)
        moved = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
        clipped = tuple(
            min(max(edge, 0), most)
            for edge, most in zip(moved, (right - left, bottom - top) * 2, strict=True)
        )
        stored = rows[outputs[0]].lesion_box
        assert stored is not None
        assert np.allclose(stored, place.box(clipped), atol=0.05)  # type: ignore[arg-type]
        checked += 1
    assert checked >= 5


def test_devices_are_spelled_as_in_the_table(ingested: DicomIngestResult) -> None:
    assert "GE LOGIQ E9" in ingested.cohort.vocabulary["device"]
    assert not any("Nordlicht" in word for word in ingested.cohort.vocabulary["device"])


def searched(folder: Path) -> bytes:
    """All bytes below a folder but those in the middle of large files, which are pixels."""
    parts = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            parts += [data] if len(data) < 1 << 16 else [data[: 1 << 15], data[-(1 << 12) :]]
    return b"\n".join(parts)


def test_no_identifier_is_in_either_output(
    hospital: Hospital, ingested: DicomIngestResult, files: DeidentifyResult
) -> None:
    source = searched(hospital.root / "DICOM")
    words = {word for word in hospital.identifiers if len(word) >= 5}
    forms = {word: {word.encode(), word.encode("utf-16-le")} for word in words}
    # What is searched for is there to be found.
    assert sum(any(form in source for form in forms[word]) for word in words) > len(words) / 2
    for folder in (ingested.cohort.path, files.path):
        data = searched(folder)
        leaks = [word for word in words if any(form in data for form in forms[word])]
        assert not leaks
        assert not any(path.name in words for path in folder.rglob("*"))


def test_files_are_ultrasound_objects_of_one_patient_a_folder(
    hospital: Hospital, files: DeidentifyResult, ingested: DicomIngestResult
) -> None:
    paths = sorted(files.path.glob("files/*/*.dcm"))
    assert len(paths) == sum(len(row["outputs"].split()) for row in link_of(files.link).values())
    loops = 0
    for path in paths:
        new = dcmread(path)
        assert new.PatientID == path.parent.name
        assert new.SOPInstanceUID == path.stem
        # Nobody looked for text, so nobody says that the patient was removed from the pixels.
        assert new.PatientIdentityRemoved == "NO"
        assert new.LongitudinalTemporalInformationModified == "MODIFIED"
        assert len(new.StudyDate) == 8
        loops += int(new.get("NumberOfFrames", 1)) > 1
    assert loops
    # The pseudonym is that of the cohort.
    assert {path.parent.name for path in paths} == {str(row.patient) for row in ingested.cohort}


def test_kept_pixels_are_the_tissue_of_the_source(
    hospital: Hospital, files: DeidentifyResult
) -> None:
    link = link_of(files.link)
    exact = 0
    for path, image in hospital.images.items():
        outputs = link[path]["outputs"].split()
        if len(image["tissue"]) != 1 or len(outputs) != 1:
            continue
        source = dcmread(hospital.root / "DICOM" / path)
        if source.PhotometricInterpretation != "MONOCHROME2":
            continue
        new = dcmread(next(files.path.glob(f"files/*/{outputs[0]}.dcm")))
        left, top, right, bottom = image["tissue"][0]
        assert np.array_equal(new.pixel_array, source.pixel_array[..., top:bottom, left:right])
        exact += 1
    assert exact >= 3


@pytest.mark.parametrize("which", ["ingested", "files"])
def test_there_is_something_to_review(which: str, request: pytest.FixtureRequest) -> None:
    result = request.getfixturevalue(which)
    folder = result.cohort.path if which == "ingested" else result.path
    decisions = list(read_decisions(folder / "review" / "decisions.jsonl"))
    previews = list(read_previews(folder / "review" / "previews.parquet"))
    assert len(decisions) == result.counts["files"]
    shown = {preview.id for preview in previews}
    assert shown == {name for one in decisions for name in one.images}
    if which == "ingested":
        assert shown == {row.id for row in result.cohort}
    assert Counter(one.decision for one in decisions)["kept"] == result.counts["kept"]


def test_an_ingested_cohort_is_a_cohort(ingested: DicomIngestResult) -> None:
    cohort = Cohort.open(ingested.cohort.path)
    cohort.verify()
    assert cohort.kind == "real"
    assert cohort.image_size == (SIZE, SIZE)
