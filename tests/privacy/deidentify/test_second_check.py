"""The second check catches what a faulty rebuild would let through."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID

from privacy.deidentify.errors import LeakError
from privacy.deidentify.frame_data import FrameFormat
from privacy.deidentify.policy import Dates, Policy
from privacy.deidentify.rebuild import rebuild
from privacy.deidentify.second_check import check
from privacy.pseudonym import SiteKey

EVERYTHING = Policy(dates=Dates.SHIFT, patient_characteristics=True, device=True)
CANARY = "ZZCANARY1"


@pytest.fixture
def made(source: Dataset, frames: FrameFormat, site_key: SiteKey) -> Dataset:
    source.AccessionNumber = CANARY
    source.InstitutionName = CANARY
    inner = Dataset()
    inner.PatientID = "NESTED77"
    source.OtherPatientIDsSequence = Sequence([inner])
    return rebuild(source, frames, site_key).dataset


def nested(new: Dataset) -> None:
    item = Dataset()
    item.ImageComments = CANARY
    new.SequenceOfUltrasoundRegions = Sequence([item])


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (lambda new: setattr(new, "AccessionNumber", CANARY), "AccessionNumber"),
        (lambda new: setattr(new, "StudyID", CANARY), "StudyID"),
        (lambda new: setattr(new, "PatientID", "00012345"), "PatientID"),
        (lambda new: setattr(new, "PatientID", "NESTED77"), "PatientID"),
        (lambda new: setattr(new, "PatientName", "Doe^Jane"), "PatientName"),
        (lambda new: setattr(new, "PatientSex", "F"), "PatientSex"),
        (lambda new: setattr(new, "PatientAge", "058Y"), "PatientAge"),
        (lambda new: setattr(new, "PatientBirthDate", "19610203"), "PatientBirthDate"),
        (lambda new: setattr(new, "StudyDate", "20200310"), "StudyDate"),
        (lambda new: setattr(new, "StudyDate", "20010101"), "StudyDate"),
        (lambda new: setattr(new, "StudyTime", "101112"), "StudyTime"),
        (lambda new: setattr(new, "InstitutionName", "x"), "InstitutionName"),
        (lambda new: setattr(new, "SeriesDescription", "x"), "SeriesDescription"),
        (lambda new: setattr(new, "DeviceSerialNumber", "x"), "DeviceSerialNumber"),
        (lambda new: setattr(new, "StudyInstanceUID", "1.2.3.4.5.6.7"), "StudyInstanceUID"),
        (lambda new: setattr(new, "SeriesInstanceUID", "1.2.3.9"), "SeriesInstanceUID"),
        (lambda new: setattr(new, "Manufacturer", "Ünal"), "Manufacturer"),
        (lambda new: new.add_new(0x0010_0099, "LO", CANARY), "(0010,0099)"),
        (lambda new: new.add_new(0x0009_0010, "LO", CANARY), "private"),
        (lambda new: new.add_new(0x6000_3000, "OW", b"ab"), "OverlayData"),
        (lambda new: new.add_new(0x6000_0010, "US", 4), "OverlayRows"),
        (lambda new: new.add_new(0x5000_3000, "OW", b"ab"), "(5000,3000)"),
        (lambda new: new.add_new(0x0042_0011, "OB", b"ab"), "EncapsulatedDocument"),
        (lambda new: setattr(new, "ReferencedImageSequence", [Dataset()]), "Referenced"),
        (nested, "ImageComments"),
        (lambda new: setattr(new, "preamble", b"MZ" + bytes(126)), "preamble"),
        (lambda new: delattr(new, "file_meta"), "file meta"),
        (lambda new: new.file_meta.add_new(0x0002_0016, "AE", "X"), "SourceApplication"),
        (
            lambda new: setattr(new.file_meta, "MediaStorageSOPInstanceUID", UID("2.25.7")),
            "another object",
        ),
    ],
)
def test_a_faulty_object_is_refused_without_its_values(
    source: Dataset, made: Dataset, spoil: Callable[[Dataset], None], name: str
) -> None:
    check(made, source, Policy())
    spoil(made)
    with pytest.raises(LeakError) as caught:
        check(made, source, Policy())
    assert name in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value))
    for value in (CANARY, "00012345", "NESTED77", "Doe", "19610203", "20200310", "1.2.3.4"):
        assert value not in shown


def test_options_allow_their_own_forms_only(
    source: Dataset, frames: FrameFormat, site_key: SiteKey
) -> None:
    new = rebuild(source, frames, site_key, EVERYTHING).dataset
    check(new, source, EVERYTHING)
    with pytest.raises(LeakError):
        check(new, source, Policy())
    for keyword, value in (
        ("PatientAge", "058Y"),
        ("StudyDate", "20200310"),
        ("AcquisitionDateTime", "20010101101112"),
    ):
        spoilt = rebuild(source, frames, site_key, EVERYTHING).dataset
        setattr(spoilt, keyword, value)
        with pytest.raises(LeakError, match=keyword):
            check(spoilt, source, EVERYTHING)


def test_an_age_that_is_a_band_already_may_stay(
    source: Dataset, frames: FrameFormat, site_key: SiteKey
) -> None:
    source.PatientAge = "060Y"
    assert rebuild(source, frames, site_key, EVERYTHING).dataset.PatientAge == "060Y"


def test_short_identifiers_are_compared_too(
    source: Dataset, frames: FrameFormat, site_key: SiteKey
) -> None:
    source.PatientID = "7"
    new = rebuild(source, frames, site_key).dataset
    new.PatientID = "7"
    with pytest.raises(LeakError, match="PatientID"):
        check(new, source, Policy())
