"""Bit-level copies: equal pixels, up to mirroring and quarter turns."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["IdentityHit", "canonical_hash", "find_identical", "orientations"]

_NAMES = (
    "as it is",
    "turned by 90 degrees",
    "turned by 180 degrees",
    "turned by 270 degrees",
    "mirrored left-right",
    "mirrored and turned by 90 degrees",
    "mirrored top-bottom",
    "mirrored and turned by 270 degrees",
)


@dataclass(frozen=True, slots=True)
class IdentityHit:
    """Row ``query`` of one set equals row ``reference`` of another, oriented as named."""

    query: int
    reference: int
    orientation: str


def orientations(image: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.uint8], ...]:
    """The eight mirrored and turned versions of an image, itself first.

    Args:
        image: uint8 (H, W).

    Returns:
        Four quarter turns, then the four quarter turns of the left-right mirror image.
    """
    mirrored = image[:, ::-1]
    return tuple(np.rot90(base, turns) for base in (image, mirrored) for turns in range(4))


def canonical_hash(image: npt.NDArray[np.uint8]) -> bytes:
    """SHA-256 of the shape and the pixels in row order.

    Args:
        image: uint8 (H, W).

    Returns:
        The digest; equal exactly for equal pixel arrays.
    """
    shape = np.array(image.shape, "<u4").tobytes()
    return hashlib.sha256(shape + np.ascontiguousarray(image).tobytes()).digest()


def find_identical(
    queries: npt.NDArray[np.uint8], references: npt.NDArray[np.uint8]
) -> tuple[IdentityHit, ...]:
    """Every query equal to a reference in any of the eight orientations.

    Flat images (one grey value) are left out: they carry nothing of a patient.

    Args:
        queries: uint8 (m, H, W).
        references: uint8 (n, H, W).

    Returns:
        One hit a query, the first matching orientation and the lowest reference row, by query.
    """
    rows: dict[bytes, int] = {}
    for number, image in enumerate(references):
        if np.ptp(image):
            rows.setdefault(canonical_hash(image), number)
    hits = []
    for number, image in enumerate(queries):
        for name, version in zip(_NAMES, orientations(image), strict=True):
            row = rows.get(canonical_hash(version))
            if row is not None:
                hits.append(IdentityHit(number, row, name))
                break
    return tuple(hits)
