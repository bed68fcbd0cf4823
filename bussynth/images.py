"""Images as bytes and as arrays: the one bounded decoder, the one encoder.

Every picture that enters the toolkit comes through :func:`decode_image`. It reads PNG, JPEG and
TIFF only, looks at the header before it spends memory on pixels, and answers with a typed error
where Pillow would warn, guess or fill with grey. What leaves is always 8-bit grey.

How each Pillow mode becomes grey:

====================  ==========================================================================
mode                  grey value
====================  ==========================================================================
``1``, ``L``          as stored (``1`` becomes 0 and 255)
``P``, ``RGB``        ITU-R BT.601 luma of the colour (equal channels stay exactly as they are)
``LA PA RGBA``        composited over black first; so are ``tRNS`` transparent colours
``I;16`` and ``I``    scaled to 0..255 by a declared full scale, 65535 unless told otherwise
``CMYK F LAB`` ...    refused: their conversion to grey needs a decision that is not ours
====================  ==========================================================================
"""

from __future__ import annotations

import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, PngImagePlugin

from bussynth.errors import DataError, UsageError

__all__ = ["MAX_PIXELS", "ImageHeader", "decode_image", "encode_png", "read_header"]

MAX_PIXELS = 16_777_216
"""Default cap on width x height: 4096 x 4096."""

_MAGIC = {
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff",),
    "TIFF": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
}
_PLAIN = frozenset({"1", "L", "P", "RGB"})
_ALPHA = frozenset({"LA", "PA", "RGBA"})
_DEEP = frozenset({"I;16", "I;16L", "I;16B", "I"})
_ORIENTATION = 0x0112
_PHOTOMETRIC = 262
_WHITE_IS_ZERO = 0

# `warnings.catch_warnings` swaps process-wide state, so two decoding threads must not overlap.
_WARNINGS = threading.Lock()


def _renew_lock() -> None:
    """Give a forked child a free lock: the thread that held it does not exist there."""
    global _WARNINGS
    _WARNINGS = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header of an image claims, before any pixel is decoded.

    Attributes:
        width: Pixels from left to right, after the orientation tag is applied.
        height: Pixels from top to bottom, after the orientation tag is applied.
        format: ``"PNG"``, ``"JPEG"`` or ``"TIFF"``.
        mode: Pillow's mode, for instance ``"L"`` or ``"RGBA"``.
    """

    width: int
    height: int
    format: str
    mode: str


def read_header(data: bytes | BinaryIO, *, what: str, max_pixels: int = MAX_PIXELS) -> ImageHeader:
    """Read size and mode of an image without decoding its pixels.

    Args:
        data: The bytes of a PNG, JPEG or TIFF file, or the file itself, opened for reading; of
            a file no more than the header is read, and it stays open.
        what: How error messages refer to it, for instance ``"row 17 of the table"``.
        max_pixels: Refuse a larger width x height.

    Returns:
        The header.

    Raises:
        DataError: If the bytes are empty, of another format, damaged in the header, animated or
            multi-page, too large, or in a colour mode that is not read.
    """
    with _pillow(what), _open(data, what, max_pixels) as image:
        return _header(image, what)


def decode_image(
    data: bytes, *, what: str, max_pixels: int = MAX_PIXELS, full_scale: int = 65_535
) -> NDArray[np.uint8]:
    """Decode one image to 8-bit grey.

    The orientation tag is applied, transparency is composited over black, colour becomes BT.601
    luma and deeper greys are scaled. The size in the header is checked before decoding.

    Args:
        data: The bytes of a PNG, JPEG or TIFF file.
        what: How error messages refer to it; never a file name that may hold a patient's name.
        max_pixels: Refuse a larger width x height.
        full_scale: The 16-bit value that becomes white, for instance 4095 for 12-bit data.

    Returns:
        uint8 array (H, W), 0 black to 255 white.

    Raises:
        DataError: As :func:`read_header`, and if the pixels are truncated or corrupt, or exceed
            ``full_scale``.
        UsageError: If ``full_scale`` is out of range, or if this process told Pillow to accept
            truncated files.
    """
    if not 1 <= full_scale <= 65_535:
        raise UsageError(f"full_scale={full_scale!r} must lie in 1..65535.")
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise UsageError(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES is on, so damaged images would pass as whole; "
            "switch it off."
        )
    with _pillow(what):
        with _open(data, what, max_pixels) as image:
            if isinstance(image, PngImagePlugin.PngImageFile):
                # Loading a PNG does not look at chunk checksums; this pass does.
                with Image.open(io.BytesIO(data), formats=["PNG"]) as twin:
                    twin.verify()
            _header(image, what)
            image.load()
            upright = ImageOps.exif_transpose(image)
        grey = _grey(upright, what, full_scale)
    if grey.ndim != 2 or grey.size == 0:
        raise DataError(f"{what}: the image has no pixels.")
    return np.ascontiguousarray(grey)


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode 8-bit grey pixels as PNG without any metadata.

    The same pixels give the same bytes with the same Pillow build.

    Args:
        pixels: uint8 array (H, W) with at least one pixel.

    Returns:
        The bytes of the PNG file.

    Raises:
        UsageError: If the array has another type or shape.
    """
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise UsageError("encode_png takes a uint8 array of shape (H, W).")
    if pixels.size == 0:
        raise UsageError("encode_png cannot write an image without pixels.")
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


