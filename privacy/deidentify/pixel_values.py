"""Single values of a dataset, as plain numbers and words.

A value that was read from a file is parsed from its bytes here: pydicom would convert it when it is
looked at, and quote what it cannot convert in a warning. Missing, empty and repeated values all
answer None, so that each caller decides what absence means.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from pydicom.datadict import dictionary_description
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from privacy.deidentify.pixel_errors import StructureError

__all__ = ["items", "name", "raw_bytes", "unsigned", "word"]

_DECIMAL: Final = re.compile(r"[+-]?[0-9]{1,12}")
_WIDTHS: Final = (2, 4)
_SIGNED: Final = frozenset({"SL", "SS"})


def name(tag: int) -> str:
    """Name an attribute of the standard in messages, for instance "Rows (0028,0010)"."""
    return f"{dictionary_description(tag)} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def unsigned(dataset: Dataset, tag: int, *, width: int) -> int | None:
    """Read one integer: binary of ``width`` bytes, or decimal digits (VR IS).

    Args:
        dataset: Where the element is, or is not.
        tag: The attribute.
        width: Bytes of the binary number, 2 (US, SS) or 4 (UL); 0 for digits.

    Returns:
        The number (negative only for digits and SS), or None when there is none.

    Raises:
        StructureError: The element holds something else.
    """
    element = _element(dataset, tag)
    if element is None:
        return None
    value: object
    if isinstance(element, RawDataElement):
        data = element.value or b""
        if width in _WIDTHS:
            if not data:
                return None
            if len(data) != width:
                raise StructureError(f"{name(tag)} is not one number of {width} bytes.")
            order: Literal["little", "big"] = "little" if element.is_little_endian else "big"
            return int.from_bytes(data, order, signed=element.VR in _SIGNED)
        value = data.decode("latin-1").strip(" \0")
    else:
        value = element.value
    if value is None or value == "":
        return None
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    raise StructureError(f"{name(tag)} is not one whole number.")


def word(dataset: Dataset, tag: int) -> str | None:
    """Read one code string (VR CS) or short text, without its padding; None when there is none."""
    element = _element(dataset, tag)
    if element is None:
        return None
    value: object = element.value
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, MultiValue) or (isinstance(value, str) and "\\" in value):
        raise StructureError(f"{name(tag)} holds several values.")
    text = str(value or "").strip(" \0")
    return text or None


def raw_bytes(dataset: Dataset, tag: int) -> bytes | None:
    """Read the bytes of a binary element (VR OB, OW), None when there are none."""
    element = _element(dataset, tag)
    if element is None or not element.value:
        return None
    if not isinstance(element.value, bytes):
        raise StructureError(f"{name(tag)} does not hold bytes.")
    return element.value


def items(dataset: Dataset, tag: int) -> list[Dataset]:
    """Read the items of a sequence; an absent one has none.

    Raises:
        StructureError: It is no sequence, or its items cannot be read.
    """
    if tag not in dataset:
        return []
    try:
        value = dataset[tag].value
        found = list(value) if value is not None else []
    # pydicom parses the items at this moment and lets all kinds of errors through.
    except Exception as error:
        raise StructureError(f"{name(tag)} cannot be read ({type(error).__name__}).") from None
    if not all(isinstance(item, Dataset) for item in found):
        raise StructureError(f"{name(tag)} is not a sequence.")
    return found


def _element(dataset: Dataset, tag: int) -> DataElement | RawDataElement | None:
    return dataset.get_item(tag) if tag in dataset else None
