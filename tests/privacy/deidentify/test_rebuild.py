from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import UID, JPEGBaseline8Bit

from privacy.deidentify.allowlist import MULTI_FRAME, SINGLE_FRAME, SOURCES
from privacy.deidentify.errors import (
    MissingIdentifierError,
    PixelError,
    UnsupportedObjectError,
)
from privacy.deidentify.frame_data import Calibration, FrameFormat
from privacy.deidentify.policy import Dates, Policy
from privacy.deidentify.rebuild import IMPLEMENTATION_UID, rebuild
from privacy.pseudonym import SiteKey, pseudonym

EVERYTHING = Policy(dates=Dates.SHIFT, patient_characteristics=True, device=True)
Read = Callable[[Dataset], Dataset]


def movie(count: int = 3, colour: bool = False) -> NDArray[np.uint8]:
    shape = (count, 5, 7, 3) if colour else (count, 5, 7)
    return np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)


def of(pixels: NDArray[np.uint8]) -> FrameFormat:
    return FrameFormat.of(pixels, cleaned=True)


def test_identifiers_are_pseudonyms_and_nothing_else_is_known(
    source: Dataset, read: Read, pixels: NDArray[np.uint8], site_key: SiteKey
) -> None:
    rebuilt = rebuild(read(source), of(pixels), site_key)
    new = dcmread(BytesIO(rebuilt.to_bytes(pixels)))
    assert new.PatientID == str(new.PatientName) == rebuilt.patient
    # The same pseudonym as for a table of images keyed by patient numbers.
    assert rebuilt.patient == pseudonym(site_key, "00012345")
    for keyword in [
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "AccessionNumber",
        "ReferringPhysicianName",
        "ContentDate",
        "ContentTime",
        "Manufacturer",
        "PatientOrientation",
    ]:
        assert keyword in new, keyword
        assert not new[keyword].value, keyword
    assert "PatientAge" not in new
    assert "ManufacturerModelName" not in new
    assert new.Laterality == "L"
    assert new.BodyPartExamined == "BREAST"
    assert new.MechanicalIndex == pytest.approx(0.99)
    assert list(new.ImageType) == ["DERIVED", "PRIMARY", "SMALL PARTS", "0001"]
    assert rebuilt.refused == ()
    assert rebuilt.dropped == 0


def test_the_file_is_fresh(
    source: Dataset, read: Read, pixels: NDArray[np.uint8], site_key: SiteKey
) -> None:
    data = rebuild(read(source), of(pixels), site_key).to_bytes(pixels)
    assert data[:132] == b"\0" * 128 + b"DICM"
    new = dcmread(BytesIO(data))
    meta = new.file_meta
    assert meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert meta.MediaStorageSOPInstanceUID == new.SOPInstanceUID
    assert meta.MediaStorageSOPClassUID == new.SOPClassUID == SINGLE_FRAME
    assert meta.ImplementationClassUID == IMPLEMENTATION_UID
    assert UID(IMPLEMENTATION_UID).is_valid
    assert "SpecificCharacterSet" not in new
    assert np.array_equal(new.pixel_array, pixels[0])
    assert data == rebuild(read(source), of(pixels), site_key).to_bytes(pixels)


def test_the_source_is_not_changed(
    source: Dataset, read: Read, frames: FrameFormat, site_key: SiteKey
) -> None:
    given = read(source)
    rebuild(given, frames, site_key, EVERYTHING)
    assert given == read(source)


def test_it_says_what_was_done(source: Dataset, frames: FrameFormat, site_key: SiteKey) -> None:
    new = rebuild(source, frames, site_key).dataset
    assert new.PatientIdentityRemoved == "YES"
    assert new.BurnedInAnnotation == "NO"
    assert new.LongitudinalTemporalInformationModified == "REMOVED"
    assert all(len(line) <= 64 for line in new.DeidentificationMethod)
    items = new.DeidentificationMethodCodeSequence
    assert [item.CodeValue for item in items] == ["113100", "113101", "113103", "113105"]
    assert {item.CodingSchemeDesignator for item in items} == {"DCM"}
    new = rebuild(source, frames, site_key, EVERYTHING).dataset
    assert new.LongitudinalTemporalInformationModified == "MODIFIED"
    codes = [item.CodeValue for item in new.DeidentificationMethodCodeSequence]
    assert codes[4:] == ["113107", "113108", "113109"]


