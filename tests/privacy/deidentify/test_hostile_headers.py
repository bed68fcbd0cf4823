"""Identifiers planted wherever a legal or broken object can hold them: none may come out."""

from __future__ import annotations

import logging
import random
import traceback
import warnings
from collections.abc import Callable, Iterator
from io import BytesIO
from itertools import count

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from privacy.deidentify.allowlist import ALLOWED
from privacy.deidentify.errors import DeidentifyError, NestingError, UnreadableError
from privacy.deidentify.frame_data import FrameFormat
from privacy.deidentify.policy import Dates, Policy
from privacy.deidentify.rebuild import rebuild
from privacy.pseudonym import SiteKey

EVERYTHING = Policy(dates=Dates.SHIFT, patient_characteristics=True, device=True)
SCRIPTS = ("Zzcanáry", "Ζζκανάρι", "Ззканарейка", "金絲雀鳥", "かなりあ", "카나리아새", "كناري")
Read = Callable[[Dataset], Dataset]


class Canaries:
    """Makes words that are nowhere else, and looks for them in every form they could have."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._numbers: Iterator[int] = count(1000)

    def __call__(self) -> str:
        word = f"ZZCANARY{next(self._numbers)}"
        self.words.append(word)
        return word

    def found_in(self, data: bytes) -> list[str]:
        return [
            word
            for word in [*self.words, *SCRIPTS]
            for encoding in ("utf-8", "utf-16-le", "utf-16-be", "latin-1", "shift_jis", "gb18030")
            if self._bytes(word, encoding) in data
        ]

    @staticmethod
    def _bytes(word: str, encoding: str) -> bytes:
        try:
            return word.encode(encoding)
        except UnicodeEncodeError:
            return b"\xff" * 64


def plant(source: Dataset, canary: Canaries) -> Dataset:
    """Put canaries in more than a hundred places of an object."""
    for keyword, vr in (
        ("InstitutionName", "LO"),
        ("InstitutionAddress", "ST"),
        ("ReferringPhysicianName", "PN"),
        ("OperatorsName", "PN"),
        ("PerformingPhysicianName", "PN"),
        ("NameOfPhysiciansReadingStudy", "PN"),
        ("StationName", "SH"),
        ("StudyDescription", "LO"),
        ("SeriesDescription", "LO"),
        ("ProtocolName", "LO"),
        ("AccessionNumber", "SH"),
        ("StudyID", "SH"),
        ("OtherPatientNames", "PN"),
        ("PatientAddress", "LO"),
        ("PatientComments", "LT"),
        ("ImageComments", "LT"),
        ("PatientTelephoneNumbers", "SH"),
        ("DeviceSerialNumber", "LO"),
        ("SoftwareVersions", "LO"),
        ("TransducerData", "LO"),
        ("DerivationDescription", "ST"),
        ("RequestedProcedureDescription", "LO"),
        ("StageName", "SH"),
        ("ViewName", "SH"),
        ("ClinicalTrialSubjectID", "LO"),
        ("RetrieveAETitle", "AE"),
        ("TextValue", "UT"),
        ("IssuerOfPatientID", "LO"),
    ):
        source.add_new(keyword_tag(keyword), vr, canary()[:16] if vr in {"AE", "SH"} else canary())
    source.PatientName = f"{canary()}^{canary()}"
    source.PatientID = f"ID {canary()}"
    source.StudyInstanceUID = f"1.2.{canary()}"
    source.SOPInstanceUID = f"../../{canary()}"
    # Words where codes and numbers belong.
    for attribute in ALLOWED:
        if attribute.rule is not None and attribute.vr in {"CS", "DS", "IS", "AS"}:
            put_raw(source, attribute.tag, attribute.vr, canary().encode())
    put_raw(source, keyword_tag("Manufacturer"), "LO", f"GE Healthcare {canary()}".encode())
    put_raw(source, keyword_tag("ManufacturerModelName"), "LO", f"LOGIQE9 {canary()}".encode())
    for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        put_raw(source, keyword_tag(keyword), "DA", canary().encode())
    # Sequences: ones that other tools keep, and ones in ones.
    for keyword in (
        "SequenceOfUltrasoundRegions",
        "ReferencedImageSequence",
        "SourceImageSequence",
        "AnatomicRegionSequence",
        "DeidentificationMethodCodeSequence",
        "RequestAttributesSequence",
        "OriginalAttributesSequence",
        "OtherPatientIDsSequence",
    ):
        inner = Dataset()
        inner.PatientName = canary()
        inner.CodeMeaning = canary()
        inner.add_new(0x0009_0010, "LO", canary())
        outer = Dataset()
        outer.PatientID = canary()
        outer.ImageComments = canary()
        outer.RequestAttributesSequence = Sequence([inner])
        source.add_new(keyword_tag(keyword), "SQ", Sequence([outer]))
    icon = Dataset()
    icon.Rows, icon.Columns, icon.BitsAllocated = 2, 2, 8
    icon.PixelData = canary().encode()
    icon.ImageComments = canary()
    source.IconImageSequence = Sequence([icon])
    # Private blocks, one of which holds a whole object.
    block = source.private_block(0x0009, canary(), create=True)
    block.add_new(0x01, "LO", canary())
    block.add_new(0x02, "OB", embedded(canary))
    block.add_new(0x03, "UN", canary().encode("utf-16-le"))
    source.add_new(0x0019_0010, "LO", canary())
    # Overlays, curves, and groups that are nobody's.
    source.add_new(0x6000_3000, "OW", canary().encode())
    source.add_new(0x6000_0022, "LO", canary())
    source.add_new(0x601E_1500, "LO", canary())
    source.add_new(0x5000_0022, "LO", canary())
    source.add_new(0x5000_3000, "OW", canary().encode())
    source.add_new(0x0010_8888, "LO", canary())
    source.add_new(0x4321_0002, "LO", canary())
    put_raw(source, 0x0008_0052, "LO", canary().encode())
    put_raw(source, 0x0028_0301, "CS", canary().encode())
    source.add_new(0xFFFC_FFFC, "OB", canary().encode())
    # A string where a number of bytes belongs.
    put_raw(source, keyword_tag("UltrasoundColorDataPresent"), "LO", canary().encode())
    meta = source.file_meta
    meta.add_new(0x0002_0016, "AE", canary()[:16])
    meta.add_new(0x0002_0017, "AE", canary()[:16])
    meta.ImplementationVersionName = canary()[:16]
    meta.PrivateInformationCreatorUID = "1.2.3"
    meta.PrivateInformation = canary().encode()
    return source


def keyword_tag(keyword: str) -> int:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return tag


def put_raw(source: Dataset, tag: int, vr: str, data: bytes) -> None:
    """Set an element as if it had been read, so that nobody checks it."""
    element = RawDataElement(Tag(tag), vr, len(data), data, 0, False, True)
    source._dict[Tag(tag)] = element


def embedded(canary: Canaries) -> bytes:
    inner = Dataset()
    inner.PatientName = canary()
    buffer = BytesIO()
    dcmwrite(buffer, inner, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


@pytest.fixture
def hostile(source: Dataset) -> tuple[Dataset, Canaries]:
    canary = Canaries()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return plant(source, canary), canary


@pytest.mark.parametrize("policy", [Policy(), EVERYTHING], ids=["nothing", "everything"])
@pytest.mark.parametrize("from_file", [False, True], ids=["built", "read"])
@pytest.mark.parametrize("count_of_frames", [1, 3])
def test_no_canary_survives(
    hostile: tuple[Dataset, Canaries],
    pixels: NDArray[np.uint8],
    site_key: SiteKey,
    policy: Policy,
    from_file: bool,
    count_of_frames: int,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    source, canary = hostile
    assert len(canary.words) >= 100
    if from_file:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            buffer = BytesIO()
            dcmwrite(buffer, source, enforce_file_format=True)
            written = buffer.getvalue()[128:].replace(b"\x08\0\x52\0LO", b"\x08\0\x52\0ZZ")
            data = b"MZ" + canary().encode().ljust(126, b"\0") + written
            # What was planted is there to be found.
            assert len(set(canary.found_in(data))) >= 100
            source = dcmread(BytesIO(data))
    pixels = pixels.repeat(count_of_frames, axis=0)
    given = FrameFormat.of(pixels, cleaned=True, frame_time=30.0)
    caplog.clear()  # of what pydicom said while the object was made
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rebuilt = rebuild(source, given, site_key, policy)
        data = rebuilt.to_bytes(pixels)
    assert not canary.found_in(data)
    shown = f"{rebuilt!r} {caplog.text} {capfd.readouterr()} {[str(one.message) for one in caught]}"
    assert not canary.found_in(shown.encode())
    assert "TransducerType" in rebuilt.refused
    assert rebuilt.dropped > 30
    new = dcmread(BytesIO(data))
    assert all(not element.tag.is_private for element in new.iterall())
    assert {str(element.keyword) for element in new.iterall()} <= {one.keyword for one in ALLOWED}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize(
    "declared",
    ["ISO_IR 192", "ISO_IR 100", "GB18030", "ISO 2022 IR 87", "NO_SUCH_SET", "", None],
)
def test_names_of_any_script_under_any_declaration(
    source: Dataset,
    frames: FrameFormat,
    site_key: SiteKey,
    script: str,
    declared: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for encoding in ("utf-8", "gb18030"):
        data = script.encode(encoding)
        if declared is not None:
            put_raw(source, 0x0008_0005, "CS", declared.encode())
        put_raw(source, 0x0010_0010, "PN", data)
        put_raw(source, 0x0010_0020, "LO", b"P" + data.replace(b"\\", b"").replace(b"\0", b""))
        put_raw(source, 0x0008_1030, "LO", data)
        written = outcome(source, frames, site_key)
        for form in ("utf-8", "utf-16-le", "gb18030"):
            assert script.encode(form) not in written
    assert script not in caplog.text
    assert "NO_SUCH_SET" not in caplog.text


def test_identifiers_in_a_declared_set_are_those_of_a_table(
    source: Dataset, frames: FrameFormat, site_key: SiteKey
) -> None:
    put_raw(source, 0x0008_0005, "CS", b"ISO_IR 100")
    put_raw(source, 0x0010_0020, "LO", "Müller-7".encode("latin-1"))
    latin = rebuild(source, frames, site_key).patient
    put_raw(source, 0x0008_0005, "CS", b"ISO_IR 192")
    put_raw(source, 0x0010_0020, "LO", "Müller-7".encode())
    assert rebuild(source, frames, site_key).patient == latin


def test_nesting_is_bounded(
    make_deep: Callable[[int], Dataset], frames: FrameFormat, site_key: SiteKey
) -> None:
    rebuild(make_deep(20), frames, site_key)
    with pytest.raises(NestingError, match="nested"):
        rebuild(make_deep(300), frames, site_key)


def test_a_sequence_of_garbage_is_an_error_without_a_value(
    source: Dataset, frames: FrameFormat, site_key: SiteKey
) -> None:
    put_raw(source, 0x0008_1140, "SQ", b"ZZCANA")
    with pytest.raises(UnreadableError) as caught:
        rebuild(source, frames, site_key)
    shown = "".join(traceback.format_exception(caught.value))
    assert "ZZCANA" not in shown
    assert "(0008,1140) ReferencedImageSequence" in shown


VRS = ("LO", "OB", "UN", "US", "FD", "SQ", "DA", "PN", "UI", "ZZ")
VALUES = (b"ZZCANARY1", b"\xff\xfe", b"\\", b"\0\0", b"", b"1" * 70_000)
TAGS = [one.tag for one in ALLOWED if not one.within and one.keyword != "PixelData"]


def outcome(source: Dataset, frames: FrameFormat, key: SiteKey) -> bytes:
    """What is written, or all that is told when nothing is."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            return rebuild(source, frames, key, EVERYTHING).to_bytes(np.zeros((1, 4, 6), np.uint8))
        except DeidentifyError as error:
            return "".join(traceback.format_exception(error)).encode()


