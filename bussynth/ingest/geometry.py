"""From any size to the square of the cohort: image, mask and box by one and the same placement.

Both geometries keep the aspect ratio. ``letterbox`` shows the whole image between black borders;
``crop`` shows the central square.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bussynth.errors import UsageError

__all__ = ["Box", "Placement"]

Box: TypeAlias = tuple[float, float, float, float]
_T = TypeVar("_T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the pixels of one source image land in the stored image.

    A source point (x, y) lands at ``left + (x - crop[0]) * width / crop_width``, likewise
    vertically. Coordinates are continuous: pixel i covers [i, i + 1).

    Attributes:
        crop: Part of the source that is shown: x0, y0, x1, y1 in whole pixels, half-open.
        size: Edge length of the stored image.
        left: First stored column with content.
        top: First stored row with content.
        width: Stored columns with content.
        height: Stored rows with content.
    """

    crop: tuple[int, int, int, int]
    size: int
    left: int
    top: int
    width: int
    height: int

    @classmethod
    def fit(cls, source: tuple[int, int], size: int, geometry: str = "letterbox") -> Placement:
        """Compute the placement for a source image.

        Args:
            source: Width and height of the source image, at least 1.
            size: Edge length of the stored image.
            geometry: ``"letterbox"`` or ``"crop"``.

        Returns:
            The placement.

        Raises:
            UsageError: If the geometry is unknown.
        """
        width, height = source
        if geometry == "crop":
            edge = min(width, height)
            x0, y0 = (width - edge) // 2, (height - edge) // 2
            return cls((x0, y0, x0 + edge, y0 + edge), size, 0, 0, size, size)
        if geometry != "letterbox":
            raise UsageError(f"geometry={geometry!r}: must be letterbox or crop.")
        longest = max(width, height)
        # Integer rounding to nearest: the same on every platform.
        inner_width = max(1, (2 * width * size + longest) // (2 * longest))
        inner_height = max(1, (2 * height * size + longest) // (2 * longest))
        left, top = (size - inner_width) // 2, (size - inner_height) // 2
        return cls((0, 0, width, height), size, left, top, inner_width, inner_height)

    @property
    def enlarges(self) -> bool:
        """Whether the stored image has more pixels than the part of the source it shows."""
        x0, y0, x1, y1 = self.crop
        return self.width > x1 - x0 or self.height > y1 - y0

    def image(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resample an image: Hamming-windowed averages to shrink, bilinear to enlarge.

        Both have no negative weights, so burned-in marks do not ring, and neither shifts details
        by fractions of a pixel as plain block averages at a broken ratio do. The arithmetic is
        Pillow's fixed-point one: the same on every machine.

        Args:
            pixels: uint8 array (H, W) of the source.

        Returns:
            uint8 array (size, size), black outside the content.
        """
        return self._paste(self._resize(pixels))

    def mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Resample a mask: a stored pixel is set if more than half of what it averages is.

        The weights are those of :meth:`image`. A lesion too small for that keeps the pixels that
        see most of it, so it never vanishes.

        Args:
            mask: bool array (H, W) of the source.

        Returns:
            bool array (size, size).
        """
        stored = self._resize(mask.astype(np.uint8) * np.uint8(255)) > 127
        if not stored.any():
            # Floats, because a single pixel of a large image rounds to 0 in bytes.
            share = self._resize(mask.astype(np.float32))
            stored = (share > 0) & (share == share.max())
        return self._paste(stored)

    def box(self, box: Box) -> Box | None:
        """Move a box to the stored image and clip it to the content.

        Args:
            box: x0, y0, x1, y1 in pixels of the source, half-open.

        Returns:
            The box in pixels of the stored image, or None if the crop leaves nothing of it.
        """
        x0, y0, x1, y1 = self.crop

        def horizontal(x: float) -> float:
            return self.left + min(max((x - x0) * self.width / (x1 - x0), 0.0), float(self.width))

        def vertical(y: float) -> float:
            return self.top + min(max((y - y0) * self.height / (y1 - y0), 0.0), float(self.height))

        moved = (horizontal(box[0]), vertical(box[1]), horizontal(box[2]), vertical(box[3]))
        return moved if moved[0] < moved[2] and moved[1] < moved[3] else None

    def _resize(self, pixels: NDArray[_T]) -> NDArray[_T]:
        method = Image.Resampling.BILINEAR if self.enlarges else Image.Resampling.HAMMING
        resized = Image.fromarray(np.ascontiguousarray(pixels)).resize(
            (self.width, self.height), method, box=self.crop
        )
        return np.asarray(resized, dtype=pixels.dtype)

    def _paste(self, content: NDArray[_T]) -> NDArray[_T]:
        canvas = np.zeros((self.size, self.size), dtype=content.dtype)
        rows = slice(self.top, self.top + self.height)
        columns = slice(self.left, self.left + self.width)
        canvas[rows, columns] = content
        return canvas
