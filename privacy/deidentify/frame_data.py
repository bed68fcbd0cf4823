"""What the pixel half of de-identification tells the header half of its cleaned frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privacy.deidentify.errors import PixelError

__all__ = ["MAX_SIDE", "Calibration", "FrameFormat"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameFormat:
    """Frames as they are to be written: 8-bit grey, larger values brighter, or 8-bit RGB.

    Attributes:
        rows: Height of a frame.
        columns: Width of a frame.
        count: How many frames there are.
        colour: Whether frames are RGB.
        cleaned: Whether burned-in text and marks were removed, by whoever can say so. Unless it
            is true the object does not claim that the patient's identity was removed.
        calibration: Regions whose pixel size is known, in pixels of these frames.
        frame_time: Milliseconds from frame to frame; None to keep the source's, which is right
            only if all its frames are here.
        part: Which of several objects made from one source; it makes their UIDs differ.
    """

    rows: int
    columns: int
    count: int
    colour: bool
    cleaned: bool
    calibration: tuple[Calibration, ...] = ()
    frame_time: float | None = None
    part: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be written."""
        if not 1 <= self.rows <= MAX_SIDE or not 1 <= self.columns <= MAX_SIDE:
            raise PixelError(f"Frames must have 1 to {MAX_SIDE} rows and columns.")
        if self.count < 1:
            raise PixelError("An object has at least one frame.")
        if self.pixel_bytes > _MAX_BYTES:
            raise PixelError("Frames of 4 GiB or more cannot be written uncompressed.")
        if self.frame_time is not None and not 0.1 <= self.frame_time <= 60_000:
            raise PixelError("frame_time must be from 0.1 to 60000 ms.")
        if self.part < 0:
            raise PixelError("part must be 0 or more.")
        if any(one.x1 >= self.columns or one.y1 >= self.rows for one in self.calibration):
            raise PixelError("A calibrated region lies outside the frames.")

    @classmethod
    def of(
        cls,
        pixels: NDArray[np.uint8],
        *,
        cleaned: bool,
        calibration: tuple[Calibration, ...] = (),
        frame_time: float | None = None,
        part: int = 0,
    ) -> FrameFormat:
        """Describe frames that are all at hand.

        Args:
            pixels: uint8 ``(frames, rows, columns)``, or ``(frames, rows, columns, 3)`` for RGB.
            cleaned: See the class, as the others.
            calibration: See the class.
            frame_time: See the class.
            part: See the class.

        Raises:
            PixelError: If the array has another form.
        """
        if not isinstance(pixels, np.ndarray) or pixels.ndim not in (3, 4):
            raise PixelError("Frames must be (frames, rows, columns), with 3 behind for RGB.")
        found = cls(
            rows=pixels.shape[1],
            columns=pixels.shape[2],
            count=pixels.shape[0],
            colour=pixels.ndim == 4,
            cleaned=cleaned,
            calibration=calibration,
            frame_time=frame_time,
            part=part,
        )
        for frame in pixels:
            found.check(frame)
        return found

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array of a frame."""
        return (self.rows, self.columns, 3) if self.colour else (self.rows, self.columns)

    @property
    def pixel_bytes(self) -> int:
        """Size of all frames."""
        return self.rows * self.columns * (3 if self.colour else 1) * self.count

    def check(self, frame: NDArray[np.uint8]) -> None:
        """Refuse a frame of another form.

        Raises:
            PixelError: If the frame is not uint8 of :attr:`shape`.
        """
        if frame.dtype != np.uint8 or frame.shape != self.shape:
            raise PixelError("A frame is not 8-bit of the rows and columns that were told.")
