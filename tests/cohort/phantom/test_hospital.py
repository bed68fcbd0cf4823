from __future__ import annotations

import csv
import io
import json
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from bussynth.cohort.phantom.config import HospitalConfig, PhantomConfig, PhantomOptions
from bussynth.cohort.phantom.device import DEVICES
from bussynth.cohort.phantom.hospital.folder import MARKER, write_phantom_hospital
from bussynth.cohort.phantom.hospital.machines import MACHINES, machine_of
from bussynth.cohort.phantom.hospital.people import draw_person
from bussynth.cohort.phantom.hospital.scanner import PRIVATE_CREATOR
from bussynth.cohort.phantom.hospital.shots import Kind, Regions, paint, plan_shots
from bussynth.cohort.phantom.patient import simulate_patient
from bussynth.config import RunOptions
from bussynth.errors import UsageError
from privacy.deidentify.decode import decode_frame
from privacy.deidentify.devices import normalise_device
from privacy.deidentify.pixel_file import open_pixels
from privacy.deidentify.regions import Kept, Quarantine, Reason, Rectangle, kept_regions

CONFIG = HospitalConfig(patients=12, image_size=96, seed=4)
Truth = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("hospital") / "h"
    write_phantom_hospital(out, CONFIG)
    return out


@pytest.fixture(scope="module")
def truth(folder: Path) -> list[Truth]:
    patients: list[Truth] = json.loads((folder / "truth.json").read_text("utf-8"))["patients"]
    return patients


@pytest.fixture(scope="module")
def images(truth: list[Truth]) -> list[tuple[Truth, Truth]]:
    return [(patient, image) for patient in truth for image in patient["images"]]


@pytest.fixture(scope="module")
def headers(folder: Path, images: list[tuple[Truth, Truth]]) -> list[Dataset]:
    return [dcmread(folder / image["file"]) for _, image in images]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_the_folder_is_what_a_hospital_has(folder: Path, images: list[Any]) -> None:
    assert {file.name for file in folder.iterdir()} == {
        *("DICOM", "labels.csv", "map.toml", "truth.json", MARKER)
    }
    files = {str(f.relative_to(folder)) for f in (folder / "DICOM").rglob("*") if f.is_file()}
    assert files == {image["file"] for _, image in images} | {"DICOM/README.TXT"}
    suffixes = {Path(image["file"]).suffix for _, image in images}
    assert suffixes == {"", ".dcm"}


def test_counts_are_those_of_the_answer_key(folder: Path, truth: list[Truth]) -> None:
    marker = json.loads((folder / MARKER).read_text())
    shown = [image for patient in truth for image in patient["images"]]
    counts = marker["counts"]
    assert HospitalConfig.from_dict(marker["config"]) == CONFIG
    assert (counts["patients"], counts["files"]) == (12, len(shown))
    assert counts["examinations"] == len({image["study"] for image in shown}) > 12
    assert sum(counts[kind] for kind in Kind) == len(shown)
    # A dozen patients have every kind of image.
    assert all(counts[kind] > 0 for kind in Kind)
    assert all(counts[flag] > 0 for flag in ("no_region", "whole_frame", "calipers", "words"))


def test_the_table_names_every_file_by_its_original_numbers(
    folder: Path, images: list[tuple[Truth, Truth]], headers: list[Dataset]
) -> None:
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row, (patient, image), header in zip(rows, images, headers, strict=True):
        assert row["patient_id"] == header.PatientID == patient["patient_id"]
        assert row["study_instance_uid"] == header.StudyInstanceUID
        assert row["accession_number"] == header.AccessionNumber
        assert row["sop_instance_uid"] == header.SOPInstanceUID
        assert row["pathology"] == patient["pathology"]
        assert row["birads"] in ("1", "2", "3", "4", "5")
        assert (row["box"] == "") == (row["pathology"] == "normal")
        if row["box"]:
            x0, y0, x1, y1 = json.loads(row["box"])
            left, top, right, bottom = image["tissue"][0]
            assert left <= x0 < x1 <= right
            assert top <= y0 < y1 <= bottom
    assert len({row["sop_instance_uid"] for row in rows}) == len(rows)
    assert rows[0]["patient_id"].startswith("00")


