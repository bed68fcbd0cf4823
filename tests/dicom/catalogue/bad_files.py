"""Everything that can be wrong with a folder of DICOM files, and what is to become of it.

Cases are numbered; a number stays when others are added, and has several cases where it branches.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

__all__ = ["CASES", "FILE", "KEPT", "LEFT", "PATIENT", "WAITS", "Tools", "numbers"]

KEPT, WAITS, LEFT = "kept", "quarantined", "left-out"
PATIENT, FILE = "ZZCANARY", "ZZFILE"
UNDEFINED = 0xFFFFFFFF
ITEM_END = struct.pack("<HHL", 0xFFFE, 0xE00D, 0)

Make = Callable[..., bytes]


@dataclass(frozen=True)
class Tools:
    """What files are made of."""

    file: Make
    region: Callable[..., Dataset]
    tissue: Callable[..., NDArray[np.uint8]]
    element: Callable[..., bytes]

    def around(self, corners: tuple[int, int, int, int]) -> dict[str, Any]:
        return {"SequenceOfUltrasoundRegions": [self.region(corners)]}


@dataclass(frozen=True)
class Case:
    """Some files, and what is to become of each."""

    make: Callable[[Tools, int], list[bytes]]
    decision: str
    reason: str
    files: int = 1
    names: tuple[bytes, ...] = field(default=())


CASES: dict[str, Case] = {}


def case(
    decision: str, reason: str = "kept", *, files: int = 1, names: tuple[bytes, ...] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def keep(make: Callable[..., Any]) -> Callable[..., Any]:
        def several(tools: Tools, number: int) -> list[bytes]:
            made = make(tools, number)
            return [made] if isinstance(made, bytes) else list(made)

        CASES[make.__name__.strip("_")] = Case(several, decision, reason, files, names)
        return make

    return keep


def canary(number: int) -> str:
    return f"{PATIENT}{number:03d}"


def us(tools: Tools, number: int, *pixels: Any, **options: Any) -> bytes:
    options.setdefault("canary", canary(number))
    return tools.file(*pixels, number=number, **options)


def split(data: bytes) -> tuple[bytes, bytes]:
    """Preamble and file meta information, and the dataset behind them."""
    start = 144 + int.from_bytes(data[140:144], "little")
    return data[:start], data[start:]


def insert(data: bytes, raw: bytes) -> bytes:
    """Put bytes in front of Samples per Pixel."""
    at = data.index(b"\x28\x00\x02\x00US")
    return data[:at] + raw + data[at:]


def nested(tools: Tools, depth: int) -> bytes:
    body = b"".join(
        tools.element(0x00081140, "SQ", b"", UNDEFINED)
        + struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED)
        for _ in range(depth)
    )
    end = ITEM_END + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    outer = tools.element(0x00209FF0, "SQ", b"", UNDEFINED)
    return outer + struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED) + body + end * (depth + 1)


def jpeg(pixels: NDArray[np.uint8], kind: str = "JPEG", **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue() + b"\0" * (out.tell() % 2)


def rle(runs: int) -> bytes:
    """A frame of one segment that repeats a byte 128 times, so many times."""
    return struct.pack("<16L", 1, 64, *([0] * 14)) + b"\x81\x40" * runs


def written(tools: Tools, number: int, text: str, at: tuple[int, int]) -> NDArray[np.uint8]:
    picture = Image.fromarray(tools.tissue(number, (160, 240)))
    font = ImageFont.load_default(22)
    ImageDraw.Draw(picture).text(at, text, fill=255, font=font)
    return np.asarray(picture)


# Not DICOM


@case(LEFT, "not-dicom")
def n072_empty(tools: Tools, number: int) -> bytes:
    return b""


@case(LEFT, "not-dicom")
def n073_random(tools: Tools, number: int) -> bytes:
    return np.random.default_rng(1).bytes(4096)


@case(LEFT, "not-dicom")
def n074_png_renamed(tools: Tools, number: int) -> bytes:
    return jpeg(tools.tissue(1), "PNG")


@case(LEFT, "not-dicom")
def n074_zip_inside(tools: Tools, number: int) -> bytes:
    return b"PK\x03\x04" + canary(number).encode() * 20


@case(LEFT, "not-dicom")
def n075_no_preamble(tools: Tools, number: int) -> bytes:
    return split(us(tools, number))[1]


@case(KEPT, files=5)
def n076_polyglots(tools: Tools, number: int) -> list[bytes]:
    starts = (b"MZ", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"#!/bin/sh\n", b"II*\0")
    return [
        us(
            tools,
            number + place,
            preamble=(start + canary(number + place).encode()).ljust(128, b"\0"),
        )
        for place, start in enumerate(starts)
    ]


# Truncation and structure


@case(WAITS, "structure", files=2)
def n077_truncated_header(tools: Tools, number: int) -> list[bytes]:
    data = us(tools, number)
    return [data[:300], data[: data.index(b"\x28\x00\x02\x00US") + 5]]


@case(WAITS, "structure")
def n078_truncated_pixels(tools: Tools, number: int) -> bytes:
    return us(tools, number)[:-100]


@case(WAITS, "damaged", files=3)
def n078_too_few_or_too_many_pixels(tools: Tools, number: int) -> list[bytes]:
    return [us(tools, number + place, bytes(size)) for place, size in enumerate((8958, 8962, 0))]


@case(WAITS, "structure", files=2)
def n079_length_past_the_end(tools: Tools, number: int) -> list[bytes]:
    data = us(tools, number)
    return [
        insert(data, tools.element(0x00209FF0, "UT", b"Jane", 0x0FFFFFF0)),
        # The meta information claims to be longer than the file.
        data[:140] + b"\xff\xff\xff\x7f" + insert(data, b"\0")[144:],
    ]


@case(WAITS, "structure")
def n080_no_delimiter(tools: Tools, number: int) -> bytes:
    start = tools.element(0x00209FF0, "SQ", b"", UNDEFINED)
    return insert(us(tools, number), start + struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED))


@case(WAITS, "structure", files=2)
def n080_stray_delimiters(tools: Tools, number: int) -> list[bytes]:
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    return [insert(us(tools, number + place), raw) for place, raw in enumerate((ITEM_END, end))]


@case(WAITS, "too-large", files=3)
def n081_nested(tools: Tools, number: int) -> list[bytes]:
    return [
        insert(us(tools, number + place), nested(tools, depth))
        for place, depth in enumerate((200, 300, 5000))
    ]


# Codecs and the image module


@case(WAITS, "too-large")
def n082_deflate_bomb(tools: Tools, number: int) -> bytes:
    return us(
        tools,
        number,
        syntax=DeflatedExplicitVRLittleEndian,
        extra=lambda one: one.add_new(0x00091010, "OB", bytes(8 << 20)),
    )


@case(WAITS, "damaged")
def n083_rle_cut_short(tools: Tools, number: int) -> bytes:
    return us(tools, number, [rle(10)], syntax=RLELossless)  # 1280 of 8960 pixels


@case(KEPT)
def n083_rle_that_goes_on(tools: Tools, number: int) -> bytes:
    # As long as a frame of that size may be; the decoder stops after the 8960 pixels.
    return us(tools, number, [rle(4600)], syntax=RLELossless)


@case(WAITS, "too-large", files=2)
def n083_rle_bombs_of_large_frames(tools: Tools, number: int) -> list[bytes]:
    size = {"Rows": 8192, "Columns": 8192}
    return [
        us(tools, number, [rle(500_000)], syntax=RLELossless, **size),
        us(tools, number + 1, [rle(10_000)], syntax=RLELossless),
    ]


@case(WAITS, "damaged", files=3)
def n084_codestreams_of_another_size(tools: Tools, number: int) -> list[bytes]:
    small, large = tools.tissue(1, (40, 48)), tools.tissue(1, (2000, 2000))
    codestream = jpeg(small, "JPEG2000", no_jp2=True)
    return [
        us(tools, number, [jpeg(small)], syntax=JPEGBaseline8Bit),
        us(tools, number + 1, [jpeg(large, quality=5)], syntax=JPEGBaseline8Bit),
        us(tools, number + 2, [codestream], syntax=JPEG2000Lossless),
    ]


@case(WAITS, "damaged", files=2)
def n085_no_rows(tools: Tools, number: int) -> list[bytes]:
    return [us(tools, number, Rows=0), us(tools, number + 1, Columns=0)]


@case(WAITS, "too-large")
def n085_rows_times_columns(tools: Tools, number: int) -> bytes:
    return us(tools, number, Rows=65_535, Columns=65_535)


@case(WAITS, "structure", files=2)
def n085_rows_missing_or_wrong(tools: Tools, number: int) -> list[bytes]:
    return [
        us(tools, number, absent=["Rows"]),
        us(tools, number + 1, extra=lambda one: one.add_new(0x00280010, "US", [80, 80])),
    ]


@case(WAITS, "damaged", files=2)
def n086_frames_below_one(tools: Tools, number: int) -> list[bytes]:
    return [us(tools, number + place, NumberOfFrames=n) for place, n in enumerate((0, -5))]


@case(WAITS, "too-large")
def n086_frames_without_end(tools: Tools, number: int) -> bytes:
    return us(tools, number, NumberOfFrames=2**31 - 1)


@case(WAITS, "damaged")
def n087_more_bits_stored_than_allocated(tools: Tools, number: int) -> bytes:
    return us(tools, number, BitsStored=12, HighBit=11)


@case(WAITS, "damaged", files=2)
def n088_samples(tools: Tools, number: int) -> list[bytes]:
    return [us(tools, number + place, SamplesPerPixel=n) for place, n in enumerate((2, 3))]


@case(WAITS, "damaged")
def n089_colour_that_is_not_there(tools: Tools, number: int) -> bytes:
    return us(tools, number, PhotometricInterpretation="RGB")


@case(WAITS, "unsupported")
def n089_colour_that_nobody_knows(tools: Tools, number: int) -> bytes:
    return us(tools, number, PhotometricInterpretation=canary(number))


# Encoding


@case(KEPT, files=3)
def n090_other_encodings(tools: Tools, number: int) -> list[bytes]:
    syntaxes = (ExplicitVRBigEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
    return [us(tools, number + place, syntax=syntax) for place, syntax in enumerate(syntaxes)]


@case(WAITS, "structure", files=2)
def n091_implicit_and_explicit_exchanged(tools: Tools, number: int) -> list[bytes]:
    explicit = split(us(tools, number))
    implicit = split(us(tools, number, syntax=ImplicitVRLittleEndian))
    return [explicit[0] + implicit[1], implicit[0] + explicit[1]]


@case(WAITS, "unsupported", files=2)
def n092_unknown_transfer_syntax(tools: Tools, number: int) -> list[bytes]:
    data = us(tools, number)
    return [
        data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.77"),
        data.replace(b"1.2.840.10008.1.2.1\0", canary(number).encode().ljust(20, b"X")),
    ]


@case(KEPT, files=3)
def n093_character_sets(tools: Tools, number: int) -> list[bytes]:
    named = canary(number).encode()
    return [
        us(
            tools,
            number + place,
            SpecificCharacterSet=declared,
            extra=lambda one, broken=broken: one.add_new(0x00100010, "PN", named + broken),
        )
        for place, (declared, broken) in enumerate(
            (
                (canary(number), b"\xff\xfe"),
                ("ISO_IR 192", b"\xc3("),
                (["", "ISO 2022 IR 87"], b"\x1b$B\xff\x1b(Z"),
            )
        )
    ]


@case(KEPT, files=4)
def n094_uids(tools: Tools, number: int) -> list[bytes]:
    texts = (f"../../../{canary(number)}", "1." * 100 + "1", canary(number), "/etc/passwd")
    return [
        us(
            tools,
            number + place,
            SOPInstanceUID=f"{text}/1",
            StudyInstanceUID=text,
            SeriesInstanceUID=f"{text}/..",
        )
        for place, text in enumerate(texts)
    ]


@case(KEPT, files=2)
def n095_names(tools: Tools, number: int) -> list[bytes]:
    return [
        us(
            tools,
            number,
            extra=lambda one: one.add_new(
                0x00100010, "UN", (canary(number) * 100_000).encode()[:1_000_000]
            ),
            syntax=ImplicitVRLittleEndian,
        ),
        us(tools, number + 1, PatientName=f"\x1b[31m{canary(number + 1)}\r\n\x07\x00"),
    ]


@case(WAITS, "no-identifier", files=4)
def n095_patient_ids(tools: Tools, number: int) -> list[bytes]:
    name = canary(number)
    values = (name * 10_000, f"{name}\x1b[0m", "", f"{name}\\{name}")
    return [
        us(
            tools,
            number + place,
            syntax=ImplicitVRLittleEndian,
            extra=lambda one, value=value: one.add_new(0x00100020, "UT", value),
        )
        for place, value in enumerate(values)
    ]


@case(WAITS, "no-identifier", files=3)
def n095_no_uid(tools: Tools, number: int) -> list[bytes]:
    keywords = ("StudyInstanceUID", "SeriesInstanceUID")
    gone = [us(tools, number + place, absent=[word]) for place, word in enumerate(keywords)]
    return [*gone, us(tools, number + 2, StudyInstanceUID=["1.2.3", "1.2.4"])]


@case(KEPT)
def n096_private_creators(tools: Tools, number: int) -> bytes:
    def private(one: Dataset) -> None:
        for block in (0x10, 0x11, 0x12):
            one.add_new(0x00090000 + block, "LO", "ACME")
            one.add_new(0x00090000 + (block << 8) + 1, "LO", canary(number))
        one.add_new(0x00292001, "LO", canary(number))  # without a creator

    return us(tools, number, extra=private)


# Identifiers in every corner


@case(KEPT)
def n097_everywhere(tools: Tools, number: int) -> bytes:
    name = canary(number)

    def hide(one: Dataset) -> None:
        inner = Dataset()
        inner.PatientName, inner.ImageComments = name, name
        one.SequenceOfUltrasoundRegions[0].PatientName = name
        one.SequenceOfUltrasoundRegions[0].ReferencedImageSequence = [inner]
        one.SourceImageSequence = one.IconImageSequence = [inner]
        one.add_new(0x00091010, "OB", us(tools, number))
        one.add_new(0x0008ABCC, "UN", name.encode())
        one.add_new(0x50003000, "OW", name.encode())
        one.add_new(0x50000022, "LO", name)
        one.add_new(0x60000022, "LO", name)
        one.add_new(0x60003000, "OW", name.encode())
        one.add_new(0x00185000, "SH", name)
        one.PatientComments = one.TransducerData = one.ImageComments = name
        one.ImageType = ["ORIGINAL", "PRIMARY", name]
        one.BodyPartExamined = one.Laterality = name
        one.add_new(0x00282112, "LO", name)

    meta = {"SourceApplicationEntityTitle": name, "ImplementationVersionName": name}
    data = us(tools, number, extra=hide, meta=meta)
    return data + tools.element(0xFFFCFFFC, "OB", name.encode() * 2)


@case(KEPT)
def n098_burned_in_whatever_is_said(tools: Tools, number: int) -> bytes:
    pixels = written(tools, number, "JANE DOE", (60, 60))
    return us(tools, number, pixels, BurnedInAnnotation="NO", **tools.around((16, 12, 223, 147)))


# Regions


def one_region(number: int, tools: Tools, item: Dataset) -> bytes:
    return us(tools, number, SequenceOfUltrasoundRegions=[item])


@case(WAITS, "absent", files=2)
def n099_no_region(tools: Tools, number: int) -> list[bytes]:
    return [
        us(tools, number, absent=["SequenceOfUltrasoundRegions"]),
        us(tools, number + 1, SequenceOfUltrasoundRegions=[]),
    ]


@case(WAITS, "whole-frame")
def n099_region_covers_all(tools: Tools, number: int) -> bytes:
    return us(tools, number, **tools.around((0, 0, 111, 79)))


@case(WAITS, "outside", files=2)
def n099_region_reaches_out(tools: Tools, number: int) -> list[bytes]:
    return [
        us(tools, number, **tools.around((16, 12, 400, 71))),
        us(tools, number + 1, **tools.around((2**31, 12, 2**31 + 70, 71))),
    ]


@case(WAITS, "reversed")
def n099_region_reversed(tools: Tools, number: int) -> bytes:
    return us(tools, number, **tools.around((95, 12, 16, 71)))


@case(WAITS, "empty")
def n099_region_without_area(tools: Tools, number: int) -> bytes:
    return us(tools, number, **tools.around((16, 12, 95, 12)))


@case(WAITS, "malformed", files=3)
def n099_region_malformed(tools: Tools, number: int) -> list[bytes]:
    missing, several, short = tools.region(), tools.region(), tools.region()
    del missing.RegionDataType
    several.RegionLocationMinX0 = [16, 17]
    short.add_new(0x00186018, "OB", b"\x10\0")
    return [
        one_region(number + place, tools, item)
        for place, item in enumerate((missing, several, short))
    ]


@case(WAITS, "outside")
def n099_region_negative(tools: Tools, number: int) -> bytes:
    item = tools.region()
    item.add_new(0x00186018, "SL", -5)
    return one_region(number, tools, item)


@case(WAITS, "small")
def n099_region_tiny(tools: Tools, number: int) -> bytes:
    return us(tools, number, **tools.around((16, 12, 30, 71)))


@case(WAITS, "not-tissue", files=2)
def n099_doppler_only(tools: Tools, number: int) -> list[bytes]:
    spectrum, flow = tools.region(form=3), tools.region(kind=2)
    return [one_region(number, tools, spectrum), one_region(number + 1, tools, flow)]


@case(WAITS, "overlap")
def n099_flow_on_tissue(tools: Tools, number: int) -> bytes:
    items = [tools.region(), tools.region((30, 20, 60, 50), kind=2)]
    return us(tools, number, SequenceOfUltrasoundRegions=items)


@case(WAITS, "too-many")
def n099_regions_without_number(tools: Tools, number: int) -> bytes:
    items = [tools.region() for _ in range(500)]
    return us(tools, number, SequenceOfUltrasoundRegions=items)


@case(KEPT)
def n102_dual_view(tools: Tools, number: int) -> bytes:
    items = [tools.region((58, 12, 104, 71)), tools.region((4, 12, 50, 71))]
    return us(tools, number, SequenceOfUltrasoundRegions=items)


@case(WAITS, "mostly-text")
def n100_text_all_over(tools: Tools, number: int) -> bytes:
    text = "\n".join(["DOE JANE 1961"] * 6)
    pixels = written(tools, number, text, (20, 14))
    return us(tools, number, pixels, **tools.around((16, 12, 223, 147)))


@case(WAITS, "colour")
def n101_flow_in_colour(tools: Tools, number: int) -> bytes:
    pixels = tools.tissue(number, (80, 112, 3)).copy()
    pixels[20:60, 30:60] = (200, 30, 20)
    pixels[20:60, 60:80] = (20, 40, 210)
    return us(tools, number, pixels)


@case(KEPT)
def n103_calipers_in_colour(tools: Tools, number: int) -> bytes:
    pixels = tools.tissue(number, (160, 240, 3)).copy()
    for x in (80, 150):
        pixels[70:81, x : x + 2] = pixels[75:77, x - 5 : x + 7] = (240, 230, 20)
    return us(tools, number, pixels, **tools.around((16, 12, 223, 147)))


# Other objects


def of_class(tools: Tools, number: int, uid: str, **options: Any) -> bytes:
    return us(tools, number, SOPClassUID=uid, **options)


@case(LEFT, "not-ultrasound", files=6)
def n104_other_objects(tools: Tools, number: int) -> list[bytes]:
    classes = (
        "1.2.840.10008.1.3.10",  # the directory of a medium
        "1.2.840.10008.5.1.4.1.1.88.11",  # a report
        "1.2.840.10008.5.1.4.1.1.104.1",  # a PDF
        "1.2.840.10008.5.1.4.1.1.77.1.4.1",  # a video of visible light
        "1.2.840.10008.5.1.4.1.1.2",  # CT
        canary(number),
    )
    return [of_class(tools, number + place, uid) for place, uid in enumerate(classes)]


@case(WAITS, "unsupported")
def n104_mpeg(tools: Tools, number: int) -> bytes:
    return us(tools, number, [b"\0\0\1\xb3" * 8], syntax="1.2.840.10008.1.2.4.100")


@case(WAITS, "not-ultrasound")
def n104_another_class_than_the_file_says(tools: Tools, number: int) -> bytes:
    meta = {"MediaStorageSOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"}
    ct = us(tools, number, extra=lambda one: one.add_new(0x00080016, "UI", "1.2"), meta=meta)
    start, body = split(ct)
    return split(us(tools, number))[0] + body if start else b""


@case(WAITS, "secondary-capture", files=2)
def n105_secondary_captures(tools: Tools, number: int) -> list[bytes]:
    classes = ("1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.7.4")
    return [of_class(tools, number + place, uid) for place, uid in enumerate(classes)]


# Who and which


@case(WAITS, "two-objects-one-uid", files=2)
def n106_other_pixels_under_one_uid(tools: Tools, number: int) -> list[bytes]:
    return [us(tools, number), us(tools, number, tools.tissue(number + 500))]


@case(WAITS, "two-patients-one-id", files=2)
def n107_two_patients_under_one_id(tools: Tools, number: int) -> list[bytes]:
    same = canary(number)
    return [
        us(tools, number + place, PatientID=same, PatientBirthDate=born)
        for place, born in enumerate(("19500101", "19700202"))
    ]


@case(WAITS, "one-patient-two-ids", files=2)
def n107_one_patient_under_two_ids(tools: Tools, number: int) -> list[bytes]:
    names = (f"{PATIENT}SAME^Jane", f"{PATIENT}same^JANE^")
    return [us(tools, number + place, PatientName=name) for place, name in enumerate(names)]


@case(KEPT, files=2)
def n107_birth_dates_of_two_editions(tools: Tools, number: int) -> list[bytes]:
    same = canary(number)
    return [
        us(
            tools,
            number + place,
            PatientID=same,
            extra=lambda one, born=born: one.add_new(0x00100030, "LO", born),
            syntax=ImplicitVRLittleEndian,
        )
        for place, born in enumerate(("19610203", "1961.02.03"))
    ]


@case(KEPT, files=2)
def n108_leading_zeros(tools: Tools, number: int) -> list[bytes]:
    return [us(tools, number, PatientID="0070707"), us(tools, number + 1, PatientID="70707")]


@case(KEPT, files=8, names=(b"=1+1", b"+1", b"-1", b"@SUM", b"\tx", b"\rx", b'"\n=1', b"\xff\x1b["))
def n112_file_names(tools: Tools, number: int) -> list[bytes]:
    return [us(tools, number + place) for place in range(8)]


@case(KEPT)
def plain_file(tools: Tools, number: int) -> bytes:
    return us(tools, number)


def numbers() -> dict[str, int]:
    """The number of the first file of each case."""
    found, number = {}, 1
    for name, one in CASES.items():
        found[name] = number
        number += one.files
    return found