def test_pixels_that_were_not_cleaned_are_not_called_clean(
    source: Dataset, frames: FrameFormat, site_key: SiteKey
) -> None:
    # The source's own word does not count.
    source.BurnedInAnnotation = "NO"
    new = rebuild(source, replace(frames, cleaned=False), site_key).dataset
    assert "BurnedInAnnotation" not in new
    assert new.PatientIdentityRemoved == "NO"
    codes = [item.CodeValue for item in new.DeidentificationMethodCodeSequence]
    assert "113101" not in codes


def test_what_a_site_keeps(source: Dataset, frames: FrameFormat, site_key: SiteKey) -> None:
    new = rebuild(source, frames, site_key, EVERYTHING).dataset
    assert new.PatientSex == "F"
    assert new.PatientAge == "055Y"
    assert (new.Manufacturer, new.ManufacturerModelName) == ("GE", "LOGIQ E9")
    assert new.StudyDate != "20200310"
    days = [dt.datetime.strptime(date, "%Y%m%d") for date in (new.StudyDate, new.ContentDate)]
    assert days[1] - days[0] == dt.timedelta(days=1)
    assert new.StudyTime is None


def test_same_key_same_object_other_key_unlinkable(
    source: Dataset, frames: FrameFormat, site_key: SiteKey, other_key: SiteKey
) -> None:
    one = rebuild(source, frames, site_key, EVERYTHING).dataset
    again = rebuild(source, frames, SiteKey(bytes(range(32))), EVERYTHING).dataset
    other = rebuild(source, frames, other_key, EVERYTHING).dataset
    for keyword in [
        "PatientID",
        "PatientName",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "SOPInstanceUID",
        "StudyDate",
    ]:
        assert one[keyword].value == again[keyword].value
        assert one[keyword].value != other[keyword].value


def test_parts_of_one_source_are_objects_of_one_series(
    source: Dataset, frames: FrameFormat, site_key: SiteKey
) -> None:
    first = rebuild(source, frames, site_key).dataset
    second = rebuild(source, replace(frames, part=1), site_key).dataset
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.SeriesInstanceUID == second.SeriesInstanceUID


@pytest.mark.parametrize("colour", [False, True])
def test_several_frames(source: Dataset, site_key: SiteKey, colour: bool) -> None:
    pixels = movie(3, colour)
    new = dcmread(BytesIO(rebuild(source, of(pixels), site_key).to_bytes(pixels)))
    assert new.SOPClassUID == MULTI_FRAME
    assert new.NumberOfFrames == 3
    assert new.FrameIncrementPointer == 0x0018_1063
    assert new.FrameTime == pytest.approx(33.333)
    assert new.PhotometricInterpretation == ("RGB" if colour else "MONOCHROME2")
    # An odd number of bytes is padded.
    assert len(new.PixelData) % 2 == 0
    assert np.array_equal(new.pixel_array, pixels)


def test_several_frames_need_a_frame_time(source: Dataset, site_key: SiteKey) -> None:
    del source.FrameTime
    with pytest.raises(PixelError, match="frame_time"):
        rebuild(source, of(movie()), site_key)
    told = FrameFormat.of(movie(), cleaned=True, frame_time=40)
    assert rebuild(source, told, site_key).dataset.FrameTime == 40
    # One frame has no time.
    assert "FrameTime" not in rebuild(source, of(movie(1)), site_key).dataset


