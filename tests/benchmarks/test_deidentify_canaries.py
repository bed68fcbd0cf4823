from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import random
import shutil
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pydicom
import pytest
from PIL import Image, PngImagePlugin
from pydicom.dataset import Dataset

from benchmarks.deidentify.actions import ACTIONS, deliver, score, still_legible
from benchmarks.deidentify.canaries import IRREGULAR, Planted, write_objects
from benchmarks.deidentify.pixels import KINDS
from benchmarks.deidentify.search import search_bytes
from benchmarks.deidentify.tokens import SCRIPTS, Canary, Planter
from privacy.deidentify.pixel_file import open_pixels

COUNT = 3 * len(IRREGULAR)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planted")


@pytest.fixture(scope="module")
def planted(folder: Path) -> list[Planted]:
    return write_objects(folder, COUNT, 1)


def test_every_place_is_found_in_the_files(folder: Path, planted: list[Planted]) -> None:
    of_file = {one.path.name: one.canaries for one in planted}
    every = {one for each in planted for one in each.canaries}
    found = {leak.canary for leak in search_bytes([folder], every, of_file)}
    missed = {one for one in every - found if not one.group.startswith("burned in")}
    assert not missed
    assert len({one.where for one in every}) > 200
    assert {one.irregular for one in planted} == {"", *IRREGULAR}
    assert {one.pixels.kind for one in planted if one.legal} == set(KINDS)
    assert len({one.pixels.texts[0].style for one in planted}) >= 5
    for one in planted[:12]:
        readable = still_legible(deliver(one, folder / one.path))
        assert len(readable) == len(one.pixels.texts)


def test_the_same_seed_gives_the_same_files(tmp_path: Path) -> None:
    first, second = (write_objects(tmp_path / name, 3, 5) for name in ("a", "b"))
    other = write_objects(tmp_path / "c", 3, 6)
    for one, again in zip(first, second, strict=True):
        data = (tmp_path / "a" / one.path).read_bytes()
        assert data == (tmp_path / "b" / again.path).read_bytes()
        assert one.canaries == again.canaries
    assert not {one.text for each in first for one in each.canaries} & {
        one.text for each in other for one in each.canaries if not one.whole
    }


def test_legal_objects_are_read_by_others(folder: Path, planted: list[Planted]) -> None:
    for one in planted:
        if not one.legal:
            continue
        data = (folder / one.path).read_bytes()
        assert open_pixels(io.BytesIO(data)).pixels.frames == one.pixels.kind.frames
        found = deliver(one, folder / one.path)
        assert found.frames is not None
        far = np.abs(found.frames - one.pixels.gray)
        assert np.quantile(far, 0.999) <= one.pixels.kind.tolerance + 0.5
        name = next(c.text for c in one.canaries if c.place == "PatientName, family")
        assert found.dataset.PatientName.family_name == name
        foreign = next(
            c for c in one.canaries if c.place.startswith("PatientName,") and c.codec != "ascii"
        )
        assert str(found.dataset.PatientName.ideographic) == foreign.text


def png(text: str) -> bytes:
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt("note", text, zip=True)
    out = io.BytesIO()
    Image.new("L", (4, 4)).save(out, "PNG", pnginfo=notes)
    return out.getvalue()


