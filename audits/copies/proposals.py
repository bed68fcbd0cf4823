"""Real images worth aligning with a query: the most alike patients under any framing.

Pictures of 16 x 16 cells are compared under every framing of the orbit. Most real images are ruled
out by a sketch: with p the coordinates of x on a few orthonormal directions and r the length of the
rest, x . y <= p . p' + r r' (Cauchy-Schwarz), so one product of short vectors bounds the similarity
from above. Only images whose bound reaches the last place among the wanted patients are compared
in full. What is left out could not have been proposed; the directions, principal components of the
real images, change the time alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.copies.channel import best_of_patients
from audits.features.base import FloatArray
from audits.features.pixels import normalised, reduce_area
from audits.features.windows import Window, extract, orbit

__all__ = ["COARSE", "Reference", "build_reference", "propose", "working_images"]

COARSE = 16
"""Cells a side of the pictures compared."""

_WORKING = 64
_DIRECTIONS = 63
_CHUNK = 2048
"""Real images whose bounds are computed together: keeps the table in the cache."""
_TRIED = 12
"""Patients compared in full to learn which bound the others must reach."""
_ROUNDING = 1e-4
"""More than single precision can change a similarity of unit vectors of 256 cells."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Reference:
    """Real images prepared for search, sorted by patient.

    Attributes:
        images: (n, h, w), reduced to at most 64 x 64: float32, or uint8 where nothing was reduced.
        rows: int64 (n,), the caller's row of each image.
        patients: int64 (n,), ascending patient numbers.
        starts: int64 (groups,), first position of each patient.
        coarse: float32 (n, 256), features of the central window, by the ``inner`` of the framings:
            1 for whole pictures, less for crops.
        directions: float32 (256, 63), orthonormal columns, by ``inner``.
        sketches: float32 (64, n), coordinates on the directions and length of the rest, by
            ``inner``.
    """

    images: npt.NDArray[np.float32] | npt.NDArray[np.uint8]
    rows: Numbers
    patients: Numbers
    starts: Numbers
    coarse: Mapping[float, FloatArray]
    directions: Mapping[float, FloatArray]
    sketches: Mapping[float, FloatArray]

    def working(self, positions: Numbers | slice) -> FloatArray:
        """Some of the images, float32 (n, h, w)."""
        return self.images[positions].astype(np.float32, copy=False)


def working_images(images: npt.NDArray[np.uint8]) -> FloatArray:
    """Images reduced to at most 64 x 64, float32 (n, h, w)."""
    if len(images) and max(images.shape[1:]) > _WORKING:
        return reduce_area(images, _WORKING)
    return images.astype(np.float32)