def test_the_map_fits_the_table(folder: Path) -> None:
    made = tomllib.loads((folder / "map.toml").read_text())
    columns = (folder / "labels.csv").read_text().splitlines()[0].split(",")
    assert made["dicom"] == {"key": "SOPInstanceUID", "column": "sop_instance_uid"}
    assert made["conditions"]["device"] == {"from": "equipment"}
    assert made["box"]["coordinates"] == "image"
    used = [made["dicom"], made["box"], *made["conditions"].values()]
    assert {part["column"] for part in used if "column" in part} <= set(columns)


def test_boxes_follow_the_scale_to_the_screen() -> None:
    config = HospitalConfig(patients=6, image_size=200, seed=4, normal=0.0)
    for index in range(config.patients):
        views = simulate_patient(index, config)
        machine = machine_of(views[0].device, index)
        person = draw_person(index, config.seed, visits=1)
        shot = plan_shots(index, config.seed, len(views), 1)[0]
        screen = paint(shot, views, person, machine, np.random.default_rng(0))
        view, picture = views[shot.views[0]], screen.pictures[0]
        left, top, right, _ = view.window
        x, y = picture.place[:2]
        zoom = (picture.place[2] - x) / (right - left)
        assert view.lesion_box is not None
        assert picture.lesion_box is not None
        expected = [(edge - (left, top)[i % 2]) * zoom for i, edge in enumerate(view.lesion_box)]
        found = [edge - (x, y)[i % 2] for i, edge in enumerate(picture.lesion_box)]
        assert found == pytest.approx(expected, abs=1.0)


def test_the_scale_is_that_of_the_probe(truth: list[Truth]) -> None:
    for patient in truth:
        machine = next(one for one in MACHINES if one.model == patient["model"])
        style = DEVICES[machine.style]
        width_cm = 0.1 * style.width_mm * (1.0 + style.trapezoid)
        for image in patient["images"]:
            for (left, _, right, _), (delta, _) in zip(
                image["tissue"], image["delta_cm"], strict=True
            ):
                assert (right - left) * delta == pytest.approx(width_cm, rel=0.01)


def test_every_file_is_read_and_its_regions_are_as_the_key_says(
    folder: Path, images: list[tuple[Truth, Truth]]
) -> None:
    seen = set()
    for patient, image in images:
        with (folder / image["file"]).open("rb") as stream:
            file = open_pixels(stream)
            assert file.blank_preamble
            assert file.pixels.frames == image["frames"] == (6 if image["kind"] == "cine" else 1)
            frame = decode_frame(file, file.pixels.frames - 1)
            found = kept_regions(file.dataset, *frame.shape[:2])
        machine = next(one for one in MACHINES if one.model == patient["model"])
        assert frame.shape[:2] == (machine.rows, machine.columns)
        seen.add((image["photometric"], image["transfer_syntax"]))
        overlap = image["colour_box"] is not None and isinstance(found, Quarantine)
        if image["no_region"]:
            assert found == Quarantine(Reason.ABSENT)
        elif image["whole_frame"]:
            assert found == Quarantine(Reason.WHOLE_FRAME)
        elif overlap:
            assert found == Quarantine(Reason.OVERLAP)
        else:
            assert found == Kept(tuple(Rectangle(*place) for place in image["tissue"]))
            assert len(image["tissue"]) == (2 if image["dual"] else 1)
    assert len(seen) >= 3


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.model)
def test_each_machine_stores_what_it_shows(machine: Any, tmp_path: Path) -> None:
    from bussynth.cohort.phantom.hospital.scanner import dicom_bytes

    config = HospitalConfig(patients=1, image_size=64, devices=(machine.style,))
    views = simulate_patient(0, config)
    person = draw_person(0, 0, visits=1)
    # Loops, and flow, which needs colour.
    for turn, kind in ((1, Kind.CINE), (4, Kind.DOPPLER)):
        shot = next(one for one in plan_shots(turn, 0, len(views), 1) if one.kind is kind)
        screen = paint(shot, views, person, machine, np.random.default_rng(1))
        data, stored = dicom_bytes(
            screen, shot, person, machine, sop_uid="2.25.1", series_uid="2.25.2", number=1
        )
        file = open_pixels(io.BytesIO(data))
        for number, frame in enumerate(screen.frames):
            shown = decode_frame(file, number)
            if shown.ndim == 2:
                frame = np.asarray(Image.fromarray(frame).convert("L"))
            error = np.abs(shown.astype(float) - frame)
            lossless = stored["photometric"] in ("RGB", "MONOCHROME2")
            assert error.max() == 0 if lossless else error.mean() < 3
        assert (shown.ndim == 3) or kind is Kind.CINE


