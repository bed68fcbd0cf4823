"""What kept values may be, and which attributes may be there at all."""

from __future__ import annotations

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from privacy.deidentify.allowlist import ALLOWED, Origin, allowed
from privacy.deidentify.devices import Device, normalise_device
from privacy.deidentify.policy import Dates, Policy
from privacy.deidentify.profile import Action, load_profile
from privacy.deidentify.rules import AgeBand, ImageType, Number, Ratio, Words


def raw(keyword_tag: int, vr: str, data: bytes) -> Dataset:
    dataset = Dataset()
    dataset._dict[Tag(keyword_tag)] = RawDataElement(
        Tag(keyword_tag), vr, len(data), data, 0, False, True
    )
    return dataset


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"L", "L"),
        (b"l ", "L"),
        (b"LEFT", None),
        (b"L\\R", None),
        (b"", None),
        (b"L\0", "L"),
        (b"\xcc", None),
    ],
)
def test_words(data: bytes, value: str | None) -> None:
    assert Words.of("L,R")(raw(0x0020_0060, "CS", data), "Laterality") == value


@pytest.mark.parametrize(
    ("vr", "data", "value"),
    [
        ("DS", b"1.23456789", "1.23"),
        ("DS", b"19.999", "20.00"),
        ("DS", b"21", None),
        ("DS", b"-1", None),
        ("DS", b"nan", None),
        ("DS", b"1e400", None),
        ("DS", b"19800203", None),
        ("DS", b"1.2\\3", "1.20"),
        ("DS", b"", None),
        ("FD", b"\0\0\0\0\0\0\xf0\x3f", "1.00"),
        ("FD", b"\0\0", None),
        ("US", b"\x03\0", "3.00"),
        ("OB", b"\x03\0", None),
    ],
)
def test_numbers(vr: str, data: bytes, value: str | None) -> None:
    dataset = raw(0x0018_5022, vr, data)
    assert Number(0, 20, decimals=2)(dataset, "MechanicalIndex") == value


@pytest.mark.parametrize(
    ("age", "band"),
    [
        (b"058Y", "055Y"),
        (b"055Y", "055Y"),
        (b"101Y", "090Y"),
        (b"089Y", "085Y"),
        (b"009Y", "015Y"),
        (b"006M", None),
        (b"58", None),
        (b"", None),
    ],
)
def test_ages_are_banded(age: bytes, band: str | None) -> None:
    assert AgeBand()(raw(0x0010_1010, "AS", age), "PatientAge") == band


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"ORIGINAL\\PRIMARY\\BREAST\\0001", ["DERIVED", "PRIMARY", "BREAST", "0001"]),
        (b"DERIVED\\SECONDARY", ["DERIVED", "SECONDARY"]),
        (b"ORIGINAL\\JANE DOE\\JANE DOE\\JANE", ["DERIVED", "PRIMARY"]),
        (b"A\\PRIMARY\\\\0011\\JANE DOE", ["DERIVED", "PRIMARY", "", "0011"]),
        (b"A\\PRIMARY\\\\077f", ["DERIVED", "PRIMARY", "", "077F"]),
        (b"A\\PRIMARY\\\\0080", ["DERIVED", "PRIMARY"]),  # bits that mean nothing
        (b"A\\PRIMARY\\\\1961", ["DERIVED", "PRIMARY"]),  # a year
        (b"A\\PRIMARY\\\\1", ["DERIVED", "PRIMARY"]),
        (b"", ["DERIVED", "PRIMARY"]),
    ],
)
def test_image_type(data: bytes, value: list[str]) -> None:
    rule = ImageType(frozenset({"BREAST"}))
    assert rule(raw(0x0008_0008, "CS", data), "ImageType") == value