def archive(text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("inner.gz", gzip.compress(text.encode()))
    return out.getvalue()


def parquet(text: str) -> bytes:
    out = io.BytesIO()
    rows = [{"bytes": png(text), "path": None}]
    pq.write_table(pa.table({"image": pa.array(rows)}), out, compression="zstd")
    return out.getvalue()


def deflated(text: str) -> bytes:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.3", "1.2.4"
    dataset.SpecificCharacterSet, dataset.PatientComments = "ISO_IR 192", text * 3
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


DISGUISES: dict[str, Callable[[str], bytes]] = {
    "utf-8": lambda text: b"x" + text.encode() + b"y",
    "upper": lambda text: text.upper().encode(),
    "lower": lambda text: text.lower().encode(),
    "utf-16": lambda text: text.encode("utf-16"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "misread": lambda text: text.encode().decode("latin-1").encode(),
    "hex": lambda text: text.encode().hex().upper().encode(),
    "base64": lambda text: base64.b64encode(f"a name: {text}, and more".encode()),
    "json": lambda text: json.dumps({"name": text}).encode(),
    "repr": lambda text: repr(text.encode()).encode(),
    "sha256": lambda text: hashlib.sha256(text.encode()).hexdigest().encode(),
    "md5": lambda text: hashlib.md5(text.encode()).hexdigest()[:20].encode(),
    "zlib": lambda text: zlib.compress(text.encode() * 2),
    "archive": archive,
    "png": png,
    "parquet": parquet,
    "deflated": deflated,
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_a_word_is_found_in_any_disguise(disguise: str, tmp_path: Path) -> None:
    canaries = []
    for script in SCRIPTS:
        planter = Planter(random.Random(script.name), script, range(9))
        planter.raw("latin", "x")
        planter.foreign("foreign", "x")
        canaries += planter.canaries
    for number, canary in enumerate(canaries):
        (tmp_path / str(number)).write_bytes(DISGUISES[disguise](canary.text))
    found = {(leak.canary, leak.name) for leak in search_bytes([tmp_path], canaries)}
    assert found == {(canary, str(number)) for number, canary in enumerate(canaries)}


def test_names_of_files_and_folders_are_searched(tmp_path: Path) -> None:
    canary = Canary("place", "group", "QXZWVKJHGF")
    (tmp_path / "a" / canary.text.lower() / "b").mkdir(parents=True)
    assert search_bytes([tmp_path / "a"], [canary])
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "file").write_bytes(random.Random(1).randbytes(3_000_000))
    assert not search_bytes([tmp_path / "c"], [canary])
    with pytest.raises(FileNotFoundError):
        search_bytes([tmp_path / "absent"], [canary])


def test_a_word_across_pieces_of_a_large_file_is_found(tmp_path: Path) -> None:
    canary = Canary("place", "group", "QXZWVKJHGF")
    (tmp_path / "file").write_bytes(b"\0" * ((1 << 22) - 4) + canary.text.encode() + b"\0" * 99)
    assert search_bytes([tmp_path], [canary])


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"\x08\0DA\x08\x0020240229", True),
        (b"on 20240229.", True),
        (b"20240229101112.123", True),
        (b"20240229\x38\0\x20\0", True),
        (b"2.25.1872024022998211", False),
        (b"f20240229aa01bc77", False),
    ],
)
def test_a_date_is_no_part_of_a_longer_number(data: bytes, found: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data)
    assert bool(search_bytes([tmp_path], [Canary("day", "dates", "20240229")])) == found


def test_only_words_of_its_own_object_leak_from_a_file(tmp_path: Path) -> None:
    day, other = Canary("day", "dates", "20240229"), Canary("word", "x", "QXZWVKJHGF")
    (tmp_path / "file").write_bytes(b"20240229 QXZWVKJHGF")
    leaks = search_bytes([tmp_path], [day, other], {"file": [other]})
    assert [leak.canary for leak in leaks] == [other]


def test_a_copy_retains_everything_and_hides_nothing(folder: Path, planted: list[Planted]) -> None:
    chosen = [one for one in planted[:10] if one.legal]
    result = score(deliver(one, folder / one.path) for one in chosen)
    assert set(result.required) == set(ACTIONS)
    for action in ("tag_retained", "text_retained", "pixels_retained"):
        assert result.done[action] == result.required[action]
    for action in ("text_removed", "uid_changed", "pixels_hidden", "date_shifted"):
        assert result.done[action] == 0
    assert result.done["patid_consistent"] == 0


def test_what_is_not_delivered_hides_everything_and_retains_nothing(
    planted: list[Planted],
) -> None:
    result = score(deliver(one, None) for one in planted[:8])
    for action in ("text_removed", "uid_changed", "pixels_hidden"):
        assert result.done[action] == result.required[action] > 0
    for action in set(ACTIONS) - {"text_removed", "uid_changed", "pixels_hidden"}:
        assert result.done[action] == 0 < result.required[action]


