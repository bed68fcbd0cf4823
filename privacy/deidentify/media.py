"""What kind of file it is, told from its first bytes only."""

from __future__ import annotations

import os
from typing import BinaryIO, Final

from privacy.deidentify.pixel_errors import PixelDataError
from privacy.deidentify.structure import Encoding, read_element

__all__ = ["storage_class"]

_PREAMBLE: Final = 128
_META: Final = Encoding(implicit=False, little=True)
_CLASS: Final = 0x00020002
_LONGEST_UID: Final = 64


def storage_class(file: BinaryIO) -> str | None:
    """Read Media Storage SOP Class UID (0002,0002).

    Nothing relies on it but the choice to leave a file out: what is worked on says its class in
    the object itself.

    Args:
        file: A file opened for reading; its position is moved.

    Returns:
        The UID; empty if the file is a DICOM file that does not say or cannot be read so far;
        None if it is no DICOM file (PS3.10 7.1).
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(_PREAMBLE + 4)[_PREAMBLE:] != b"DICM":
        return None
    try:
        while file.tell() < size:
            group = file.read(2)
            file.seek(-len(group), os.SEEK_CUR)
            if group != b"\x02\x00":
                return ""
            element = read_element(file, _META, size)
            if element.tag == _CLASS and element.length <= _LONGEST_UID:
                return file.read(element.length).decode("latin-1").strip(" \0")
            file.seek(element.start + element.length)
    except PixelDataError:
        pass
    return ""
