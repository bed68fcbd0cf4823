"""Files that are no DICOM, lie or ask for too much: a typed error that quotes nothing of them."""

from __future__ import annotations

import io
import logging
import pickle
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from privacy.deidentify.limits import Limits, image_pixels
from privacy.deidentify.pixel_errors import (
    LimitError,
    PixelDataError,
    StructureError,
    UnsupportedPixelsError,
)
from privacy.deidentify.pixel_file import open_pixels

MakeFile = Callable[..., io.BytesIO]
CANARY = "ZZCANARY"
GRAY = bytes(24)


@pytest.fixture(autouse=True)
def no_canary(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    out = capfd.readouterr()
    assert CANARY not in out.out + out.err + caplog.text


def refuse(
    file: io.BytesIO | bytes,
    error: type[PixelDataError],
    match: str = ".",
    limits: Limits | None = None,
) -> None:
    stream = io.BytesIO(file) if isinstance(file, bytes) else file
    with pytest.raises(error, match=match) as caught:
        open_pixels(stream, limits)
    assert type(caught.value) is error
    assert CANARY not in repr(caught.value) + str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def explicit(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    if vr in ("OB", "OW", "SQ", "UN", "UT"):
        return head + struct.pack("<HL", 0, size) + value
    return head + struct.pack("<H", size) + value


def item(value: bytes, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    return struct.pack("<HHL", 0xFFFE, 0xE000, size) + value


UNDEFINED = 0xFFFFFFFF
ITEM_END = struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
SEQUENCE_END = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


def around(body: bytes, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """A file with this dataset."""
    meta = explicit(0x00020010, "UI", syntax.encode() + b"\0" * (len(syntax) % 2))
    return bytes(128) + b"DICM" + meta + body


def image(front: bytes = b"", pixels: bytes | None = None) -> bytes:
    """A file with an image of 4 x 6 pixels and something in front of group 0028."""
    module = b"".join(
        explicit(tag, vr, value)
        for tag, vr, value in (
            (0x00280002, "US", b"\1\0"),
            (0x00280004, "CS", b"MONOCHROME2 "),
            (0x00280010, "US", b"\4\0"),
            (0x00280011, "US", b"\6\0"),
            (0x00280100, "US", b"\10\0"),
            (0x00280101, "US", b"\10\0"),
            (0x00280102, "US", b"\7\0"),
            (0x00280103, "US", b"\0\0"),
        )
    )
    tail = explicit(0x7FE00010, "OB", GRAY) if pixels is None else pixels
    return around(front + module + tail)


def test_the_hand_made_file_is_legal() -> None:
    opened = open_pixels(io.BytesIO(image()))
    assert (opened.pixels.rows, opened.pixels.columns) == (4, 6)
    assert opened.blank_preamble


class TestNotDicom:
    @pytest.mark.parametrize(
        "data",
        [b"", b"\x89PNG\r\n\x1a\n" + bytes(300), CANARY.encode() * 50, image()[128:]],
        ids=["empty", "png", "text", "no-preamble"],
    )
    def test_is_refused(self, data: bytes) -> None:
        refuse(data, StructureError, "Not a DICOM file")

    def test_a_program_in_the_preamble_is_told(self) -> None:
        data = b"MZ" + image()[2:]
        assert not open_pixels(io.BytesIO(data)).blank_preamble

    def test_without_pixels(self) -> None:
        refuse(around(explicit(0x00100010, "PN", CANARY.encode())), StructureError, "no pixels")
        refuse(image(pixels=explicit(0x7FE00008, "OF", b"")), StructureError)
        refuse(around(b""), StructureError, "no pixels")

    def test_without_transfer_syntax(self) -> None:
        refuse(bytes(128) + b"DICM", StructureError, "transfer syntax")


class TestStructure:
    def test_every_cut_is_noticed(self) -> None:
        front = explicit(0x00081140, "SQ", item(explicit(0x00081155, "UI", b"1.2\0")))
        whole = image(front + explicit(0x00100010, "PN", CANARY.encode()))
        for length in range(128, len(whole), 3):
            stream = io.BytesIO(whole[:length])
            with pytest.raises(PixelDataError):
                open_pixels(stream)

    @pytest.mark.parametrize(
        "front",
        [
            explicit(0x00100010, "PN", CANARY.encode(), length=60_000),
            explicit(0x00104000, "UT", CANARY.encode(), length=0x7FFFFFFF),
            explicit(0x00081140, "SQ", item(b"", length=5000)),
            explicit(0x00081140, "SQ", item(b"") + SEQUENCE_END, length=8),
            explicit(0x00081140, "SQ", item(b""), length=UNDEFINED),
            explicit(0x00081140, "SQ", item(b"", length=UNDEFINED), length=UNDEFINED),
            explicit(0x00081140, "SQ", b"ZZCANARY" * 2),
            ITEM_END,
            SEQUENCE_END,
            item(b""),
            explicit(0x00100010, "PN", b"") + explicit(0x00100010, "PN", b""),
            explicit(0x00100020, "LO", b"") + explicit(0x00100010, "PN", b""),
            explicit(0x00100010, "ZZ", CANARY.encode()),
            explicit(0x00100010, "\0\1", CANARY.encode()),
            explicit(0x00091001, "OB", item(b"", length=UNDEFINED), length=UNDEFINED),
        ],
        ids=[
            "past-end",
            "far-past-end",
            "item-past-sequence",
            "delimiter-in-known-length",
            "no-sequence-end",
            "no-item-end",
            "no-items",
            "stray-item-end",
            "stray-sequence-end",
            "stray-item",
            "repeated",
            "out-of-order",
            "unknown-vr",
            "no-vr",
            "fragment-without-length",
        ],
    )
    def test_wrong_lengths_and_delimiters(self, front: bytes) -> None:
        refuse(image(front), StructureError, "At byte")

    def test_implicit_vr_declared_explicit_and_the_other_way(self) -> None:
        value = CANARY.encode()
        implicit = struct.pack("<HHL", 0x10, 0x10, len(value)) + value
        refuse(image(implicit), StructureError, "without a VR")
        data = image(explicit(0x00100010, "PN", value))
        body = data[data.index(b"\x10\0\x10\0PN") :]
        refuse(around(body, ImplicitVRLittleEndian), StructureError, "longer than")

    @pytest.mark.parametrize("depth", [200, 5000])
    @pytest.mark.parametrize("defined", [True, False])
    def test_deep_sequences(self, depth: int, defined: bool) -> None:
        nest = b""
        for _ in range(depth):
            if defined:
                nest = explicit(0x00081140, "SQ", item(nest))
            else:
                inner = item(nest + ITEM_END, length=UNDEFINED)
                nest = explicit(0x00081140, "SQ", inner + SEQUENCE_END, length=UNDEFINED)
        refuse(image(nest), LimitError, "deeper")

    def test_deep_sequences_of_unknown_vr(self) -> None:
        nest = b""
        for _ in range(300):
            inner = item(nest + ITEM_END, length=UNDEFINED)
            nest = struct.pack("<HHL", 8, 0x1140, UNDEFINED) + inner + SEQUENCE_END
        # In front of this only the outermost element has a VR.
        refuse(image(explicit(0x00081140, "UN", nest[8:], length=UNDEFINED)), LimitError, "deeper")

    def test_many_and_large_elements(self) -> None:
        many = b"".join(explicit(0x00090000 + number, "LO", b"") for number in range(0x10, 0x70))
        refuse(image(many), LimitError, "elements", Limits(elements=80))
        large = explicit(0x00091010, "UN", bytes(5000))
        refuse(image(large), LimitError, "above the limit", Limits(element_bytes=4096))
        refuse(image(), LimitError, "The file has", Limits(file_bytes=100))

    def test_encapsulated_icons_are_walked_over(self) -> None:
        icon = explicit(0x7FE00010, "OB", item(b"") + item(GRAY) + SEQUENCE_END, length=UNDEFINED)
        front = explicit(0x00080070, "LO", b"M ") + explicit(0x00091010, "SQ", item(icon))
        assert open_pixels(io.BytesIO(image(front))).pixels.frames == 1

    def test_a_file_whose_elements_pydicom_cannot_parse(self) -> None:
        front = explicit(0x00080005, "CS", CANARY.encode())
        assert open_pixels(io.BytesIO(image(front))).pixels.rows == 4


class TestDeflated:
    def test_a_bomb(self) -> None:
        engine = zlib.compressobj(9, zlib.DEFLATED, -15)
        chunk = explicit(0x00104000, "UT", bytes(1 << 20), length=(1 << 20) * 60)
        body = engine.compress(chunk)
        for _ in range(59):
            body += engine.compress(bytes(1 << 20))
        body += engine.flush()
        tracemalloc.start()
        started = time.monotonic()
        refuse(around(body, DeflatedExplicitVRLittleEndian), LimitError, "deflated")
        assert time.monotonic() - started < 20
        assert tracemalloc.get_traced_memory()[1] < 40 << 20
        tracemalloc.stop()

    def test_damaged_and_truncated(self, make_file: MakeFile) -> None:
        data = make_file(GRAY, syntax=DeflatedExplicitVRLittleEndian).getvalue()
        refuse(data[:-30], StructureError, "deflated")
        refuse(around(b"\xff" * 100, DeflatedExplicitVRLittleEndian), StructureError, "damaged")


class TestImagePixels:
    @pytest.mark.parametrize(
        "name",
        [
            "Rows",
            "Columns",
            "SamplesPerPixel",
            "PhotometricInterpretation",
            "BitsAllocated",
            "BitsStored",
            "HighBit",
            "PixelRepresentation",
        ],
    )
    def test_a_required_element_is_missing(self, make_file: MakeFile, name: str) -> None:
        refuse(make_file(GRAY, **{name: None}), StructureError, "is missing")

    def test_planar_configuration_is_missing(self, make_file: MakeFile) -> None:
        file = make_file(bytes(72), shape=(4, 6, 3), PlanarConfiguration=None)
        refuse(file, StructureError, "Planar Configuration")

    @pytest.mark.parametrize(
        ("attributes", "error", "match"),
        [
            ({"Rows": 0}, PixelDataError, "Rows"),
            ({"Columns": 0}, PixelDataError, "Columns"),
            ({"Rows": 65535, "Columns": 65535}, LimitError, "65535 x 65535"),
            ({"Rows": 65535}, PixelDataError, "truncated"),
            ({"NumberOfFrames": "0"}, PixelDataError, "Number of Frames"),
            ({"NumberOfFrames": "-5"}, PixelDataError, "Number of Frames"),
            ({"NumberOfFrames": "2147483648"}, LimitError, "Number of Frames"),
            ({"NumberOfFrames": "2"}, PixelDataError, "truncated"),
            ({"BitsStored": 9}, PixelDataError, "Bits Stored"),
            ({"BitsStored": 0, "HighBit": 0}, PixelDataError, "Bits Stored"),
            ({"HighBit": 3}, PixelDataError, "High Bit"),
            ({"BitsAllocated": 1, "BitsStored": 1}, UnsupportedPixelsError, "Bits Allocated"),
            ({"BitsAllocated": 32, "BitsStored": 32}, UnsupportedPixelsError, "Bits Allocated"),
            ({"PixelRepresentation": 1}, UnsupportedPixelsError, "Pixel Representation"),
            ({"SamplesPerPixel": 2}, PixelDataError, "Samples per Pixel"),
            ({"SamplesPerPixel": 3}, PixelDataError, "Samples per Pixel"),
            ({"PhotometricInterpretation": "RGB"}, PixelDataError, "Samples per Pixel"),
            ({"PhotometricInterpretation": CANARY}, UnsupportedPixelsError, "Photometric"),
            ({"PhotometricInterpretation": ["RGB", "RGB"]}, StructureError, "several"),
            ({"PhotometricInterpretation": "PALETTE COLOR"}, PixelDataError, "missing"),
            ({"Rows": [4, 4]}, StructureError, "Rows"),
        ],
    )
    def test_contradictions(
        self,
        make_file: MakeFile,
        attributes: dict[str, object],
        error: type[PixelDataError],
        match: str,
    ) -> None:
        refuse(make_file(GRAY, **attributes), error, match)

    def test_words_where_numbers_belong(self, make_file: MakeFile) -> None:
        data = make_file(GRAY, NumberOfFrames="11111111").getvalue()
        refuse(data.replace(b"11111111", CANARY.encode()), StructureError, "Number of Frames")

    def test_subsampled_frames(self, make_file: MakeFile) -> None:
        for shape, planar in (((4, 5, 3), 0), ((4, 6, 3), 1)):
            file = make_file(
                bytes(72),
                shape=shape,
                PhotometricInterpretation="YBR_FULL_422",
                PlanarConfiguration=planar,
            )
            refuse(file, PixelDataError, "4:2:2")

    @pytest.mark.parametrize("length", [0, 12, 22, 26, 48])
    def test_more_or_fewer_pixels_than_described(self, make_file: MakeFile, length: int) -> None:
        # Behind the last frame anything may hide, between frames as well.
        refuse(make_file(bytes(length)), PixelDataError)

    def test_all_frames_together(self, make_file: MakeFile) -> None:
        file = make_file(bytes(48), NumberOfFrames="2")
        refuse(file, LimitError, "2 frames of 24 bytes", Limits(decoded_bytes=47))
        assert open_pixels(file, Limits(decoded_bytes=48)).pixels.frames == 2

    def test_compressed_pixels_with_a_length(self, make_file: MakeFile) -> None:
        data = make_file(GRAY).getvalue()
        syntax = ExplicitVRLittleEndian.encode() + b"\0"
        # As long as the other one, so that only the meaning changes.
        body = data[data.index(syntax) + len(syntax) :]
        body = body[body.index(b"\x08\x00\x16\x00") :]
        refuse(around(body, RLELossless), StructureError, "with a length")

    @pytest.mark.parametrize(
        "pixels",
        [
            b"",
            item(b""),
            item(b"") + SEQUENCE_END,
            item(b"") + item(b"", length=500) + SEQUENCE_END,
            item(b"") + item(b"", length=UNDEFINED) + SEQUENCE_END,
            item(b"") + item(GRAY),
            item(b"") + ITEM_END,
        ],
        ids=["nothing", "table", "empty", "past-end", "no-length", "no-end", "delimiter"],
    )
    def test_fragments_that_are_cut(self, pixels: bytes) -> None:
        element = explicit(0x7FE00010, "OB", pixels, length=UNDEFINED)
        data = image(pixels=element)
        plain = explicit(0x00020010, "UI", ExplicitVRLittleEndian.encode() + b"\0")
        run = explicit(0x00020010, "UI", RLELossless.encode() + b"\0")
        with pytest.raises(PixelDataError):
            open_pixels(io.BytesIO(data.replace(plain, run)))

    def test_palettes(self, make_file: MakeFile) -> None:
        def with_palette(descriptor: list[int], data: bytes) -> io.BytesIO:
            def extra(dataset: Dataset) -> None:
                for name in ("Red", "Green", "Blue"):
                    setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", descriptor)
                    setattr(dataset, f"{name}PaletteColorLookupTableData", data)

            return make_file(GRAY, PhotometricInterpretation="PALETTE COLOR", extra=extra)

        assert open_pixels(with_palette([4, 0, 8], bytes(4))).palette is not None
        for descriptor, data in (([4, 0, 8], bytes(2)), ([0, 0, 16], bytes(6)), ([4, 0, 12], b"")):
            refuse(with_palette(descriptor, data), PixelDataError)
        refuse(with_palette([4, 65535, 8], bytes(4)), PixelDataError, "describes no table")

    def test_a_dataset_in_memory(self) -> None:
        from_hand = Dataset()
        with pytest.raises(StructureError, match="Rows"):
            image_pixels(from_hand)
        from_hand.Rows = 4
        from_hand.add_new(0x00186011, "SQ", Sequence([]))
        with pytest.raises(StructureError, match="Columns"):
            image_pixels(from_hand)

    def test_limits_are_positive(self) -> None:
        with pytest.raises(ValueError, match="pixels"):
            Limits(pixels=0)
