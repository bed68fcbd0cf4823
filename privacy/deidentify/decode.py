"""Frames as arrays, one at a time: gray or RGB, whatever the file used to store them.

===========================================  ===================================================
transfer syntax                              decoder
===========================================  ===================================================
native, deflated, big endian                 read as numbers
RLE Lossless                                 pylibjpeg-rle
JPEG Baseline, JPEG Extended of 8 bits       Pillow
JPEG Extended of 12 bits                     pylibjpeg-libjpeg, if the site has it (GPL)
JPEG Lossless                                GDCM, or pylibjpeg-libjpeg if the site has it
JPEG-LS, lossless and near lossless          CharLS
JPEG 2000, high throughput JPEG 2000         OpenJPEG
===========================================  ===================================================

What comes out has black as 0 and holds the bits stored only: overlays that old machines hid in the
bits above them (PS3.5 8.1.2 of older editions) are masked away, and overlay planes (60xx,3000) are
not read at all. Colour follows the frame's own header where it has one and it contradicts DICOM's.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile, JpegImagePlugin
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from privacy.deidentify.codestream import Codestream, check_codestream, read_jpeg, read_jpeg2000
from privacy.deidentify.colour import Pixels, ybr_to_rgb
from privacy.deidentify.pixel_errors import PixelDataError, UnsupportedPixelsError
from privacy.deidentify.pixel_file import COMPRESSED, PixelFile

__all__ = ["decode_frame", "decode_frames"]

_OPENJPEG: Final = frozenset({JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL})
_PLUGINS: Final = {
    RLELossless: ("pylibjpeg",),
    JPEGExtended12Bit: ("pylibjpeg",),
    JPEGLossless: ("gdcm", "pylibjpeg"),
    JPEGLosslessSV1: ("gdcm", "pylibjpeg"),
    JPEGLSLossless: ("pyjpegls",),
    JPEGLSNearLossless: ("pyjpegls",),
    **dict.fromkeys(_OPENJPEG, ("pylibjpeg",)),
}
# The kinds of JPEG (low byte of the frame marker) that a transfer syntax may hold.
_PROCESSES: Final = {
    JPEGBaseline8Bit: (0xC0,),
    JPEGExtended12Bit: (0xC0, 0xC1),
    JPEGLossless: (0xC3,),
    JPEGLosslessSV1: (0xC3,),
    JPEGLSLossless: (0xF7,),
    JPEGLSNearLossless: (0xF7,),
}
# A stream ends by this marker, and a byte more where it would have an odd length.
_ENDS: Final = (b"\xff\xd9", b"\xff\xd9\0")
_YBR: Final = frozenset({"YBR_FULL", "YBR_FULL_422"})

# `warnings.catch_warnings` swaps process-wide state, so two decoding threads must not overlap.
_WARNINGS = threading.Lock()


def decode_frames(file: PixelFile, frames: Iterable[int] | None = None) -> Iterator[Pixels]:
    """Decode frames one after the other; each is free to go before the next one comes.

    Args:
        file: An opened file.
        frames: Which ones, counted from 0, in the order wanted; all unless told.

    Yields:
        As :func:`decode_frame`.
    """
    for frame in range(file.pixels.frames) if frames is None else frames:
        yield decode_frame(file, frame)


def decode_frame(file: PixelFile, frame: int) -> Pixels:
    """Decode one frame.

    Args:
        file: An opened file.
        frame: Which one, counted from 0.

    Returns:
        Gray (H, W) or RGB (H, W, 3) as uint8, or uint16 where more than 8 bits are allocated; full
        scale is that of the bits stored. Palette images are RGB of 8 bits.

    Raises:
        PixelDataError: The frame is damaged, or contradicts the header.
        UnsupportedPixelsError: No decoder for it is installed or exists.
        IndexError: There is no such frame.
    """
    if not 0 <= frame < file.pixels.frames:
        raise IndexError(f"frame={frame!r} is not one of {file.pixels.frames}.")
    data = file.index.read(file.file, frame)
    if file.syntax in COMPRESSED:
        stored, space = _compressed(file, data, frame + 1)
    else:
        stored, space = _native(file, data), file.pixels.photometric
    full = (1 << file.pixels.stored) - 1
    if file.pixels.stored < 8 * stored.dtype.itemsize:
        stored = cast(Pixels, stored & stored.dtype.type(full))
    if file.palette is not None:
        return file.palette.apply(stored)
    if space == "MONOCHROME1":
        return cast(Pixels, stored.dtype.type(full) - stored)
    if space in _YBR:
        return ybr_to_rgb(cast(NDArray[np.uint8], stored))
    return stored


def _native(file: PixelFile, data: bytes) -> Pixels:
    """Read an uncompressed frame (PS3.5 8.1.1 and 8.2)."""
    pixels = file.pixels
    if pixels.allocated == 16:
        words = np.frombuffer(data, "<u2" if file.encoding.little else ">u2").astype(np.uint16)
        return _arranged(words, file)
    octets = np.frombuffer(data, np.uint8)
    if not file.encoding.little and file.vr == "OW":
        # Two pixels share a word, and the bytes of words are swapped in big endian files.
        if octets.size % 2:
            raise UnsupportedPixelsError(
                "Big endian words that belong to two frames are not decoded."
            )
        octets = octets.reshape(-1, 2)[:, ::-1].reshape(-1)
    if pixels.photometric == "YBR_FULL_422":
        # PS3.3 C.7.6.3.1.2: two lumas, then the two chromas that both pixels share.
        quads = octets.reshape(pixels.rows, pixels.columns // 2, 4)
        whole = np.empty((pixels.rows, pixels.columns, 3), np.uint8)
        whole[..., 0] = quads[..., :2].reshape(pixels.rows, pixels.columns)
        whole[:, ::2, 1:] = whole[:, 1::2, 1:] = quads[..., 2:]
        return whole
    return _arranged(octets, file)


def _arranged(values: NDArray[Any], file: PixelFile) -> Pixels:
    """Put the samples of a frame in their places, as an array of its own."""
    pixels = file.pixels
    shape: tuple[int, ...] = (pixels.rows, pixels.columns)
    if pixels.samples == 1:
        return np.array(values.reshape(shape))
    if pixels.planar:
        planes = values.reshape(pixels.samples, *shape)
        return np.array(np.moveaxis(planes, 0, -1), order="C")
    return np.array(values.reshape(*shape, pixels.samples))


def _compressed(file: PixelFile, data: bytes, number: int) -> tuple[Pixels, str]:
    """Decode a compressed frame; say in which colour space it is now."""
    stream = None
    if file.syntax in _OPENJPEG:
        stream = read_jpeg2000(data)
    elif file.syntax != RLELossless:
        stream = read_jpeg(data)
        if stream.process not in _PROCESSES[file.syntax]:
            raise PixelDataError(
                f"Frame {number} is compressed by another kind of JPEG than the file says."
            )
    if stream is not None:
        check_codestream(stream, file.pixels)
    if file.syntax in (JPEGLSLossless, JPEGLSNearLossless) and not data.endswith(_ENDS):
        # CharLS looks for the end of a stream that has none for half a minute.
        raise PixelDataError(f"Frame {number} is cut short.")
    if stream is not None and file.syntax in (JPEGBaseline8Bit, JPEGExtended12Bit):
        if stream.precision == 8:
            return _jpeg(file, data, stream, number)
        if file.syntax == JPEGBaseline8Bit:
            raise PixelDataError(f"Frame {number} has not the 8 bits of baseline JPEG.")
    stored = _plugin(file, data, number)
    space = file.pixels.photometric
    if file.syntax in _OPENJPEG and stream is not None and file.pixels.samples == 3:
        if stream.transform:
            space = "RGB"  # the decoder undid the transform
        elif space in ("YBR_ICT", "YBR_RCT"):
            raise PixelDataError(f"Frame {number} lacks the colour transform that the file claims.")
    elif space in ("YBR_ICT", "YBR_RCT"):
        raise PixelDataError("The photometric interpretation belongs to JPEG 2000 only.")
    return stored, space


def _jpeg(file: PixelFile, data: bytes, stream: Codestream, number: int) -> tuple[Pixels, str]:
    """Decode 8-bit JPEG; what its own header says of colours goes before what DICOM's says."""
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise PixelDataError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is on, so damaged frames would pass as whole; "
            "switch it off."
        )
    space = file.pixels.photometric
    if space in ("YBR_ICT", "YBR_RCT"):
        raise PixelDataError("The photometric interpretation belongs to JPEG 2000 only.")
    if stream.components == 3 and not stream.jfif and stream.adobe not in (None, 0, 1):
        raise UnsupportedPixelsError(f"Frame {number} has a colour transform that is not decoded.")
    told = stream.jfif or stream.adobe is not None or stream.rgb_ids
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
            if stream.components == 3 and space == "RGB" and not told:
                image.draft("YCbCr", image.size)  # as stored: not converted
            image.load()
            stored = np.array(image)
        # Pillow raises almost any type on hostile bytes.
        except Exception as error:
            raise _damaged(number, error) from None
    if stream.components == 3:
        space = "RGB"
    return _checked(stored, file, number), space


