"""What a guard compares images by: channels from images to vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from privacy.guard.errors import GuardInputError
from privacy.guard.framings import FRAMINGS, FloatArray, unit_vectors, views

__all__ = ["Channel", "EncoderChannel", "PixelChannel", "pixel_channels"]

Images = npt.NDArray[np.uint8]


class Channel(Protocol):
    """One way of comparing images: the Euclidean distance of vectors, over some views."""

    @property
    def name(self) -> str:
        """Unique name, for example ``"pixels 16"``."""
        ...

    def vectors(self, images: Images) -> FloatArray:
        """Vectors of images as they are, float64 ``(n, d)``; row i depends on image i alone."""
        ...

    def views(self, images: Images) -> Iterator[FloatArray]:
        """The same under each change that a copy may have undergone."""
        ...


@dataclass(frozen=True)
class PixelChannel:
    """Means over a grid of cells, without brightness and contrast.

    Fine detail and noise are averaged away. Sees copies shifted by up to a cell or so, turned by
    up to 10 degrees, zoomed by a tenth, or mirrored; blind to stronger changes of framing and to
    inverted grey values.

    Attributes:
        cells: Cells a side.
    """

    cells: int

    @property
    def name(self) -> str:
        """For example ``"pixels 16"``."""
        return f"pixels {self.cells}"

    def vectors(self, images: Images) -> FloatArray:
        """Unit vectors of images as they are."""
        return unit_vectors(views(images, self.cells))

    def views(self, images: Images) -> Iterator[FloatArray]:
        """Unit vectors under :data:`privacy.guard.framings.FRAMINGS`."""
        for framing in FRAMINGS:
            yield unit_vectors(views(images, self.cells, framing))


@dataclass(frozen=True)
class EncoderChannel:
    """Vectors of any function of images, plain and mirrored.

    Not the features by which the cohort will be audited: what they no longer show after
    filtering by them proves nothing.

    Attributes:
        name: Unique name.
        encode: Function from uint8 ``(n, H, W)`` to finite numbers ``(n, d)``. Row i must depend
            on image i alone. Several worker processes need a function that can be pickled.
    """

    name: str
    encode: Callable[[Images], npt.ArrayLike]

    def vectors(self, images: Images) -> FloatArray:
        """Vectors of images as they are.

        Raises:
            GuardInputError: The function returned something else than finite ``(n, d)``.
        """
        found = np.asarray(self.encode(images), dtype=np.float64)
        if found.ndim != 2 or len(found) != len(images) or not np.isfinite(found).all():
            raise GuardInputError(
                f"The encoder {self.name!r} must return finite numbers of shape "
                f"({len(images)}, d); it returned shape {found.shape}."
            )
        return found

    def views(self, images: Images) -> Iterator[FloatArray]:
        """Vectors of the images and of their mirror images."""
        yield self.vectors(images)
        yield self.vectors(np.ascontiguousarray(images[:, :, ::-1]))


def pixel_channels(height: int, width: int) -> tuple[PixelChannel, ...]:
    """The channels used by default: 16 and 32 cells a side, as far as there are pixels for them."""
    side = min(height, width)
    sizes = [cells for cells in (16, 32) if cells <= side] or [side]
    return tuple(PixelChannel(cells) for cells in sizes)