@contextmanager
def _pillow(what: str) -> Iterator[None]:
    """Turn whatever Pillow raises or warns about into a DataError that quotes none of it."""
    with _WARNINGS, warnings.catch_warnings():
        warnings.filterwarnings("error", module=r"PIL\.")
        try:
            yield
        except (DataError, UsageError):
            raise
        except MemoryError as error:
            raise DataError(f"{what}: the image does not fit into memory.") from error
        except Image.DecompressionBombError as error:
            raise DataError(f"{what}: the image is far larger than allowed.") from error
        except Image.DecompressionBombWarning as error:
            raise DataError(f"{what}: the image is far larger than allowed.") from error
        # Pillow's plugins raise almost any type on hostile bytes (struct.error, KeyError, ...).
        except Exception as error:
            raise DataError(
                f"{what}: the image is damaged or truncated ({type(error).__name__}); "
                "export it again."
            ) from None


def _open(data: bytes | BinaryIO, what: str, max_pixels: int) -> ImageFile.ImageFile:
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    start = file.read(8)
    file.seek(0)
    if not start:
        raise DataError(f"{what}: the file is empty.")
    name = next((n for n, magics in _MAGIC.items() if start.startswith(magics)), None)
    if name is None:
        raise DataError(f"{what}: not a PNG, JPEG or TIFF file, whatever its name says.")
    image = Image.open(file, formats=[name])
    width, height = image.size
    if width < 1 or height < 1:
        image.close()
        raise DataError(f"{what}: the image has no pixels.")
    if width * height > max_pixels:
        image.close()
        raise DataError(
            f"{what}: the image is {width} x {height} pixels, above the limit of "
            f"{max_pixels} pixels."
        )
    return image


def _header(image: ImageFile.ImageFile, what: str) -> ImageHeader:
    if getattr(image, "n_frames", 1) != 1:
        raise DataError(
            f"{what}: the file holds several frames or pages; export one image per file."
        )
    if image.mode not in _PLAIN | _ALPHA | _DEEP:
        raise DataError(
            f"{what}: colour mode {image.mode} is not read; export 8- or 16-bit grey or RGB."
        )
    if image.format == "TIFF" and image.mode in _DEEP:
        tags = getattr(image, "tag_v2", {})
        if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            # Pillow hands these out without inverting them.
            raise DataError(
                f"{what}: deep TIFF with white stored as zero is not read; export it with black "
                "as zero."
            )
    width, height = image.size
    # Pillow turns TIFF by itself, size included; the other two carry the tag in their Exif block.
    # Asking a PNG without that block for it would decode the pixels.
    if (
        image.format != "TIFF"
        and "exif" in image.info
        and image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    ):
        width, height = height, width
    return ImageHeader(width, height, str(image.format), image.mode)


def _grey(image: Image.Image, what: str, full_scale: int) -> NDArray[np.uint8]:
    clear = image.info.get("transparency")
    if image.mode in _DEEP:
        deep = np.asarray(image).astype(np.int64)
        if deep.min() < 0 or deep.max() > full_scale:
            raise DataError(
                f"{what}: grey values leave the range 0..{full_scale}; check the declared full "
                "scale."
            )
        if isinstance(clear, int):
            deep[deep == clear] = 0
        return ((deep * 510 + full_scale) // (2 * full_scale)).astype(np.uint8)
    if image.mode in _ALPHA or clear is not None:
        over = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", over.size, (0, 0, 0, 255)), over)
        image = image.convert("RGB")
    elif image.mode == "P":
        image = image.convert("RGB")
    return np.asarray(image.convert("L"), dtype=np.uint8)