def test_calibration(source: Dataset, pixels: NDArray[np.uint8], site_key: SiteKey) -> None:
    region = Calibration(0, 1, 5, 3, 0.0061234567, 0.006)
    frames = replace(of(pixels), calibration=(region,))
    new = dcmread(BytesIO(rebuild(source, frames, site_key).to_bytes(pixels)))
    (item,) = new.SequenceOfUltrasoundRegions
    assert (item.RegionLocationMinX0, item.RegionLocationMinY0) == (0, 1)
    assert (item.RegionLocationMaxX1, item.RegionLocationMaxY1) == (5, 3)
    assert item.PhysicalDeltaX == 0.00612346
    assert item.PhysicalUnitsXDirection == 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: Calibration(3, 0, 2, 1, 0.1, 0.1),
        lambda: Calibration(-1, 0, 2, 1, 0.1, 0.1),
        lambda: Calibration(0, 0, 2, 1, float("nan"), 0.1),
        lambda: Calibration(0, 0, 2, 1, 0.0, 0.1),
        lambda: FrameFormat.of(np.zeros((1, 2, 2), np.uint16), cleaned=True),  # type: ignore[arg-type]
        lambda: FrameFormat.of(np.zeros((2, 2), np.uint8), cleaned=True),
        lambda: FrameFormat.of(np.zeros((1, 2, 2, 4), np.uint8), cleaned=True),
        lambda: FrameFormat.of(np.zeros((0, 2, 2), np.uint8), cleaned=True),
        lambda: FrameFormat.of(np.zeros((1, 70_000, 1), np.uint8), cleaned=True),
        lambda: FrameFormat.of(np.zeros((1, 2, 2), np.uint8), cleaned=True, frame_time=0),
        lambda: FrameFormat.of(np.zeros((1, 2, 2), np.uint8), cleaned=True, part=-1),
        lambda: FrameFormat.of(
            np.zeros((1, 2, 2), np.uint8),
            cleaned=True,
            calibration=(Calibration(0, 0, 2, 1, 0.1, 0.1),),
        ),
    ],
)
def test_frames_that_cannot_be_written(make: Callable[[], object]) -> None:
    with pytest.raises(PixelError):
        make()


@pytest.mark.parametrize("sop_class", sorted(SOURCES))
def test_classes_that_are_read(
    make_source: Callable[[str], Dataset], frames: FrameFormat, site_key: SiteKey, sop_class: str
) -> None:
    assert rebuild(make_source(sop_class), frames, site_key).dataset.SOPClassUID == SINGLE_FRAME


@pytest.mark.parametrize("sop_class", ["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.1.3.10", ""])
def test_other_classes_are_refused(
    make_source: Callable[[str], Dataset], frames: FrameFormat, site_key: SiteKey, sop_class: str
) -> None:
    with pytest.raises(UnsupportedObjectError, match="SOPClassUID"):
        rebuild(make_source(sop_class), frames, site_key)


@pytest.mark.parametrize(
    "keyword",
    ["PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"],
)
@pytest.mark.parametrize("value", [None, ""])
def test_who_and_which_must_be_told(
    source: Dataset, frames: FrameFormat, site_key: SiteKey, keyword: str, value: str | None
) -> None:
    if value is None:
        delattr(source, keyword)
    else:
        setattr(source, keyword, value)
    with pytest.raises(MissingIdentifierError, match=keyword):
        rebuild(source, frames, site_key)


def test_a_table_may_know_the_patient_better(
    source: Dataset, frames: FrameFormat, site_key: SiteKey
) -> None:
    shared = rebuild(source, frames, site_key).patient
    one = rebuild(source, frames, site_key, EVERYTHING, patient="A-1")
    two = rebuild(source, frames, site_key, EVERYTHING, patient="A-2")
    assert len({shared, one.patient, two.patient}) == 3
    assert one.dataset.StudyDate != two.dataset.StudyDate
    source.PatientID = ""
    again = rebuild(source, frames, site_key, patient=" A-1 ")
    assert again.patient == one.patient == pseudonym(site_key, "A-1")
    with pytest.raises(MissingIdentifierError):
        rebuild(source, frames, site_key, patient=" ")


