"""What the pixel half of de-identification hands to the header half: cleaned frames, calibrated."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privacy.deidentify.errors import PixelError

__all__ = ["MAX_SIDE", "Calibration", "CleanedFrames"]

MAX_SIDE: Final = 0xFFFF
"""Rows and Columns are 16 bits wide (PS3.5 6.2)."""

_MAX_BYTES: Final = 0xFFFF_FFFE
_MAX_DELTA: Final = 1.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """The size of a pixel in a tissue region of the frames that are written (PS3.3 C.8.5.5).

    Attributes:
        x0: Leftmost column, from 0.
        y0: Topmost row.
        x1: Rightmost column, still inside.
        y1: Bottom row, still inside.
        delta_x: Centimetres a column.
        delta_y: Centimetres a row.
    """

    x0: int
    y0: int
    x1: int
    y1: int
    delta_x: float
    delta_y: float

    def __post_init__(self) -> None:
        """Refuse rectangles and sizes that cannot be."""
        corners = (self.x0, self.y0, self.x1, self.y1)
        if any(not isinstance(value, int) or not 0 <= value <= MAX_SIDE for value in corners):
            raise PixelError("A calibrated region has corners that are no pixels.")
        if self.x0 > self.x1 or self.y0 > self.y1:
            raise PixelError("A calibrated region is empty.")
        for delta in (self.delta_x, self.delta_y):
            if not math.isfinite(delta) or not 0 < delta <= _MAX_DELTA:
                raise PixelError("A calibrated region has no usable size of a pixel.")


@dataclass(frozen=True, slots=True)
class CleanedFrames:
    """Frames as they are to be written.

    Attributes:
        pixels: 8-bit grey ``(frames, rows, columns)`` with larger values brighter, or 8-bit RGB
            ``(frames, rows, columns, 3)``.
        cleaned: Whether burned-in text and marks were removed, by whoever can say so. Unless it
            is true the object does not claim that the patient's identity was removed.
        calibration: Regions whose pixel size is known, in pixels of these frames.
        frame_time: Milliseconds from frame to frame; None to keep the source's, which is right
            only if all its frames are here.
        part: Which of several objects made from one source; it makes their UIDs differ.
    """

    pixels: NDArray[np.uint8]
    cleaned: bool
    calibration: tuple[Calibration, ...] = ()
    frame_time: float | None = None
    part: int = 0

    def __post_init__(self) -> None:
        """Refuse arrays of another form."""
        pixels = self.pixels
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8:
            raise PixelError("Frames must be an array of 8-bit values.")
        colour = pixels.ndim == 4 and pixels.shape[3] == 3
        if not colour and pixels.ndim != 3:
            raise PixelError("Frames must be (frames, rows, columns), with 3 behind for RGB.")
        if 0 in pixels.shape or max(pixels.shape[1:3]) > MAX_SIDE:
            raise PixelError(f"Frames must have 1 to {MAX_SIDE} rows and columns.")
        if pixels.nbytes > _MAX_BYTES:
            raise PixelError("Frames of 4 GiB or more cannot be written uncompressed.")
        if self.frame_time is not None and not 0.1 <= self.frame_time <= 60_000:
            raise PixelError("frame_time must be from 0.1 to 60000 ms.")
        if self.part < 0:
            raise PixelError("part must be 0 or more.")
        rows, columns = pixels.shape[1:3]
        if any(region.x1 >= columns or region.y1 >= rows for region in self.calibration):
            raise PixelError("A calibrated region lies outside the frames.")

    @property
    def colour(self) -> bool:
        """Whether frames are RGB."""
        return self.pixels.ndim == 4

    @property
    def count(self) -> int:
        """How many frames there are."""
        return int(self.pixels.shape[0])