def _plugin(file: PixelFile, data: bytes, number: int) -> Pixels:
    """Decode one frame with the library for its transfer syntax, through pydicom."""
    decoder = get_decoder(file.syntax)
    wanted = _PLUGINS[file.syntax]
    plugin = next((name for name in wanted if name in decoder.available_plugins), None)
    if plugin is None:
        raise UnsupportedPixelsError(
            f"No decoder for {file.syntax.name} is installed; pip install 'bussynth[full]' "
            "brings those with a permissive licence."
        )
    pixels = file.pixels
    options: dict[str, Any] = {
        "rows": pixels.rows,
        "columns": pixels.columns,
        "samples_per_pixel": pixels.samples,
        "photometric_interpretation": pixels.photometric,
        "planar_configuration": 0,
        "bits_allocated": pixels.allocated,
        "bits_stored": pixels.stored,
        "pixel_representation": 0,
        "number_of_frames": 1,
    }
    with _WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            stored, _ = decoder.as_array(
                encapsulate([data], has_bot=False),
                raw=True,
                decoding_plugin=plugin,
                **options,
            )
        # The libraries raise almost any type on hostile bytes.
        except Exception as error:
            raise _damaged(number, error) from None
    return _checked(stored, file, number)


def _checked(stored: NDArray[Any], file: PixelFile, number: int) -> Pixels:
    pixels = file.pixels
    shape = (pixels.rows, pixels.columns) + ((3,) if pixels.samples == 3 else ())
    if stored.shape != shape or stored.dtype not in (np.uint8, np.uint16):
        raise PixelDataError(f"Frame {number} decodes to another size than the header says.")
    # Decoders give 8 bits where the frame has no more, whatever is allocated.
    kind = np.uint8 if pixels.allocated == 8 else np.uint16
    return cast(Pixels, np.ascontiguousarray(stored.astype(kind, copy=False)))


def _damaged(number: int, error: Exception) -> PixelDataError:
    return PixelDataError(f"Frame {number} cannot be decoded ({type(error).__name__}).")