@pytest.mark.parametrize("vr", VRS)
@pytest.mark.parametrize("value", VALUES)
def test_any_representation_everywhere(
    source: Dataset, frames: FrameFormat, site_key: SiteKey, vr: str, value: bytes
) -> None:
    needed = {one.tag for one in ALLOWED if one.keyword.endswith(("UID", "PatientID"))}
    for tag in set(TAGS) - needed:
        put_raw(source, tag, vr, value)
    assert b"ZZCANARY1" not in outcome(source, frames, site_key)


@pytest.mark.parametrize("tag", TAGS)
def test_any_representation_in_one_place(
    source: Dataset, frames: FrameFormat, site_key: SiteKey, tag: int
) -> None:
    put_raw(source, tag, VRS[tag % len(VRS)], VALUES[0])
    assert b"ZZCANARY1" not in outcome(source, frames, site_key)


def test_errors_show_no_value(source: Dataset, frames: FrameFormat, site_key: SiteKey) -> None:
    put_raw(source, 0x0010_0020, "LO", b"ZZCANARY1\x1b[31m\nZZCANARY2")
    with pytest.raises(DeidentifyError) as caught:
        rebuild(source, frames, site_key)
    assert "ZZCANARY" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("seed", range(8))
def test_broken_files_end_in_a_typed_error_or_in_an_object(
    source: Dataset, frames: FrameFormat, site_key: SiteKey, seed: int
) -> None:
    inner = Dataset()
    inner.PatientName = "ZZCANARY1"
    source.OtherPatientIDsSequence = Sequence([inner])
    source.InstitutionName = "ZZCANARY2"
    buffer = BytesIO()
    dcmwrite(buffer, source, enforce_file_format=True)
    whole = buffer.getvalue()
    chance = random.Random(seed)
    for _ in range(25):
        broken = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            broken[chance.randrange(132, len(broken))] = chance.randrange(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read = dcmread(BytesIO(broken[: chance.randint(600, len(broken))]))
            except Exception:  # reading is not what is tested
                continue
        assert b"ZZCANARY" not in outcome(read, frames, site_key)