def build_reference(images: npt.NDArray[np.uint8], patients: Numbers) -> Reference:
    """Prepare real images for the search.

    Args:
        images: uint8 (n, H, W).
        patients: int64 (n,), patient number of each image.

    Returns:
        The reference, sorted by patient and, within a patient, by row.
    """
    order = np.argsort(patients, kind="stable")
    ordered = patients[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else order
    working = working_images(images[order])
    coarse = {
        inner: normalised(
            extract(working, Window(zoom=inner), COARSE).reshape(len(working), COARSE**2)
        )
        for inner in sorted({window.inner for window in orbit()})
    }
    directions = {inner: _directions(features) for inner, features in coarse.items()}
    sketches = {
        inner: np.ascontiguousarray(_sketch(features, directions[inner]).T)
        for inner, features in coarse.items()
    }
    return Reference(
        # Bytes take a quarter of the room, also on the way to other processes.
        images[order] if working.shape[1:] == images.shape[1:] else working,
        order.astype(np.int64),
        ordered,
        starts.astype(np.int64),
        coarse,
        directions,
        sketches,
    )


def _directions(features: FloatArray) -> FloatArray:
    """Orthonormal directions along which vectors of unit norm are longest, (d, 63)."""
    moments = (features.T @ features).astype(np.float64)
    _, vectors = np.linalg.eigh(moments)
    return np.ascontiguousarray(vectors[:, ::-1][:, :_DIRECTIONS], np.float32)


def _sketch(features: FloatArray, directions: FloatArray) -> FloatArray:
    """Coordinates and length of the rest, (n, 64)."""
    sketch = np.empty((len(features), directions.shape[1] + 1), np.float32)
    np.matmul(features, directions, out=sketch[:, :-1])
    rest = np.square(features).sum(axis=1) - np.square(sketch[:, :-1]).sum(axis=1)
    # Never too short: the root would magnify the rounding of a small difference.
    sketch[:, -1] = np.sqrt(np.maximum(rest, 0) + np.float32(1e-5))
    return sketch


def propose(
    queries: FloatArray, reference: Reference, own: Numbers, count: int
) -> tuple[Numbers, Numbers]:
    """The best image of each of the best patients, and the framing under which it is best.

    Args:
        queries: float32 (m, h, w), reduced as the reference is.
        reference: Prepared real images.
        own: int64 (m,), patient left out for each query, or -1.
        count: Patients wanted.

    Returns:
        int64 (m, at most count) each: positions in the reference, most similar patient first, ties
        by patient, -1 where there are fewer; and numbers of framings.
    """
    family = orbit()
    m = len(queries)
    features = np.empty((m, len(family), COARSE**2), np.float32)
    sketches = np.empty((len(family), m, _DIRECTIONS + 1), np.float32)
    for number, window in enumerate(family):
        cut = normalised(extract(queries, window, COARSE).reshape(m, -1))
        features[:, number] = cut
        sketches[number] = _sketch(cut, reference.directions[window.inner])
    inner = {
        size: [n for n, w in enumerate(family) if w.inner == size] for size in reference.coarse
    }
    bounds = _bounds(sketches, reference, [window.inner for window in family])
    first = np.searchsorted(reference.patients, own)
    last = np.searchsorted(reference.patients, own, side="right")
    for posing in np.flatnonzero(last > first):
        bounds[posing, first[posing] : last[posing]] = -np.inf
    likely = best_of_patients(bounds, reference.starts, max(count, _TRIED))
    positions = np.full((m, min(count, len(reference.starts))), -1, np.int64)
    windows = np.zeros_like(positions)
    for row in range(m):
        tried = likely[row, likely[row] >= 0]
        least = -2.0
        if len(tried) >= count:
            reached = _compare(features[row], reference, inner, tried).max(axis=0)
            least = float(np.sort(reached)[-count]) - _ROUNDING
        kept = np.flatnonzero(bounds[row] >= least)
        if len(kept):
            similarity = _compare(features[row], reference, inner, kept)
            _take_best(similarity, kept, reference, positions[row], windows[row])
    return positions, windows


def _bounds(sketches: FloatArray, reference: Reference, inner: list[float]) -> FloatArray:
    """Upper bound on the similarity of each query with each real image, (m, n)."""
    m, n = sketches.shape[1], len(reference.rows)
    bounds = np.empty((m, n), np.float32)
    for begin in range(0, n, _CHUNK):
        parts = {
            size: known[:, begin : begin + _CHUNK] for size, known in reference.sketches.items()
        }
        best = sketches[0] @ parts[inner[0]]
        product = np.empty_like(best)
        for sketch, size in zip(sketches[1:], inner[1:], strict=True):
            np.matmul(sketch, parts[size], out=product)
            np.maximum(best, product, out=best)
        bounds[:, begin : begin + _CHUNK] = best
    return bounds


def _compare(
    features: FloatArray, reference: Reference, inner: Mapping[float, list[int]], positions: Numbers
) -> FloatArray:
    """Similarity of one query under every framing with some real images, (framings, images)."""
    similarity = np.empty((len(features), len(positions)), np.float32)
    for size, numbers in inner.items():
        similarity[numbers] = features[numbers] @ reference.coarse[size][positions].T
    return similarity


def _take_best(
    similarity: FloatArray,
    kept: Numbers,
    reference: Reference,
    positions: Numbers,
    windows: Numbers,
) -> None:
    """Write the best image of the best patients among those kept."""
    window = similarity.argmax(axis=0)
    best = similarity.max(axis=0)
    patients = reference.patients[kept]
    starts = np.flatnonzero(np.r_[True, patients[1:] != patients[:-1]])
    chosen = best_of_patients(best[None], starts, len(positions))[0]
    positions[: len(chosen)] = kept[chosen]
    windows[: len(chosen)] = window[chosen]
