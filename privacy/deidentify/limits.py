"""What the header says about the pixels, checked before anything is decoded.

The Image Pixel module (PS3.3 C.7.6.3) decides how much memory a decoder takes. Nothing in the
format bounds it: a file of a megabyte may claim 65535 x 65535 pixels, or unpack to gigabytes. So
the claim is checked against :class:`Limits`, against itself and against what the file holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset

from privacy.deidentify.pixel_errors import (
    LimitError,
    PixelDataError,
    StructureError,
    UnsupportedPixelsError,
)
from privacy.deidentify.pixel_values import name, unsigned, word

__all__ = ["ImagePixels", "Limits", "image_pixels", "inflated_limit"]

_SAMPLES: Final = 0x00280002
_PHOTOMETRIC: Final = 0x00280004
_PLANAR: Final = 0x00280006
_FRAMES: Final = 0x00280008
_ROWS: Final = 0x00280010
_COLUMNS: Final = 0x00280011
_ALLOCATED: Final = 0x00280100
_STORED: Final = 0x00280101
_HIGH: Final = 0x00280102
_SIGNED: Final = 0x00280103

_SAMPLES_OF: Final = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one file may ask for.

    Attributes:
        file_bytes: Size of the file.
        element_bytes: Value of one element other than the pixels.
        elements: Elements and items, those in sequences included.
        depth: Sequences inside sequences.
        inflated_bytes: Size of a deflated dataset once inflated.
        inflated_ratio: The same, in multiples of the file.
        pixels: Rows x Columns.
        frames: Number of Frames.
        decoded_bytes: All frames of a file, decoded.
        fragments: Pieces in which encapsulated pixels are stored.
    """

    file_bytes: int = 4 << 30
    element_bytes: int = 64 << 20
    elements: int = 200_000
    depth: int = 32
    inflated_bytes: int = 1 << 30
    inflated_ratio: int = 100
    pixels: int = 4096 * 4096
    frames: int = 10_000
    decoded_bytes: int = 16 << 30
    fragments: int = 100_000

    def __post_init__(self) -> None:
        for key in self.__slots__:
            if getattr(self, key) < 1:
                raise ValueError(f"{key}={getattr(self, key)!r} must be at least 1.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePixels:
    """The Image Pixel module of one file, within the limits and free of contradictions.

    Attributes:
        rows: Height of a frame.
        columns: Width of a frame.
        samples: 1 or 3.
        photometric: Photometric Interpretation.
        planar: Planar Configuration: 0 colour by pixel, 1 colour by plane.
        allocated: Bits Allocated, 8 or 16.
        stored: Bits Stored; the bits above them may hold overlays and are never looked at.
        frames: Number of Frames, 1 when absent.
    """

    rows: int
    columns: int
    samples: int
    photometric: str
    planar: int
    allocated: int
    stored: int
    frames: int

    @property
    def frame_bytes(self) -> int:
        """Size of one frame, decoded and not subsampled."""
        return self.rows * self.columns * self.samples * (self.allocated // 8)

    @property
    def native_frame_bytes(self) -> int:
        """Size of one frame as it is stored without compression."""
        whole = self.frame_bytes
        return whole // 3 * 2 if self.photometric == "YBR_FULL_422" else whole


def image_pixels(dataset: Dataset, limits: Limits | None = None) -> ImagePixels:
    """Read and check the Image Pixel module (PS3.3 C.7.6.3).

    Args:
        dataset: The elements in front of the pixels.
        limits: How much may be asked for.

    Returns:
        The module; safe to decode by.

    Raises:
        StructureError: A required element is missing or unreadable.
        PixelDataError: The elements contradict each other.
        LimitError: The image is too large.
        UnsupportedPixelsError: Legal, but not decoded here: signed, 1, 12 or 32 bits allocated,
            subsampling other than 4:2:2, colour spaces other than gray, palette, RGB and YBR.
    """
    limits = limits or Limits()
    rows, columns = _size(dataset, _ROWS), _size(dataset, _COLUMNS)
    if rows * columns > limits.pixels:
        raise LimitError(
            f"A frame has {rows} x {columns} pixels, above the limit of {limits.pixels}."
        )
    photometric = word(dataset, _PHOTOMETRIC)
    if photometric is None:
        raise StructureError(f"{name(_PHOTOMETRIC)} is missing.")
    if photometric not in _SAMPLES_OF:
        raise UnsupportedPixelsError(f"{name(_PHOTOMETRIC)} is of a kind that is not decoded.")
    samples = _required(dataset, _SAMPLES)
    if samples != _SAMPLES_OF[photometric]:
        raise PixelDataError(
            f"{name(_SAMPLES)} is {samples}, which {name(_PHOTOMETRIC)} rules out."
        )
    allocated, stored = _bits(dataset)
    planar = 0
    if samples > 1:
        planar = _required(dataset, _PLANAR)
        if planar not in (0, 1):
            raise PixelDataError(f"{name(_PLANAR)} is {planar}, not 0 or 1.")
    if photometric == "YBR_FULL_422" and (columns % 2 or planar or allocated != 8):
        raise PixelDataError(
            "Pixels subsampled 4:2:2 have an even number of columns, 8 bits and colour by pixel."
        )
    if photometric in ("PALETTE COLOR", "YBR_FULL", "YBR_ICT", "YBR_RCT") and samples == 3:
        _only_bytes(photometric, allocated)
    module = ImagePixels(
        rows=rows,
        columns=columns,
        samples=samples,
        photometric=photometric,
        planar=planar,
        allocated=allocated,
        stored=stored,
        frames=_frames(dataset, limits),
    )
    if module.frame_bytes * module.frames > limits.decoded_bytes:
        raise LimitError(
            f"{module.frames} frames of {module.frame_bytes} bytes are above the limit of "
            f"{limits.decoded_bytes} bytes."
        )
    return module


def inflated_limit(deflated: int, limits: Limits) -> int:
    """Say how large a deflated dataset of so many bytes may become."""
    return min(limits.inflated_bytes, max(1 << 20, deflated * limits.inflated_ratio))


def _size(dataset: Dataset, tag: int) -> int:
    value = _required(dataset, tag)
    if value < 1:
        raise PixelDataError(f"{name(tag)} is {value}; an image has at least one pixel.")
    return value


def _required(dataset: Dataset, tag: int) -> int:
    value = unsigned(dataset, tag, width=2)
    if value is None:
        raise StructureError(f"{name(tag)} is missing.")
    return value


def _frames(dataset: Dataset, limits: Limits) -> int:
    frames = unsigned(dataset, _FRAMES, width=0)
    if frames is None:
        return 1
    if frames < 1:
        raise PixelDataError(f"{name(_FRAMES)} is {frames}; an image has at least one frame.")
    if frames > limits.frames:
        raise LimitError(f"{name(_FRAMES)} is {frames}, above the limit of {limits.frames}.")
    return frames


def _bits(dataset: Dataset) -> tuple[int, int]:
    allocated, stored = _required(dataset, _ALLOCATED), _required(dataset, _STORED)
    high, signed = _required(dataset, _HIGH), _required(dataset, _SIGNED)
    if allocated not in (8, 16):
        raise UnsupportedPixelsError(f"{name(_ALLOCATED)} is {allocated}; 8 and 16 are decoded.")
    if not 1 <= stored <= allocated:
        raise PixelDataError(f"{name(_STORED)} is {stored}, of {allocated} bits allocated.")
    if high != stored - 1:
        # PS3.5 8.1.1: the high bit is the last of the bits stored.
        raise PixelDataError(f"{name(_HIGH)} is {high}, of {stored} bits stored.")
    if signed:
        raise UnsupportedPixelsError(
            f"{name(_SIGNED)} is {signed}: ultrasound is unsigned (PS3.3 C.8.5.6)."
        )
    return allocated, stored


def _only_bytes(photometric: str, allocated: int) -> None:
    if allocated != 8:
        raise UnsupportedPixelsError(f"{photometric} with {allocated} bits is not decoded.")
