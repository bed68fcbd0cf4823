"""What a compressed frame says of itself, read before a decoder gets it.

A decoder allocates what the frame's own header asks for, not what the DICOM header says. So width,
height, components and precision are read here (ITU-T T.81 B.2.2 for JPEG, T.87 C.2.2 for JPEG-LS,
T.800 A.5.1 for JPEG 2000) and must agree with the DICOM header before anything is decoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from privacy.deidentify.limits import ImagePixels
from privacy.deidentify.pixel_errors import PixelDataError, UnsupportedPixelsError

__all__ = ["Codestream", "check_codestream", "read_jpeg", "read_jpeg2000"]

_SOI: Final = b"\xff\xd8"
_FRAME_MARKERS: Final = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_ALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_ADOBE: Final = b"Adobe"
_RGB_IDS: Final = (b"RGB", b"rgb")


@dataclass(frozen=True, slots=True)
class Codestream:
    """The header of one compressed frame.

    Attributes:
        width: Columns.
        height: Rows.
        components: Samples per pixel.
        precision: Bits per sample.
        process: Low byte of the JPEG frame marker (0xC0 baseline, 0xC3 lossless, ...), 0 otherwise.
        jfif: Has a JFIF header, which fixes the colour space to YCbCr.
        adobe: Colour transform of Adobe's marker, or None without it.
        rgb_ids: Components are named R, G and B.
        transform: JPEG 2000: a colour transform is part of the compression.
    """

    width: int
    height: int
    components: int
    precision: int
    process: int = 0
    jfif: bool = False
    adobe: int | None = None
    rgb_ids: bool = False
    transform: bool = False


def read_jpeg(data: bytes) -> Codestream:
    """Read the header of a JPEG or JPEG-LS frame.

    Raises:
        PixelDataError: It has none, or it is damaged.
    """
    if not data.startswith(_SOI):
        raise PixelDataError("A compressed frame does not start as JPEG.")
    at, jfif, adobe = 2, False, None
    while True:
        while data[at : at + 2] == b"\xff\xff":
            at += 1
        if len(data) < at + 4 or data[at] != 0xFF:
            raise PixelDataError("The header of a JPEG frame is damaged.")
        marker = data[at + 1]
        if marker in _ALONE:
            at += 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4])
        body = data[at + 4 : at + 2 + length]
        if length < 2 or len(body) != length - 2 or marker in (0xD9, 0xDA):
            raise PixelDataError("The header of a JPEG frame is damaged.")
        if marker in _FRAME_MARKERS:
            break
        if marker == 0xE0 and body.startswith(b"JFIF\0"):
            jfif = True
        if marker == 0xEE and body.startswith(_ADOBE) and len(body) >= 12:
            adobe = body[11]
        at += 2 + length
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise PixelDataError("The header of a JPEG frame is damaged.")
    return Codestream(
        width=int.from_bytes(body[3:5]),
        height=int.from_bytes(body[1:3]),
        components=body[5],
        precision=body[0],
        process=marker,
        jfif=jfif,
        adobe=adobe,
        rgb_ids=body[5] == 3 and body[6:15:3] in _RGB_IDS,
    )


def read_jpeg2000(data: bytes) -> Codestream:
    """Read the header of a JPEG 2000 codestream.

    Raises:
        PixelDataError: It has none, or it is damaged.
        UnsupportedPixelsError: Signed, subsampled or unequal components.
    """
    if not data.startswith(b"\xff\x4f\xff\x51") or len(data) < 42:
        raise PixelDataError("A compressed frame does not start as a JPEG 2000 codestream.")
    width, height, left, top = (int.from_bytes(data[at : at + 4]) for at in (8, 12, 16, 20))
    components = int.from_bytes(data[40:42])
    sizes = data[42 : 42 + 3 * components]
    if len(sizes) != 3 * components or not components:
        raise PixelDataError("The header of a JPEG 2000 frame is damaged.")
    if sizes != sizes[:3] * components or sizes[0] & 0x80 or sizes[1:3] != b"\x01\x01":
        raise UnsupportedPixelsError("JPEG 2000 with signed or unequal components is not decoded.")
    return Codestream(
        width=width - left,
        height=height - top,
        components=components,
        precision=sizes[0] + 1,
        transform=_transform(data, 42 + 3 * components),
    )


def check_codestream(stream: Codestream, pixels: ImagePixels) -> None:
    """Compare a frame's own header with the DICOM header.

    Raises:
        PixelDataError: They do not agree.
    """
    if (stream.width, stream.height) != (pixels.columns, pixels.rows):
        raise PixelDataError(
            f"A compressed frame has {stream.height} x {stream.width} pixels, where the header "
            f"says {pixels.rows} x {pixels.columns}."
        )
    if stream.components != pixels.samples:
        raise PixelDataError(
            f"A compressed frame has {stream.components} components, where the header says "
            f"{pixels.samples}."
        )
    if not 2 <= stream.precision <= pixels.allocated:
        raise PixelDataError(
            f"A compressed frame has {stream.precision} bits a sample, where the header allocates "
            f"{pixels.allocated}."
        )


def _transform(data: bytes, at: int) -> bool:
    """Find the coding style (marker COD) among the markers in front of the first tile."""
    while len(data) >= at + 4 and data[at] == 0xFF and data[at + 1] != 0x90:
        length = int.from_bytes(data[at + 2 : at + 4])
        if length < 2:
            break
        if data[at + 1] == 0x52 and len(data) > at + 8:
            return data[at + 8] != 0
        at += 2 + length
    raise PixelDataError("The header of a JPEG 2000 frame is damaged.")
