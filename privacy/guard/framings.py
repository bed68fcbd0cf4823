"""Views of images under small changes of framing, averaged over a grid of cells.

A view is linear in the pixels, so each one is a sparse matrix, built once for a size of images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["FRAMINGS", "PLAIN", "Framing", "unit_vectors", "views"]

FloatArray = npt.NDArray[np.float64]

_SAMPLES = 2
"""Points a side at which each pixel is sampled, at least."""
_FLAT = 1e-3
"""Standard deviation in grey values below which an image shows nothing."""


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How a view differs from the image as it is.

    Attributes:
        down: Shift in cells of the grid.
        right: Shift in cells of the grid.
        angle: Turn in degrees.
        zoom: Above 1 enlarges.
        mirrored: Mirrored left to right.
    """

    down: int = 0
    right: int = 0
    angle: float = 0.0
    zoom: float = 1.0
    mirrored: bool = False


PLAIN: Final = Framing()

_CHANGES = (
    *(Framing(down=down, right=right) for down in (-1, 0, 1) for right in (-1, 0, 1)),
    *(Framing(angle=angle) for angle in (-10.0, -5.0, 5.0, 10.0)),
    *(Framing(zoom=zoom) for zoom in (0.9, 1.1)),
)

FRAMINGS: Final = (*_CHANGES, *(replace(change, mirrored=True) for change in _CHANGES))
"""Shifts of one cell, turns of 5 and 10 degrees, zooms of a tenth; all of them mirrored too."""


def views(images: npt.NDArray[np.uint8], cells: int, framing: Framing = PLAIN) -> FloatArray:
    """Mean grey values of the cells of a grid, after a change of framing.

    Args:
        images: uint8 ``(n, H, W)``.
        cells: Cells a side.
        framing: The change; beyond the image its edge goes on.

    Returns:
        float64 ``(n, cells * cells)``; row i depends on image i alone.
    """
    height, width = images.shape[1:]
    matrix = _matrix(height, width, cells, framing)
    flat = images.reshape(len(images), height * width).T.astype(np.float64)
    return np.ascontiguousarray((matrix @ flat).T)


def unit_vectors(values: FloatArray) -> FloatArray:
    """Centre each row and scale it to unit length; rows that show nothing become zero.

    The distance of two such vectors is sqrt(2 - 2 r) with their correlation r: brightness and
    contrast drop out.

    Args:
        values: float64 ``(n, d)`` in grey values.
    """
    centred = values - values.mean(axis=1, keepdims=True)
    length = np.sqrt(np.square(centred).sum(axis=1, keepdims=True))
    seen = length > _FLAT * math.sqrt(values.shape[1])
    return np.where(seen, centred / np.where(seen, length, 1.0), 0.0)


@lru_cache(maxsize=256)
def _matrix(height: int, width: int, cells: int, framing: Framing) -> Any:
    """Sparse ``(cells * cells, height * width)``; each row sums to 1."""
    from scipy.sparse import csr_array

    each = _SAMPLES * max(1, -(-max(height, width) // cells))
    line = (np.arange(cells * each) + 0.5) / (cells * each) - 0.5
    # Where each sampling point of the grid lies in the image, from -0.5 to 0.5 a side.
    y, x = np.meshgrid(line + framing.down / cells, line + framing.right / cells, indexing="ij")
    cosine, sine = (f(math.radians(framing.angle)) / framing.zoom for f in (math.cos, math.sin))
    x, y = cosine * x - sine * y, sine * x + cosine * y
    if framing.mirrored:
        x = -x
    row = np.clip(np.floor((y + 0.5) * height), 0, height - 1).astype(np.int64)
    column = np.clip(np.floor((x + 0.5) * width), 0, width - 1).astype(np.int64)
    cell = np.arange(cells * each) // each
    target = cell[:, None] * cells + cell
    matrix = csr_array(
        (
            np.full(target.size, 1.0 / each**2),
            (target.ravel(), (row * width + column).ravel()),
        ),
        shape=(cells * cells, height * width),
    )
    matrix.sum_duplicates()
    return matrix