def test_identifiers_stand_where_they_stand_in_real_life(
    folder: Path, images: list[tuple[Truth, Truth]], headers: list[Dataset]
) -> None:
    overlays = 0
    for (patient, image), header in zip(images, headers, strict=True):
        number = patient["patient_id"]
        assert (folder / image["file"]).read_bytes().count(number.encode()) >= 4
        nested = header.private_block(0x6001, PRIVATE_CREATOR)[0x05]
        if nested.VR == "SQ":  # an implicit VR does not say what is private
            assert nested.value[0].PatientID == number
        native = str(header.PatientName).split("^")[0].split("=")[0]
        assert native in patient["identifiers"]
        assert header.RequestAttributesSequence[0].AccessionNumber in patient["identifiers"]
        assert header.BurnedInAnnotation == "NO"
        burned = " ".join(one["text"] for one in image["burned"] if one["where"] == "banner")
        assert number in burned
        if 0x60003000 in header:
            overlays += 1
            assert np.any(np.frombuffer(header[0x60003000].value, np.uint8))
    assert 0 < overlays < len(headers)


def test_what_the_key_calls_burned_is_in_the_pixels(
    folder: Path, images: list[tuple[Truth, Truth]]
) -> None:
    for _, image in images[:12]:
        with (folder / image["file"]).open("rb") as stream:
            frame = decode_frame(open_pixels(stream), 0)
        gray = frame if frame.ndim == 2 else frame.mean(axis=2)
        for one in image["burned"]:
            x0, y0, x1, y1 = one["box"]
            assert 0 <= x0 < x1 <= frame.shape[1], one
            assert 0 <= y0 < y1 <= frame.shape[0], one
            part = gray[y0:y1, x0:x1]
            assert part.max() > 90
            inside = [
                left <= x0 and x1 <= right + 1 and top <= y0 and y1 <= bottom
                for left, top, right, bottom in image["tissue"]
            ]
            assert any(inside) == (one["where"] == "image"), one
            if one["where"] in ("banner", "panel"):
                assert np.ptp(part.astype(float)) > 60


def test_files_have_all_that_the_standard_demands(headers: list[Dataset]) -> None:
    spec = find_spec("highdicom")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("highdicom, whose tables are the reference, is not installed")
    root = Path(spec.submodule_search_locations[0]) / "_standard"
    names = ("iod_module_map", "sop_class_iod_map", "module_attribute_map")
    modules_of, iod_of, attributes = (
        json.loads((root / f"{name}.json").read_text()) for name in names
    )
    for header in headers:
        entries = modules_of[iod_of[header.SOPClassUID]]
        modules = {module["key"] for module in entries if module["usage"] == "M"}
        allowed = {a["keyword"] for module in entries for a in attributes[module["key"]]}
        # Extensions that scanners write from the worklist: PS3.3 C.2.2, C.2.3 and C.3.2.
        allowed |= {"IssuerOfPatientID", "OtherPatientIDs", "PatientMotherBirthName"}
        allowed |= {"PatientAddress", "PatientTelephoneNumbers"}
        if "SequenceOfUltrasoundRegions" in header:
            modules.add("us-region-calibration")
        if header.PhotometricInterpretation == "PALETTE COLOR":
            modules.add("palette-color-lookup-table")
        for element in header:
            group = element.tag.group
            if not element.tag.is_private and group != 0x6000:
                assert element.keyword in allowed, element.keyword
        for module in modules:
            for attribute in attributes[module]:
                if attribute["type"] not in ("1", "2"):
                    continue
                holders = [header]
                for step in attribute["path"]:
                    holders = [item for one in holders for item in one.get(step, [])]
                keyword = attribute["keyword"]
                for holder in holders:
                    assert keyword in holder, (module, keyword)
                    value = holder[tag_for_keyword(keyword)].value
                    assert attribute["type"] == "2" or value not in (None, ""), keyword


