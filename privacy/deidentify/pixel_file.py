"""Open a DICOM file within limits: its header as a dataset, its pixels as places in the file.

Nothing is decoded here and the pixels stay in the file, so memory does not grow with the frames.
The dataset ends in front of the pixels; elements behind them are never read. Of the file meta
information only the transfer syntax is looked at, of the preamble only whether it is blank.
"""

from __future__ import annotations

import io
import os
import warnings
import zlib
from dataclasses import dataclass
from typing import BinaryIO, Final

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from privacy.deidentify.colour import Palette, read_palette
from privacy.deidentify.encapsulation import FrameIndex, index_frames
from privacy.deidentify.limits import ImagePixels, Limits, image_pixels, inflated_limit
from privacy.deidentify.pixel_errors import (
    LimitError,
    PixelDataError,
    StructureError,
    UnsupportedPixelsError,
)
from privacy.deidentify.structure import Element, Encoding, find_pixels, read_element

__all__ = ["COMPRESSED", "PixelFile", "open_pixels"]

_NATIVE: Final = frozenset(
    {
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    }
)
COMPRESSED: Final = frozenset(
    {
        RLELossless,
        JPEGBaseline8Bit,
        JPEGExtended12Bit,
        JPEGLossless,
        JPEGLosslessSV1,
        JPEGLSLossless,
        JPEGLSNearLossless,
        JPEG2000Lossless,
        JPEG2000,
        HTJ2KLossless,
        HTJ2KLosslessRPCL,
    }
)
"""The compressed transfer syntaxes that are decoded."""

_PREAMBLE: Final = 128
_META: Final = Encoding(implicit=False, little=True)
_SYNTAX: Final = 0x00020010
_PIXELS: Final = 0x7FE00010
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class PixelFile:
    """An opened file, checked as far as one can without decoding.

    Attributes:
        dataset: The elements in front of the pixels; values are parsed when they are looked at.
        pixels: The Image Pixel module.
        syntax: Transfer Syntax UID.
        encoding: How the elements are written.
        vr: VR of the pixels, empty in implicit VR.
        index: Where each frame is.
        palette: The colours, of a palette image.
        blank_preamble: Whether the 128 bytes in front of the file are zero, as they should be: an
            executable may hide there.
        file: The file, or the inflated dataset; it must stay open while frames are decoded.
    """

    dataset: Dataset
    pixels: ImagePixels
    syntax: UID
    encoding: Encoding
    vr: str
    index: FrameIndex
    palette: Palette | None
    blank_preamble: bool
    file: BinaryIO


def open_pixels(file: BinaryIO, limits: Limits | None = None) -> PixelFile:
    """Read the header of a DICOM file and find its frames.

    Args:
        file: A DICOM file opened for reading; nothing else may move its position.
        limits: How much it may ask for.

    Returns:
        Header and places; decode with :func:`privacy.deidentify.decode.decode_frame`.

    Raises:
        StructureError: It is no DICOM file, has no pixels, or is not whole.
        PixelDataError: What is said of the pixels is contradictory, or the pixels are truncated.
        LimitError: It asks for too much.
        UnsupportedPixelsError: Its transfer syntax or kind of pixels is not decoded.
    """
    limits = limits or Limits()
    size = file.seek(0, os.SEEK_END)
    if size > limits.file_bytes:
        raise LimitError(f"The file has {size} bytes, above the limit of {limits.file_bytes}.")
    file.seek(0)
    head = file.read(_PREAMBLE + 4)
    if head[_PREAMBLE:] != b"DICM":
        raise StructureError("Not a DICOM file, whatever its name says.")
    syntax, start = _file_meta(file, size)
    if syntax == DeflatedExplicitVRLittleEndian:
        file, start = _inflate(file, start, size, limits), 0
        size = file.seek(0, os.SEEK_END)
    encoding = Encoding(syntax.is_implicit_VR, syntax.is_little_endian)
    element = find_pixels(file, start, size, encoding, limits)
    if element is None:
        raise StructureError("The file has no pixels.")
    if element.tag != _PIXELS:
        raise UnsupportedPixelsError("Pixels of floating point numbers are not decoded.")
    dataset = _dataset(file, start, element, encoding)
    pixels = image_pixels(dataset, limits)
    palette = None
    if pixels.photometric == "PALETTE COLOR":
        palette = read_palette(dataset, little=encoding.little)
    return PixelFile(
        dataset=dataset,
        pixels=pixels,
        syntax=syntax,
        encoding=encoding,
        vr=element.vr,
        index=index_frames(
            file, element, size, pixels, syntax, limits, compressed=syntax in COMPRESSED
        ),
        palette=palette,
        blank_preamble=not any(head[:_PREAMBLE]),
        file=file,
    )


def _file_meta(file: BinaryIO, size: int) -> tuple[UID, int]:
    """Read the transfer syntax out of group 0002 (PS3.10 7.1), and where the dataset starts."""
    syntax, start = None, file.tell()
    while start < size:
        group = file.read(2)
        file.seek(start)
        if group != b"\x02\x00":
            break
        element = read_element(file, _META, size)
        if element.start + element.length > size:
            raise StructureError("The file meta information is longer than the file.")
        if element.tag == _SYNTAX:
            if element.length > 64:
                raise StructureError("The transfer syntax is no UID.")
            syntax = file.read(element.length).decode("latin-1").strip(" \0")
        start = file.seek(element.start + element.length)
    if not syntax:
        raise StructureError("The file does not say its transfer syntax.")
    if syntax not in _NATIVE | COMPRESSED:
        raise UnsupportedPixelsError("The transfer syntax is unknown or not decoded.")
    return UID(syntax), start


def _inflate(file: BinaryIO, start: int, size: int, limits: Limits) -> BinaryIO:
    """Inflate a deflated dataset (PS3.5 A.5), no further than the limit."""
    most = inflated_limit(size - start, limits)
    out, engine = io.BytesIO(), zlib.decompressobj(-zlib.MAX_WBITS)
    file.seek(start)
    try:
        while not engine.eof:
            data = engine.unconsumed_tail or file.read(_CHUNK)
            if not data:
                raise StructureError("The deflated part of the file is truncated.")
            out.write(engine.decompress(data, _CHUNK))
            if out.tell() > most:
                raise LimitError(f"The deflated part of the file is larger than {most} bytes.")
    except zlib.error:
        raise StructureError("The deflated part of the file is damaged.") from None
    return out


def _dataset(file: BinaryIO, start: int, element: Element, encoding: Encoding) -> Dataset:
    """Parse the elements in front of the pixels; their structure was checked before."""
    stop = element.start - (8 if encoding.implicit else 12)
    file.seek(start)
    header = io.BytesIO(file.read(stop - start))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they quote values
            return read_dataset(header, encoding.implicit, encoding.little)
    # Hostile bytes raise almost any type in pydicom; what it says may hold a value.
    except Exception as error:
        raise PixelDataError(f"The header cannot be read ({type(error).__name__}).") from None
