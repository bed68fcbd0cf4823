"""A writer of DICOM that writes anything, legal or not, byte by byte.

pydicom corrects, refuses or reorders what a benchmark of hostile files needs, so elements are
written here as PS3.5 chapter 7 describes them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Element", "Syntax", "encode", "fragments", "part10"]

_LONG: Final = frozenset(
    ["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]
)
_NUMBERS: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
_NULL_PADDED: Final = frozenset(["UI", "OB", "OW", "UN", "OF", "OD"])
_UNDEFINED: Final = 0xFFFFFFFF

Items = Sequence[Sequence["Element"]]
Value = bytes | tuple[int | float, ...] | Items


@dataclass(frozen=True, slots=True)
class Syntax:
    """A transfer syntax.

    Attributes:
        uid: Its UID.
        implicit: No VR is written.
        little: Byte order.
        deflated: The dataset is deflated.
        encapsulated: Pixels are cut into fragments.
    """

    uid: str
    implicit: bool = False
    little: bool = True
    deflated: bool = False
    encapsulated: bool = False


@dataclass(frozen=True, slots=True)
class Element:
    """An element.

    Attributes:
        tag: Its tag.
        vr: Its value representation; any two letters.
        value: Bytes as they are; numbers; or items.
        length: A length to write instead of the true one, such as the undefined one.
    """

    tag: int
    vr: str
    value: Value = b""
    length: int | None = None


def encode(elements: Sequence[Element], syntax: Syntax, *, undefined: bool = False) -> bytes:
    """Write elements in the order given.

    Args:
        elements: What to write.
        syntax: How.
        undefined: End sequences and items by delimiters rather than by lengths.

    Returns:
        The bytes, not deflated.
    """
    return b"".join(_element(one, syntax, undefined) for one in elements)


def _element(element: Element, syntax: Syntax, undefined: bool) -> bytes:
    value = element.value
    length = element.length
    order = "<" if syntax.little else ">"
    if element.vr == "SQ" or (isinstance(value, (list, tuple)) and _holds_items(value)):
        inner = Syntax("", implicit=True) if element.vr == "UN" else syntax
        data = b"".join(_item(item, inner, undefined) for item in value)  # type: ignore[arg-type]
        if undefined or element.vr == "UN":
            length = _UNDEFINED
            data += _head(0xFFFEE0DD, order) + bytes(4)
    elif isinstance(value, bytes):
        data = value
        if len(data) % 2:
            data += b"\0" if element.vr in _NULL_PADDED else b" "
    else:
        data = b"".join(_number(one, element.vr, order) for one in value)  # type: ignore[arg-type]
    size = struct.pack(f"{order}I", len(data) if length is None else length)
    head = _head(element.tag, order)
    if syntax.implicit:
        return head + size + data
    vr = element.vr.encode("ascii")
    if element.vr in _LONG:
        return head + vr + bytes(2) + size + data
    return head + vr + struct.pack(f"{order}H", len(data)) + data


def _holds_items(value: Sequence[object]) -> bool:
    return bool(value) and isinstance(value[0], (list, tuple))


def _item(elements: Sequence[Element], syntax: Syntax, undefined: bool) -> bytes:
    order = "<" if syntax.little else ">"
    data = encode(sorted(elements, key=lambda one: one.tag), syntax, undefined=undefined)
    if undefined:
        return (
            _head(0xFFFEE000, order)
            + struct.pack(f"{order}I", _UNDEFINED)
            + data
            + _head(0xFFFEE00D, order)
            + bytes(4)
        )
    return _head(0xFFFEE000, order) + struct.pack(f"{order}I", len(data)) + data


def _head(tag: int, order: str) -> bytes:
    return struct.pack(f"{order}HH", tag >> 16, tag & 0xFFFF)


def _number(value: int | float, vr: str, order: str) -> bytes:
    if vr == "AT":
        return _head(int(value), order)
    return struct.pack(order + _NUMBERS[vr], value)


def fragments(parts: Sequence[bytes], table: bytes = b"") -> bytes:
    """Write fragments behind their table of offsets (PS3.5 A.4).

    Args:
        parts: The fragments.
        table: The Basic Offset Table.

    Returns:
        The value of encapsulated Pixel Data, with its delimiter.
    """
    out = []
    for part in (table, *parts):
        part += b"\0" * (len(part) % 2)
        out.append(struct.pack("<HHI", 0xFFFE, 0xE000, len(part)) + part)
    return b"".join(out) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def part10(meta: Sequence[Element], body: bytes, syntax: Syntax, preamble: bytes) -> bytes:
    """Write a file (PS3.10 7.1).

    Args:
        meta: Elements of group 0002, without their group length.
        body: The encoded dataset.
        syntax: How it is encoded; deflated here when it asks for that.
        preamble: At most 128 bytes.

    Returns:
        The file.
    """
    explicit = Syntax("")
    head = encode(meta, explicit)
    head = encode([Element(0x00020000, "UL", (len(head),))], explicit) + head
    if syntax.deflated:
        engine = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        body = engine.compress(body) + engine.flush()
        body += b"\0" * (len(body) % 2)
    return preamble.ljust(128, b"\0")[:128] + b"DICM" + head + body