def test_once_lossy_always_lossy(source: Dataset, frames: FrameFormat, site_key: SiteKey) -> None:
    assert "LossyImageCompression" not in rebuild(source, frames, site_key).dataset
    source.LossyImageCompression = "00"
    assert rebuild(source, frames, site_key).dataset.LossyImageCompression == "00"
    # The transfer syntax is believed before the header.
    source.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    source.LossyImageCompressionRatio = "12.3456"
    new = rebuild(source, frames, site_key).dataset
    assert new.LossyImageCompression == "01"
    assert new.LossyImageCompressionRatio == pytest.approx(12.3)
    assert new.LossyImageCompressionMethod == "ISO_10918_1"


def test_synthetic_stays_synthetic(source: Dataset, frames: FrameFormat, site_key: SiteKey) -> None:
    source.SyntheticData = "YES"
    assert rebuild(source, frames, site_key).dataset.SyntheticData == "YES"


def test_image_laterality_takes_the_place_of_laterality(
    source: Dataset, frames: FrameFormat, site_key: SiteKey
) -> None:
    source.ImageLaterality = "R"
    new = rebuild(source, frames, site_key).dataset
    assert new.ImageLaterality == "R"
    assert "Laterality" not in new


@cache
def table(name: str) -> dict[str, list[dict[str, object]]]:
    """A table of the standard as highdicom ships it; its code is not run."""
    spec = find_spec("highdicom")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("highdicom, whose tables are the reference, is not installed")
    folder = Path(spec.submodule_search_locations[0]) / "_standard"
    return json.loads((folder / f"{name}.json").read_text())


@pytest.mark.parametrize("frames", [of(movie(1)), of(movie(3)), of(movie(3, colour=True))])
def test_all_mandatory_attributes_of_the_standard_are_there(
    source: Dataset, site_key: SiteKey, frames: FrameFormat
) -> None:
    calibration = (Calibration(0, 0, 3, 3, 0.1, 0.1),)
    frames = replace(frames, calibration=calibration)
    new = rebuild(source, frames, site_key, EVERYTHING).dataset
    modules = {"us-region-calibration"} | {
        str(module["key"])
        for module in table("iod_module_map")[table("sop_class_iod_map")[new.SOPClassUID]]
        if module["usage"] == "M"
    }
    attributes = table("module_attribute_map")
    known = {
        str(attribute["keyword"])
        for module in (*modules, "patient-study")
        for attribute in attributes[module]
    }
    assert {element.keyword for element in new} <= known
    for module in modules:
        for attribute in attributes[module]:
            keyword, path = str(attribute["keyword"]), attribute["path"]
            if attribute["type"] not in ("1", "2"):
                continue
            holders = [new]
            for step in path:
                holders = [item for one in holders for item in one.get(step, [])]
            for holder in holders:
                assert keyword in holder, (module, path, keyword)
                element = holder[tag_for_keyword(keyword)]
                assert attribute["type"] == "2" or element.value not in (None, ""), keyword


@pytest.mark.parametrize(
    "given",
    [
        np.zeros((2, 5, 7), np.uint8),
        np.zeros((4, 5, 7), np.uint8),
        np.zeros((3, 5, 6), np.uint8),
        np.zeros((3, 5, 7), np.uint16),
    ],
)
def test_other_frames_than_told_are_refused(
    source: Dataset, site_key: SiteKey, given: NDArray[np.uint8]
) -> None:
    with pytest.raises(PixelError):
        rebuild(source, of(movie(3)), site_key).to_bytes(given)


def test_gray_frames_speak_of_no_colour(source: Dataset, site_key: SiteKey) -> None:
    source.UltrasoundColorDataPresent = 1
    source.ImageType = ["ORIGINAL", "PRIMARY", "", "0011"]
    gray = rebuild(source, of(movie(1)), site_key).dataset
    assert gray.UltrasoundColorDataPresent == 0
    assert list(gray.ImageType) == ["DERIVED", "PRIMARY"]
    coloured = rebuild(source, of(movie(1, colour=True)), site_key).dataset
    assert coloured.UltrasoundColorDataPresent == 1
    assert list(coloured.ImageType) == ["DERIVED", "PRIMARY", "", "0011"]
