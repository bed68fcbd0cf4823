"""Reading elements of an untrusted data set without believing them.

pydicom converts a value when it is asked for it, and on the way warns and raises with the value
in the text. So nothing is converted here: bytes are taken as they are in the file and read as
plain text or numbers, within bounds. Text is read as Latin-1, which never fails and maps different
bytes to different text; whoever needs letters outside ASCII decodes them (``pseudonyms``).
"""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag

from privacy.deidentify.errors import NestingError, UnreadableError, name_of

__all__ = [
    "MAX_DEPTH",
    "MAX_ELEMENTS",
    "Element",
    "Found",
    "find",
    "items",
    "number",
    "plain_bytes",
    "tag_of",
    "tags_of",
    "texts",
    "walk",
]

MAX_DEPTH: Final = 32
"""Sequences within sequences; ultrasound objects have fewer than ten."""

MAX_ELEMENTS: Final = 200_000
"""Elements of one object, those in sequences included."""

_MAX_BYTES: Final = 1 << 16
_BINARY: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}

Element = DataElement | RawDataElement
"""An element as pydicom holds it: with a Python value, or as it is in the file."""


@dataclass(frozen=True, slots=True)
class Found:
    """An element met on a walk.

    Attributes:
        depth: 0 at the top, one more in each sequence.
        tag: The tag as a number.
        element: The element, unconverted.
    """

    depth: int
    tag: int
    element: Element


def tag_of(keyword: str) -> int:
    """Return the tag of a keyword of the standard (PS3.6).

    Args:
        keyword: For instance ``"PatientName"``.

    Returns:
        The tag as a number.

    Raises:
        KeyError: If the standard knows no such keyword.
    """
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return int(tag)


def tags_of(keywords: str) -> frozenset[int]:
    """Return the tags of keywords.

    Args:
        keywords: Keywords of the standard with spaces between them.

    Returns:
        Their tags.

    Raises:
        KeyError: If the standard does not know one of them.
    """
    return frozenset(tag_of(keyword) for keyword in keywords.split())


def find(dataset: Dataset, keyword: str) -> Element | None:
    """Return an element of the top level unconverted, or None if it is absent.

    Args:
        dataset: The untrusted data set.
        keyword: Which one.

    Returns:
        The element; None also if its value was left in the file.
    """
    return _element(dataset, tag_of(keyword))


def items(dataset: Dataset, keyword: str) -> tuple[Dataset, ...]:
    """Return the items of a sequence of the top level.

    Args:
        dataset: The untrusted data set.
        keyword: Which sequence.

    Returns:
        Its items; none if it is absent or empty.

    Raises:
        UnreadableError: If the sequence cannot be parsed.
    """
    element = find(dataset, keyword)
    return () if element is None else tuple(_items(element, tag_of(keyword)))


def plain_bytes(element: Element) -> bytes:
    """Return the bytes of a text element, without padding; empty if there is none.

    Args:
        element: From :func:`find` or :func:`walk`.

    Returns:
        At most 64 KiB; longer values are no identifier or code and count as empty.
    """
    value = element.value
    if value is None or isinstance(value, Sequence):
        return b""
    if not isinstance(value, bytes):
        parts = value if isinstance(value, (list, tuple, MultiValue)) else [value]
        try:
            value = "\\".join(str(part) for part in parts).encode("utf-8", "surrogatepass")
        except Exception:  # whatever an object in a data set does when it is shown
            return b""
    return b"" if len(value) > _MAX_BYTES else bytes(value).strip(b" \0")


def texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Read the values of a text element.

    Args:
        dataset: The untrusted data set.
        keyword: Which element.

    Returns:
        Its values without padding, read as Latin-1; none if the element is absent or too long.
    """
    element = find(dataset, keyword)
    if element is None:
        return ()
    data = plain_bytes(element)
    return tuple(part.strip(" \0") for part in data.decode("latin-1").split("\\")) if data else ()


def number(dataset: Dataset, keyword: str) -> float | None:
    """Read the first value of a numeric element, whether stored as text or binary.

    Args:
        dataset: The untrusted data set.
        keyword: Which element.

    Returns:
        A finite number, or None.
    """
    element = find(dataset, keyword)
    if element is None:
        return None
    code = _BINARY.get(_vr(element))
    try:
        if isinstance(element, RawDataElement) and code is not None:
            order = "<" if element.is_little_endian else ">"
            value = float(struct.unpack_from(order + code, element.value or b"")[0])
        else:
            value = float(texts(dataset, keyword)[0][:32])
    except (struct.error, IndexError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def walk(
    dataset: Dataset, *, max_depth: int = MAX_DEPTH, max_elements: int = MAX_ELEMENTS
) -> Iterator[Found]:
    """Go through all elements, those in sequences included, without recursion.

    Private elements are met but not opened: nothing of them is ever kept.

    Args:
        dataset: The untrusted data set.
        max_depth: The deepest level of sequences that is opened.
        max_elements: How many elements are read.

    Yields:
        Every element.

    Raises:
        NestingError: If sequences are nested deeper, or there are more elements.
        UnreadableError: If a sequence cannot be parsed.
    """
    count = 0
    stack: list[tuple[int, Dataset]] = [(0, dataset)]
    while stack:
        depth, current = stack.pop()
        for key in list(current.keys()):
            count += 1
            if count > max_elements:
                raise NestingError(f"The object has more than {max_elements} elements.")
            tag = int(key)
            element = _element(current, tag)
            if element is None:
                continue
            yield Found(depth, tag, element)
            if _vr(element) != "SQ" or BaseTag(tag).is_private:
                continue
            items = _items(element, tag)
            if items and depth >= max_depth:
                raise NestingError(f"Sequences are nested more than {max_depth} deep.")
            stack.extend((depth + 1, item) for item in items)


def _element(dataset: Dataset, tag: int) -> Element | None:
    try:
        # pydicom's annotation leaves out that it gives raw elements too.
        element = cast(Element, dataset.get_item(BaseTag(tag), keep_deferred=True))
    except KeyError:
        return None
    if isinstance(element, RawDataElement) and element.value is None and element.length:
        return None
    return element


def _vr(element: Element) -> str:
    # Implicit VR and unknown VR: what the dictionary says.
    vr = element.VR
    if vr in (None, "UN") and dictionary_has_tag(element.tag):
        vr = dictionary_VR(element.tag)
    return "" if vr is None else str(vr)


def _items(element: Element, tag: int) -> list[Dataset]:
    value: Any = element.value
    if isinstance(element, RawDataElement):
        if not value:
            return []
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = convert_raw_data_element(element._replace(VR="SQ")).value
        except Exception:  # pydicom raises many kinds here, with values in their texts
            raise UnreadableError(f"{name_of(tag)} cannot be parsed as a sequence.") from None
    if value is None:
        return []
    if not isinstance(value, Sequence):
        raise UnreadableError(f"{name_of(tag)} is no sequence of items.")
    return list(value)
