"""From stored samples to gray or RGB, and how much colour a frame has.

The conversions are those of PS3.3 C.7.6.3.1.2 (photometric interpretations) and C.7.6.3.1.5 and
following (palettes); gray is the luma of ITU-R BT.601, so that equal channels stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from privacy.deidentify.pixel_errors import PixelDataError, UnsupportedPixelsError
from privacy.deidentify.pixel_values import name, raw_bytes

__all__ = [
    "COLOUR_TOLERANCE",
    "Palette",
    "Pixels",
    "coloured_share",
    "gray",
    "gray_bytes",
    "read_palette",
    "ybr_to_rgb",
]

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
"""Gray (H, W) or RGB (H, W, 3)."""

COLOUR_TOLERANCE: Final = 32
"""Channels of a pixel that differ by more, of 255, make it coloured. Lossy compression tints gray
pixels by about half of that."""

# What a chroma adds to a channel, times 65536 and with the half that makes cutting off round.
_CHROMA = np.arange(256, dtype=np.float64) - 128
_RED_R: Final = np.floor(1.402 * 65536 * _CHROMA + 32768).astype(np.int32)
_GREEN_B: Final = np.floor(-0.344136 * 65536 * _CHROMA + 32768).astype(np.int32)
_GREEN_R: Final = np.floor(-0.714136 * 65536 * _CHROMA).astype(np.int32)
_BLUE_B: Final = np.floor(1.772 * 65536 * _CHROMA + 32768).astype(np.int32)

_DESCRIPTORS: Final = (0x00281101, 0x00281102, 0x00281103)
_TABLES: Final = (0x00281201, 0x00281202, 0x00281203)
_SEGMENTED: Final = (0x00281221, 0x00281222, 0x00281223)


@dataclass(frozen=True, slots=True, eq=False)
class Palette:
    """A colour of 8-bit channels for each stored value.

    Attributes:
        first: The stored value of the first colour; smaller ones have this colour too.
        colours: uint8 (n, 3); stored values beyond the last have the last colour.
    """

    first: int
    colours: NDArray[np.uint8]

    def apply(self, stored: Pixels) -> NDArray[np.uint8]:
        """Look up the colours of stored values: (H, W) becomes (H, W, 3)."""
        place = np.clip(stored.astype(np.int32) - self.first, 0, len(self.colours) - 1)
        return self.colours[place]


def read_palette(dataset: Dataset, *, little: bool) -> Palette:
    """Read the palette of an image (PS3.3 C.7.6.3.1.5 and C.7.6.3.1.6).

    Args:
        dataset: The elements in front of the pixels.
        little: Byte order of the file.

    Raises:
        PixelDataError: A table is missing or has not the length it claims.
        UnsupportedPixelsError: The palette is segmented.
    """
    if any(tag in dataset for tag in _SEGMENTED):
        raise UnsupportedPixelsError("Segmented palettes are not decoded.")
    channels, firsts = [], set()
    for descriptor_tag, table_tag in zip(_DESCRIPTORS, _TABLES, strict=True):
        entries, first, bits = _descriptor(dataset, descriptor_tag, little=little)
        channels.append(_table(dataset, table_tag, entries, bits, little=little))
        firsts.add((entries, first))
    if len(firsts) != 1:
        raise PixelDataError("The three tables of the palette differ in length or place.")
    return Palette(first, np.stack(channels, axis=1))


def ybr_to_rgb(ybr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert YBR_FULL to RGB (PS3.3 C.7.6.3.1.2), rounded to the nearest value."""
    luma, blue, red = (ybr[..., channel] for channel in range(3))
    rgb = np.empty_like(ybr)
    for channel, shift in enumerate((_RED_R[red], _GREEN_B[blue] + _GREEN_R[red], _BLUE_B[blue])):
        shift >>= 16
        shift += luma
        np.clip(shift, 0, 255, out=shift)
        rgb[..., channel] = shift
    return rgb


def gray(frame: Pixels) -> Pixels:
    """Make a frame gray: BT.601 luma of colours; gray frames and gray pixels stay as they are."""
    if frame.ndim == 2:
        return frame
    if frame.dtype == np.uint8:
        # The same weights in 65536ths, in C.
        return np.asarray(Image.fromarray(np.ascontiguousarray(frame)).convert("L"))
    wide = frame.astype(np.uint32)
    luma = (299 * wide[..., 0] + 587 * wide[..., 1] + 114 * wide[..., 2] + 500) // 1000
    return cast(Pixels, luma.astype(frame.dtype))


def gray_bytes(frame: Pixels, stored_bits: int) -> NDArray[np.uint8]:
    """Make a frame gray with 8 bits: full scale of the bits stored becomes 255.

    Args:
        frame: A decoded frame.
        stored_bits: Bits Stored of its file.
    """
    shade = gray(frame)
    if shade.dtype == np.uint8 and stored_bits == 8:
        return shade.astype(np.uint8, copy=False)
    full = (1 << stored_bits) - 1
    return ((shade.astype(np.uint32) * 510 + full) // (2 * full)).astype(np.uint8)


def coloured_share(frame: Pixels, tolerance: int = COLOUR_TOLERANCE) -> float:
    """Measure how much of a frame is in colour, as of Doppler, elastography or maps of colour.

    Args:
        frame: A decoded frame, or the part of it that is kept.
        tolerance: Difference of two channels, of 255, that still counts as gray.

    Returns:
        Share of coloured pixels, 0 to 1; 0 for gray frames.
    """
    if frame.ndim == 2 or not frame.size:
        return 0.0
    # 257 is the ratio of the full scales of 16 and 8 bits.
    limit = tolerance if frame.dtype == np.uint8 else tolerance * 257
    return float(np.mean(frame.max(axis=-1) - frame.min(axis=-1) > limit))


def _descriptor(dataset: Dataset, tag: int, *, little: bool) -> tuple[int, int, int]:
    """Number of entries, first value mapped, bits of an entry."""
    element = dataset.get_item(tag) if tag in dataset else None
    value: object = None if element is None else element.value
    if isinstance(value, bytes) and len(value) == 6:
        order = "<u2" if little else ">u2"
        value = np.frombuffer(value, order).tolist()
    try:
        entries, first, bits = (int(part) for part in value)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise PixelDataError(f"{name(tag)} is missing or is not three numbers.") from None
    entries = (entries & 0xFFFF) or 1 << 16
    # The pixels are unsigned, so the first value is, whatever VR it was written with.
    first &= 0xFFFF
    if bits not in (8, 16) or first + entries > 1 << 16:
        raise PixelDataError(f"{name(tag)} describes no table of 8 or 16 bits.")
    return entries, first, bits


def _table(
    dataset: Dataset, tag: int, entries: int, bits: int, *, little: bool
) -> NDArray[np.uint8]:
    data = raw_bytes(dataset, tag)
    if data is None:
        raise PixelDataError(f"{name(tag)} is missing.")
    if bits == 8 and len(data) == entries + entries % 2:
        if little:
            return np.frombuffer(data, np.uint8)[:entries].copy()
        # Two entries share a word (PS3.5 8.1.1), so big endian files hold them swapped.
        return np.frombuffer(data, np.uint8).reshape(-1, 2)[:, ::-1].reshape(-1)[:entries].copy()
    if len(data) != 2 * entries:
        raise PixelDataError(f"{name(tag)} has not the length that its descriptor says.")
    words = np.frombuffer(data, "<u2" if little else ">u2")
    # Entries of 8 bits in words, and makers that say 16 bits and write 8.
    return words.astype(np.uint8) if words.max() <= 255 else (words >> 8).astype(np.uint8)
