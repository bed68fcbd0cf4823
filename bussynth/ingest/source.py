"""What an origin of images hands to the writer: one record an image, pixels on demand.

A folder with a table is one origin; a reader of DICOM objects can be another, by yielding the
same records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bussynth.errors import DataError
from bussynth.images import decode_image
from bussynth.ingest.geometry import Box

__all__ = ["FilePixels", "PixelSource", "SourceImage"]


class PixelSource(Protocol):
    """Gives the pixels of one image; called in a worker process, so it must be picklable."""

    def image(self, what: str) -> NDArray[np.uint8]:
        """Return 8-bit grey (H, W), or raise a DataError that refers to the image as ``what``."""

    def mask(self, what: str) -> NDArray[np.bool_] | None:
        """Return the lesion mask (H, W) or None; errors as for :meth:`image`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceImage:
    """One image before it becomes a row of a cohort.

    ``name`` and ``patient`` are clear identifiers: they are hidden from ``repr``, they appear in
    no message, and only keyed digests of them are written.

    Attributes:
        number: Position in the origin, from 1, for instance the row of the table.
        where: How messages refer to it, for instance ``"row 17 of the table"``.
        name: What names the image within the site, for instance its relative path.
        patient: The site's patient key.
        conditions: Value of each condition, None if not known.
        size: Width and height that the header claims.
        box: Lesion box in pixels of the source, half-open, or None.
        pixels: Gives the pixels.
    """

    number: int
    where: str
    name: str = field(repr=False)
    patient: str = field(repr=False)
    conditions: Mapping[str, str | None] = field(repr=False)
    size: tuple[int, int]
    box: Box | None = None
    pixels: PixelSource = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePixels:
    """Pixels in files.

    Attributes:
        image_path: The image.
        mask_path: Its mask, or None.
        full_scale: See :func:`bussynth.images.decode_image`.
        threshold: Grey value from which a mask pixel is lesion.
        max_pixels: Refuse larger images.
    """

    image_path: Path = field(repr=False)
    mask_path: Path | None = field(default=None, repr=False)
    full_scale: int = 65_535
    threshold: int = 1
    max_pixels: int

    def image(self, what: str) -> NDArray[np.uint8]:
        """See :class:`PixelSource`."""
        return decode_image(
            _read(self.image_path, what),
            what=what,
            max_pixels=self.max_pixels,
            full_scale=self.full_scale,
        )

    def mask(self, what: str) -> NDArray[np.bool_] | None:
        """See :class:`PixelSource`."""
        if self.mask_path is None:
            return None
        what = f"{what}, mask"
        grey = decode_image(_read(self.mask_path, what), what=what, max_pixels=self.max_pixels)
        return np.asarray(grey >= self.threshold)


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{what}: the file cannot be read ({error.strerror}).") from None
