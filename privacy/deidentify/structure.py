"""Is a file a whole DICOM dataset? Every length is followed before anything else reads the file.

Readers are lenient: lengths that run past the end, missing or stray delimiters and repeated
elements are read without a word, each in its own way, and deep nesting ends in a stack overflow.
This walk (PS3.5 chapter 7) is strict, keeps no value and needs no recursion. It stops at the
pixels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import BinaryIO, Final, Literal

from pydicom.datadict import dictionary_has_tag, dictionary_VR

from privacy.deidentify.limits import Limits
from privacy.deidentify.pixel_errors import LimitError, StructureError

__all__ = ["UNDEFINED", "Element", "Encoding", "find_pixels", "read_element"]

UNDEFINED: Final = 0xFFFFFFFF
"""A length that is not told: a delimiter ends the value."""

_ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_PIXELS: Final = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_LONG: Final = frozenset(
    ["OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"]
)
_SHORT: Final = frozenset(
    [
        "AE",
        "AS",
        "AT",
        "CS",
        "DA",
        "DS",
        "DT",
        "FD",
        "FL",
        "IS",
        "LO",
        "LT",
        "PN",
        "SH",
        "SL",
        "SS",
        "ST",
        "TM",
        "UI",
        "UL",
        "US",
    ]
)
_VR: Final = re.compile(rb"[A-Z]{2}")


@dataclass(frozen=True, slots=True)
class Encoding:
    """How elements are written: implicit or explicit VR, little or big endian."""

    implicit: bool
    little: bool

    @property
    def order(self) -> Literal["little", "big"]:
        """Byte order, in Python's words."""
        return "little" if self.little else "big"


@dataclass(frozen=True, slots=True)
class Element:
    """Where an element is.

    Attributes:
        tag: Its tag.
        vr: Its value representation, empty in implicit VR.
        length: Length of the value, :data:`UNDEFINED` when a delimiter ends it.
        start: Where the value starts in the file.
    """

    tag: int
    vr: str
    length: int
    start: int


@dataclass(slots=True)
class _Level:
    kind: Literal["dataset", "sequence", "fragments"]
    encoding: Encoding
    end: int  # where it ends, or where the container of an undefined one ends
    undefined: bool
    last: int = field(default=-1)


def read_element(file: BinaryIO, encoding: Encoding, end: int) -> Element:
    """Read tag, VR and length at the position of a file.

    Raises:
        StructureError: The element does not fit, or has no VR of the standard.
    """
    head = _read(file, 8, end)
    tag = _tag(head, encoding)
    if encoding.implicit or tag >> 16 == 0xFFFE:
        return Element(tag, "", int.from_bytes(head[4:], encoding.order), file.tell())
    if not _VR.fullmatch(head[4:6]):
        raise StructureError(f"At byte {file.tell() - 8}: an element without a VR.")
    vr = head[4:6].decode("ascii")
    if vr in _LONG:
        length = int.from_bytes(_read(file, 4, end), encoding.order)
    elif vr in _SHORT:
        length = int.from_bytes(head[6:], encoding.order)
    else:
        raise StructureError(f"At byte {file.tell() - 8}: an element with an unknown VR.")
    return Element(tag, vr, length, file.tell())


def find_pixels(
    file: BinaryIO, start: int, end: int, encoding: Encoding, limits: Limits
) -> Element | None:
    """Walk over a dataset up to its pixels.

    Args:
        file: An open file.
        start: Where the dataset starts.
        end: Where the file ends.
        encoding: How it is written.
        limits: How much may be in it.

    Returns:
        The element with the pixels, or None when there is none.

    Raises:
        StructureError: A length, a delimiter or the order of elements is wrong.
        LimitError: There are more, larger or deeper elements than allowed.
    """
    file.seek(start)
    levels = [_Level("dataset", encoding, end, undefined=False)]
    for _ in range(limits.elements):
        while levels and not levels[-1].undefined and file.tell() == levels[-1].end:
            levels.pop()
        if not levels:
            return None
        level = levels[-1]
        if level.kind == "dataset":
            found = _element(file, levels, limits)
            if found is not None:
                return found
        else:
            _item(file, levels)
        if len(levels) > 2 * limits.depth + 1:
            raise LimitError(f"Sequences are nested deeper than {limits.depth}.")
    raise LimitError(f"The file has more than {limits.elements} elements.")


def _element(file: BinaryIO, levels: list[_Level], limits: Limits) -> Element | None:
    """Step over one element of a dataset, or into its items; return it if it is the pixels."""
    level = levels[-1]
    element = read_element(file, level.encoding, level.end)
    where = f"At byte {element.start - 8}"
    if element.tag >> 16 == 0xFFFE:
        if element.tag != _ITEM_END or not level.undefined or element.length:
            raise StructureError(f"{where}: a stray delimiter.")
        levels.pop()
        return None
    if element.tag <= level.last:
        raise StructureError(f"{where}: elements are repeated or out of order.")
    level.last = element.tag
    undefined = element.length == UNDEFINED
    stop = level.end if undefined else element.start + element.length
    if stop > level.end:
        raise StructureError(f"{where}: an element is longer than what holds it.")
    if element.tag in _PIXELS and len(levels) == 1:
        return element
    if element.vr in ("OB", "OW") and undefined:
        levels.append(_Level("fragments", level.encoding, stop, undefined))
    elif undefined or _is_sequence(element):
        # PS3.5 6.2.2: what is inside of an unknown VR is implicit and little endian.
        inside = Encoding(True, True) if element.vr == "UN" else level.encoding
        levels.append(_Level("sequence", inside, stop, undefined))
    elif element.length > limits.element_bytes:
        raise LimitError(
            f"{where}: an element has {element.length} bytes, above the limit of "
            f"{limits.element_bytes}."
        )
    else:
        file.seek(stop)
    return None


def _item(file: BinaryIO, levels: list[_Level]) -> None:
    """Step into one item of a sequence, over one fragment, or out of them."""
    level = levels[-1]
    item = read_element(file, level.encoding, level.end)
    where = f"At byte {item.start - 8}"
    if item.tag == _SEQUENCE_END and level.undefined and not item.length:
        levels.pop()
        return
    if item.tag != _ITEM:
        raise StructureError(f"{where}: an item was expected.")
    undefined = item.length == UNDEFINED
    stop = level.end if undefined else item.start + item.length
    if stop > level.end:
        raise StructureError(f"{where}: an item is longer than what holds it.")
    if level.kind == "sequence":
        levels.append(_Level("dataset", level.encoding, stop, undefined))
    elif undefined:
        raise StructureError(f"{where}: a fragment without a length.")
    else:
        file.seek(stop)


def _is_sequence(element: Element) -> bool:
    if element.vr in ("", "UN"):
        return dictionary_has_tag(element.tag) and dictionary_VR(element.tag) == "SQ"
    return element.vr == "SQ"


def _tag(head: bytes, encoding: Encoding) -> int:
    group = int.from_bytes(head[:2], encoding.order)
    return group << 16 | int.from_bytes(head[2:4], encoding.order)


def _read(file: BinaryIO, length: int, end: int) -> bytes:
    start = file.tell()
    data = file.read(length) if start + length <= end else b""
    if len(data) != length:
        raise StructureError(f"At byte {start}: the file or what holds the element ends early.")
    return data
