"""What kind of file it is, from its first bytes."""

from __future__ import annotations

import io
import struct
import time

import pytest

from privacy.deidentify.media import storage_class

US = b"1.2.840.10008.5.1.4.1.1.6.1\0"


def meta(tag: int, value: bytes, vr: bytes = b"UI", length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    if vr == b"OB":
        return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr, 0, size) + value
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, size) + value


def found(*parts: bytes, preamble: bytes = bytes(128)) -> str | None:
    return storage_class(io.BytesIO(preamble + b"DICM" + b"".join(parts)))


GROUP = meta(0x00020000, b"\xc8\0\0\0", b"UL")
VERSION = meta(0x00020001, b"\0\1", b"OB")
CLASS = meta(0x00020002, US)
SYNTAX = meta(0x00020010, b"1.2.840.10008.1.2.1\0")
BODY = struct.pack("<HH2sH", 8, 0x16, b"UI", len(US)) + US


@pytest.mark.parametrize("preamble", [bytes(128), b"MZ".ljust(128, b"\0"), b"II*\0" * 32])
def test_a_file_says_its_class(preamble: bytes) -> None:
    assert found(GROUP, VERSION, CLASS, SYNTAX, BODY, preamble=preamble) == US[:-1].decode()
    assert found(CLASS) == US[:-1].decode()
    assert found(meta(0x00020002, b" 1.2 \0")) == "1.2"


@pytest.mark.parametrize(
    "data",
    [b"", b"DICM", bytes(128), bytes(128) + b"DIC", b"\x89PNG\r\n\x1a\n" + bytes(200), BODY * 9],
)
def test_no_dicom_file(data: bytes) -> None:
    assert storage_class(io.BytesIO(data)) is None


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (GROUP, VERSION),
        (GROUP, SYNTAX, BODY),
        (BODY,),
        (BODY, CLASS),
        (b"\x02",),
        (GROUP, b"\x02\x00\x02\x00UI"),
        (meta(0x00020002, b""),),
        (meta(0x00020002, US, length=60_000),),
        (meta(0x00020002, b"1" * 66),),
        (meta(0x00020002, US, b"\0\0"),),
        (meta(0x00020002, US, b"ZZ"),),
        (meta(0x00020001, b"", b"OB", 0xFFFFFFFF), CLASS),
        (meta(0x00020001, b"", b"OB", 0x7FFFFFFF), CLASS),
    ],
)
def test_files_that_do_not_say(parts: tuple[bytes, ...]) -> None:
    assert found(*parts) == ""


def test_bytes_that_are_no_text_and_a_moved_position() -> None:
    assert found(meta(0x00020002, b"\xff\x1b")) == "\xff\x1b"
    file = io.BytesIO(bytes(128) + b"DICM" + CLASS)
    file.seek(50)
    assert storage_class(file) == US[:-1].decode()


def test_it_reads_the_start_only() -> None:
    class Counting(io.BytesIO):
        taken = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.taken += len(data)
            return data

    file = Counting(bytes(128) + b"DICM" + GROUP + CLASS + SYNTAX + bytes(10 << 20))
    assert storage_class(file) == US[:-1].decode()
    assert file.taken < 300


def test_a_meta_information_without_end_is_left_soon() -> None:
    parts = meta(0x00020001, b"", b"UI") * 200_000
    start = time.monotonic()
    assert found(parts) == ""
    assert time.monotonic() - start < 10