def test_a_good_tool_scores_fully(planted: list[Planted], folder: Path, tmp_path: Path) -> None:
    made = []
    for one in planted[:10]:
        if not one.legal:
            continue
        path = tmp_path / f"{one.number}.dcm"
        ideal(one, folder / one.path).save_as(path, enforce_file_format=True)
        made.append(deliver(one, path))
    result = score(made)
    assert {action: result.missed[action] for action in ACTIONS if result.missed[action]} == {}


def ideal(one: Planted, path: Path) -> Dataset:
    """De-identify knowing what was planted: the codes, the cropped tissue, and new identifiers."""
    from datetime import datetime, timedelta

    from benchmarks.deidentify.canaries import CODES

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = pydicom.dcmread(path)
    new = Dataset()
    for keyword in (*CODES, "SOPClassUID", "FrameTime", "FrameIncrementPointer"):
        if keyword in source:
            new[keyword] = source[keyword]
    left, top, right, bottom = one.pixels.region
    tissue = one.pixels.gray[:, top:bottom, left:right].copy()
    for text in one.pixels.texts:
        if text.inside:
            x0, y0, x1, y1 = text.box
            tissue[:, y0 - top : y1 - top, x0 - left : x1 - left] = 0
    new.Rows, new.Columns = tissue.shape[1:]
    new.NumberOfFrames = len(tissue)
    new.SamplesPerPixel, new.PhotometricInterpretation = 1, "MONOCHROME2"
    new.BitsAllocated, new.BitsStored, new.HighBit, new.PixelRepresentation = 8, 8, 7, 0
    new.PixelData = tissue.tobytes() + b"\0" * (tissue.size % 2)
    region = Dataset()
    region.RegionDataType = 1
    new.SequenceOfUltrasoundRegions = [region]
    new.PatientID, new.PatientIdentityRemoved = f"P{one.patient}", "YES"
    new.DeidentificationMethod = "test"
    new.StudyInstanceUID, new.SeriesInstanceUID = f"2.25.7{one.study}", f"2.25.8{one.study}"
    new.SOPInstanceUID = f"2.25.9{one.number}"
    for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        day = datetime.strptime(one.values[keyword], "%Y%m%d") - timedelta(days=400 + one.patient)
        setattr(new, keyword, day.strftime("%Y%m%d"))
    new.file_meta = pydicom.dataset.FileMetaDataset()
    new.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    return new


@pytest.mark.parametrize("spoil", ["text on tissue", "banner", "dates", "patients", "pixels"])
def test_a_mistake_costs_its_action(
    spoil: str, planted: list[Planted], folder: Path, tmp_path: Path
) -> None:
    made = []
    for one in (each for each in planted[:10] if each.legal):
        new = ideal(one, folder / one.path)
        left, top, right, bottom = one.pixels.region
        match spoil:
            case "text on tissue":
                tissue = one.pixels.gray[:, top:bottom, left:right]
                new.PixelData = tissue.tobytes() + b"\0" * (tissue.size % 2)
            case "banner":
                new.Rows, new.Columns = one.pixels.gray.shape[1:]
                new.PixelData = one.pixels.gray.tobytes()
            case "dates":
                new.StudyDate = "20230101"
            case "patients":
                new.PatientID = "same"
            case "pixels":
                new.PixelData = bytes(255 - value for value in new.PixelData)
        path = tmp_path / f"{one.number}.dcm"
        new.save_as(path, enforce_file_format=True)
        made.append(deliver(one, path))
    missed = {action for action, parts in score(made).missed.items() if parts}
    wanted = {
        "text on tissue": "pixels_hidden",
        "banner": "pixels_hidden",
        "dates": "date_shifted",
        "patients": "patid_consistent",
        "pixels": "pixels_retained",
    }
    assert missed == {wanted[spoil]}


def test_a_copy_of_the_folder_leaks_by_its_names(
    folder: Path, planted: list[Planted], tmp_path: Path
) -> None:
    one = planted[0]
    shutil.copyfile(folder / one.path, tmp_path / "image.dcm")
    found = {leak.canary.place for leak in search_bytes([tmp_path], one.canaries)}
    assert not {"file name", "folder name"} & found
    assert "PatientName, family" in found
