"""Short vectors whose distances never exceed those of the pictures they stand for.

A synthetic image u under a framing and a real image v are vectors of 64 x 64 cells, centred, of
unit norm. Averaging blocks of b x b cells and multiplying by b is an orthonormal projection A, so

    |A u - A v| <= |u - v|

(lower-bounding lemma of GEMINI: Faloutsos, Ranganathan & Manolopoulos, SIGMOD 1994). The same holds
for orthonormal coordinates of A u together with the length of all the rest. So a pair farther apart
than a radius by its short vectors is so by its pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.copies.proposals import COARSE, Reference
from audits.features.base import FloatArray
from audits.features.windows import Window, extract

__all__ = ["Prepared", "blocks", "framed", "prepare", "reach", "sketch", "within_rounding"]

_FULL = 64
_DIRECTIONS = 61
_WEAK = 4.0
"""Standard deviation, in grey values, below which single precision is not relied on."""
_CHUNK = 2048
_ROUNDING = 5e-4
"""More than single precision can change the squared length of the rest."""


def framed(images: FloatArray, window: Window) -> npt.NDArray[np.float64]:
    """The full grid of one window, centred, of unit norm.

    Args:
        images: float32 (n, h, w) grey values, at most 64 x 64 (``working_images``).
        window: The framing; for a real image the central window of side ``inner``.

    Returns:
        float64 (n, 64, 64); zeros for a flat window.
    """
    values = extract(images, window, _FULL).astype(np.float64)
    values -= values.mean(axis=(1, 2), keepdims=True)
    norm = np.sqrt(np.square(values).sum(axis=(1, 2), keepdims=True))
    flat = norm <= 1e-3 * _FULL
    return np.where(flat, 0.0, values / np.where(flat, 1.0, norm))


def within_rounding(images: FloatArray, window: Window) -> FloatArray:
    """What :func:`framed` gives, in single precision.

    Args:
        images: float32 (n, h, w) grey values, at most 64 x 64.
        window: The framing.

    Returns:
        float32 (n, 64, 64), each vector within 1e-4 of its own.
    """
    values = extract(images, window, _FULL)
    mean = values.mean(axis=(1, 2), dtype=np.float64, keepdims=True)
    values -= mean.astype(np.float32)
    norm = np.sqrt(np.square(values).sum(axis=(1, 2), keepdims=True))
    weak = norm[:, 0, 0] <= _WEAK * _FULL
    values /= np.where(norm > 0, norm, np.float32(1))
    # Where there is little contrast, the rounding of the mean would matter.
    if weak.any():
        values[weak] = framed(images[weak], window)
    return values


def blocks(values: FloatArray, cells: int) -> FloatArray:
    """Orthonormal block sums: a contraction.

    Args:
        values: float32 (n, side, side).
        cells: Blocks a side, a divisor of the side.

    Returns:
        float32 (n, cells * cells).
    """
    side = values.shape[1]
    fold = side // cells
    pool = np.kron(np.eye(cells), np.ones(fold)).astype(np.float32)
    sums = np.matmul(np.matmul(pool, values.astype(np.float32, copy=False)), pool.T) / fold
    result: FloatArray = sums.reshape(len(values), cells * cells)
    return result


def reach(radius: float, cells: int) -> float:
    """Squared radius, widened by more than rounding can add to a squared distance.

    Args:
        radius: The radius.
        cells: Cells a side of the grid on which distances are computed in single precision.

    Returns:
        The squared distance beyond which a pair is certainly farther apart than the radius.
    """
    # 2e-4 from the two vectors themselves, times two for the square, and again for good measure.
    return radius * radius + float(8 * (cells * cells + 10) * np.finfo(np.float32).eps + 1e-3)


def sketch(
    values: FloatArray, sums: FloatArray, directions: FloatArray, *, query: bool
) -> FloatArray:
    """Short vectors the product of which is minus half a squared distance.

    With p the coordinates of the block sums of u on orthonormal directions, u goes to p and the
    length r of the rest: u . v <= p . p' + r r' (Cauchy-Schwarz), so no distance grows. Two more
    columns hold the norms.

    Args:
        values: float32 (n, 64, 64), of unit norm or zeros.
        sums: float32 (n, 256), their block sums.
        directions: float32 (256, d), orthonormal columns.
        query: Which side of the product the vectors are for.

    Returns:
        float32 (n, d + 3).
    """
    short = np.empty((len(values), directions.shape[1] + 3), np.float32)
    known = short[:, :-3]
    np.matmul(sums, directions, out=known)
    squares = np.square(values).sum(axis=(1, 2))
    # Too long rather than too short: that only brings vectors nearer, and the root of a small
    # difference would be far off otherwise.
    rest = np.maximum(squares - np.square(known).sum(axis=1), 0)
    short[:, -3] = np.sqrt(rest + np.float32(_ROUNDING))
    norms, ones = (-2, -1) if query else (-1, -2)
    short[:, norms] = squares * np.float32(-0.5)
    short[:, ones] = 1
    return short


@dataclass(frozen=True, eq=False)
class Prepared:
    """The reference and, by the ``inner`` of the framings, what its images are compared by.

    Attributes:
        reference: Prepared real images.
        directions: float32 (256, d), orthonormal columns.
        sketches: float32 (d + 3, n).
        blocks: float32 (n, 256).
    """

    reference: Reference
    directions: Mapping[float, FloatArray]
    sketches: Mapping[float, FloatArray]
    blocks: Mapping[float, FloatArray]


def prepare(reference: Reference) -> Prepared:
    """Short vectors of all real images.

    Args:
        reference: Prepared real images.

    Returns:
        The reference with them.
    """
    n = len(reference.images)
    directions, sketches, sums = {}, {}, {}
    for inner, found in reference.directions.items():
        directions[inner] = np.ascontiguousarray(found[:, :_DIRECTIONS])
        sketches[inner] = np.empty((directions[inner].shape[1] + 3, n), np.float32)
        sums[inner] = np.empty((n, COARSE**2), np.float32)
        for i in range(0, n, _CHUNK):
            part = slice(i, i + _CHUNK)
            real = within_rounding(reference.working(part), Window(zoom=inner))
            sums[inner][part] = blocks(real, COARSE)
            short = sketch(real, sums[inner][part], directions[inner], query=False)
            sketches[inner][:, part] = short.T
    return Prepared(reference, directions, sketches, sums)