@pytest.mark.parametrize(
    ("manufacturer", "model", "device"),
    [
        ("GE Medical Systems", "LOGIQE9", Device("GE", "LOGIQ E9")),
        ("GE Healthcare", "LOGIQ E9 XDclear", Device("GE", "LOGIQ E9")),
        ("GE", "LOGIQ E10", Device("GE", "LOGIQ E10")),
        ("GE", "LOGIQ E99", Device("GE", None)),
        ("TOSHIBA_MEC_US", "Aplio XG", Device("Canon", "Aplio XG")),
        ("Philips Medical Systems", "iU22", Device("Philips", "iU22")),
        ("ATL Ultrasound", "HDI5000", Device("Philips", "HDI 5000")),
        ("SIEMENS", "S2000", Device("Siemens", "ACUSON S2000")),
        ("ACUSON", "ACUSON S2000", Device("Siemens", "ACUSON S2000")),
        ("SuperSonic Imagine SA", "Aixplorer", Device("SuperSonic Imagine", "Aixplorer")),
        ("Mindray", "Room 3, Dr. Doe", Device("Mindray", None)),
        ("GERDA DOE CLINIC", "LOGIQ E9", None),
        ("", "LOGIQ E9", None),
        ("Jane Doe", "Jane Doe", None),
    ],
)
def test_devices_come_from_the_table(manufacturer: str, model: str, device: Device | None) -> None:
    assert normalise_device(manufacturer, model) == device


def test_every_attribute_is_standard_has_a_reason_and_is_there_once() -> None:
    places = [(one.within, one.keyword) for one in ALLOWED]
    assert len(set(places)) == len(places)
    for one in ALLOWED:
        assert one.tag >> 16 & 1 == 0
        assert one.reason
        assert one.vr
        assert (one.rule is not None) == (one.origin is Origin.COPIED)
        assert allowed(one.keyword, one.within) is one
        assert not one.within or allowed(one.within) is not None
    assert allowed("InstitutionName") is None
    assert allowed("PatientName", "SequenceOfUltrasoundRegions") is None


def test_what_the_table_lists_is_copied_only_on_request() -> None:
    profile = load_profile()
    listed = {
        one.keyword
        for one in ALLOWED
        if one.origin is Origin.COPIED and profile.action(one.tag) is not None
    }
    assert listed == {"PatientSex", "PatientAge"}
    for one in ALLOWED:
        if profile.action(one.tag) is Action.REMOVE:
            assert one.keyword == "PatientAge"


def test_terms_of_image_type_and_transducer() -> None:
    """PS3.3 C.8.5.6.1.1, value 3, and Table C.8-18 define 27 and 16 terms."""
    rules = {one.keyword: one.rule for one in ALLOWED}
    image_type, transducer = rules["ImageType"], rules["TransducerType"]
    assert isinstance(image_type, ImageType)
    assert isinstance(transducer, Words)
    assert len(image_type.examinations) == 27
    assert {"BREAST", "SMALL PARTS", "US BIOPSY"} < image_type.examinations
    assert len(transducer.words) == 16
    assert {"LINEAR", "CURVED LINEAR", "VECTOR_PHASED"} < transducer.words


def test_no_free_text_is_copied() -> None:
    for one in ALLOWED:
        if one.origin is Origin.COPIED:
            assert one.vr in {"AS", "CS", "DS", "IS", "US"}, one.keyword


def test_codes_follow_the_policy() -> None:
    default = [code.value for code in Policy().codes(pixels_cleaned=False)]
    assert default == ["113100", "113103", "113105"]
    everything = Policy(Dates.SHIFT, patient_characteristics=True, device=True)
    assert [code.value for code in everything.codes(pixels_cleaned=True)] == [
        *("113100", "113101", "113103", "113105", "113107", "113108", "113109")
    ]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("4\\3", ["4", "3"]),
        ("1200\\900", ["4", "3"]),
        ("19610203\\1", None),
        ("1961\\1", None),
        ("0\\1", None),
        ("4", None),
        ("4.5\\3", None),
        ("", None),
    ],
)
def test_ratio(text: str, kept: list[str] | None) -> None:
    source = Dataset()
    source.add_new(0x0028_0034, "LO", text)
    assert Ratio()(source, "PixelAspectRatio") == kept