def test_the_bytes_depend_on_the_seed_alone(
    folder: Path, truth: list[Truth], tmp_path: Path
) -> None:
    # Fewer patients, made by two processes, are the first ones of the same hospital.
    few = HospitalConfig(**{**CONFIG.to_dict(), "patients": 5})
    write_phantom_hospital(tmp_path / "few", few, options=RunOptions(workers=2))
    assert json.loads((tmp_path / "few/truth.json").read_text("utf-8"))["patients"] == truth[:5]
    whole, made = contents(folder), contents(tmp_path / "few")
    assert whole["labels.csv"].startswith(made["labels.csv"])
    first = {name: data for name, data in made.items() if name.startswith("DICOM/PAT")}
    assert len(first) > 5
    assert all(whole[name] == data for name, data in first.items())
    other = HospitalConfig(**{**CONFIG.to_dict(), "patients": 1, "seed": 5})
    write_phantom_hospital(tmp_path / "other", other)
    again = {k: v for k, v in contents(tmp_path / "other").items() if k.startswith("DICOM/PAT")}
    assert again
    assert not set(again.values()) & set(first.values())


def test_a_place_is_replaced_only_if_it_holds_a_hospital(tmp_path: Path) -> None:
    config = HospitalConfig(patients=1, image_size=16, min_views=1, max_views=1)
    out = tmp_path / "h"
    write_phantom_hospital(out, config)
    with pytest.raises(UsageError, match="exists"):
        write_phantom_hospital(out, config)
    write_phantom_hospital(out, config, force=True)
    (out / MARKER).unlink()
    with pytest.raises(UsageError, match="no earlier output"):
        write_phantom_hospital(out, config, force=True)


def test_pydicom_is_asked_for_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bussynth.dependencies import missing_dependency

    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        write_phantom_hospital(tmp_path / "h", CONFIG)
    assert "bussynth[full]" in str(missing_dependency(caught.value))
    assert not list(tmp_path.iterdir())


def test_every_style_has_a_machine_and_one_maker_is_unknown() -> None:
    assert {machine.style for machine in MACHINES} == set(DEVICES)
    known = [normalise_device(machine.maker, machine.model) for machine in MACHINES]
    assert [device is None for device in known].count(True) == 1
    assert all(device.model for device in known if device is not None)
    # Two spellings of one machine are one device.
    assert known[0] == known[1]


def test_people_differ_and_write_their_names_in_many_scripts() -> None:
    people = [draw_person(index, 7, visits=1 + index % 2) for index in range(300)]
    assert len({person.patient_id for person in people}) == 300
    assert len({person.examinations[0].accession for person in people}) == 300
    assert len({str(person.charset) for person in people}) == 5
    for person in people:
        assert all(len(text.encode()) >= 4 for text in person.identifiers())
        assert (person.family + person.given).isascii()
        days = [visit.when for visit in person.examinations]
        assert days == sorted(days)


def test_special_images_take_turns() -> None:
    plans = [plan_shots(index, 0, 3, 1) for index in range(24)]
    assert plans[:12] != plans[12:]  # what is drawn by chance
    kinds = [[shot.kind for shot in plan] for plan in plans]
    assert kinds[:12] == kinds[12:]
    absent = [index for index, plan in enumerate(plans) if plan[0].regions is Regions.ABSENT]
    assert absent == [0, 12]
    assert all(shot.regions is Regions.ABSENT for shot in plans[0])


def test_options_are_a_cohort_unless_a_hospital_is_asked_for() -> None:
    assert PhantomOptions().cohort() == PhantomConfig()
    assert PhantomOptions().hospital() == HospitalConfig()
    asked = PhantomOptions(dicom=True, image_size=48, patients=3, seed=9)
    assert asked.hospital() == HospitalConfig(image_size=48, patients=3, seed=9)
    assert asked.cohort() == PhantomConfig(image_size=48, patients=3, seed=9)
    with pytest.raises(UsageError, match="image_size=8"):
        PhantomOptions(image_size=8)


def test_the_command_line(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from bussynth.cli.app import app

    def run(*words: object) -> Any:
        return CliRunner().invoke(app, ["phantom", *map(str, words), "--json"])

    out = tmp_path / "h"
    size = ("--patients", 1, "--image-size", 16)
    dry = run(out, "--dicom", "--dry-run", *size)
    assert dry.exit_code == 0
    assert not out.exists()
    done = run(out, "--dicom", *size)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)["result"]
    assert result["files"] >= 2
    key = json.loads((out / "truth.json").read_text("utf-8"))["patients"][0]
    assert not [text for text in key["identifiers"] if text in done.output]
    assert run(out, "--dicom", *size).exit_code == 2
    plain = run(tmp_path / "c", "--dry-run")
    assert json.loads(plain.stdout)["result"] == json.loads(json.dumps(PhantomConfig().to_dict()))
