"""The images an encoder is trained on, in an order that says nothing of where they come from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.errors import AuditInputError
from audits.features.pixels import reduce_area

__all__ = ["WORKING_SIDE", "Pool", "pool_digest", "shuffled_pool"]

WORKING_SIDE = 64
"""Side in pixels at which images are altered; larger ones are reduced first."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Distinct images, sorted by their SHA-256.

    Sorting by digest is a shuffle that anyone can repeat: train and control images are mixed,
    and the order in which the caller held them cannot reach the encoder.

    Attributes:
        images: uint8 (n, h, w), at most 64 x 64, neither flat nor twice the same.
        patients: int64 (n,), numbered by first appearance; patients who share an identical image
            are one.
        digest: ``"sha256:..."`` of the caller's images, whatever their order.
    """

    images: npt.NDArray[np.uint8]
    patients: npt.NDArray[np.int64]
    digest: str


def _image_digests(images: npt.NDArray[np.uint8]) -> list[bytes]:
    shape = np.array(images.shape[1:], "<u4").tobytes()
    return [hashlib.sha256(shape + np.ascontiguousarray(i).tobytes()).digest() for i in images]


def pool_digest(images: npt.NDArray[np.uint8]) -> str:
    """Digest of a set of images, the same in any order.

    Args:
        images: uint8 (n, H, W).

    Returns:
        ``"sha256:..."``.
    """
    return "sha256:" + hashlib.sha256(b"".join(sorted(_image_digests(images)))).hexdigest()


def _check(images: npt.NDArray[np.uint8], patients: npt.NDArray[np.int64]) -> None:
    problems = []
    if images.ndim != 3 or images.dtype != np.uint8:
        problems.append(f"expected images uint8 (n, H, W). Got {images.dtype} {images.shape}.")
    elif min(images.shape[1:]) < 8:
        problems.append(f"images of {images.shape[1]}x{images.shape[2]} are smaller than 8x8.")
    if patients.shape != images.shape[:1]:
        problems.append(f"expected one patient an image. Got {patients.shape}.")
    if problems:
        raise AuditInputError("An encoder cannot be trained on this.", problems)


def shuffled_pool(images: npt.NDArray[np.uint8], patients: npt.NDArray[np.int64]) -> Pool:
    """Put images into their canonical order; flat and repeated ones are left out.

    Args:
        images: uint8 (n, H, W), real images of train and control alike.
        patients: int64 (n,), patient number of each.

    Returns:
        The pool.

    Raises:
        AuditInputError: Wrong types or shapes, or fewer than two patients with distinct images.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    _check(images, patients)
    digests = _image_digests(images)
    _, pictures, inverse = np.unique(
        np.array(digests, dtype="S32") if digests else np.empty(0, "S32"),
        return_index=True,
        return_inverse=True,
    )
    _, numbers = np.unique(patients, return_inverse=True)
    # Patients and pictures as one graph: its parts are the patients, merged by shared pictures.
    size = int(numbers.max(initial=-1)) + 1 + len(pictures)
    links = coo_matrix(
        (np.ones(len(numbers)), (numbers, inverse + size - len(pictures))), (size, size)
    )
    _, parts = connected_components(links, directed=False)
    kept = [int(row) for row in pictures if np.ptp(images[row])]
    labels = parts[numbers[kept]] if kept else np.empty(0, np.int64)
    _, first, ordered = np.unique(labels, return_index=True, return_inverse=True)
    if len(first) < 2:
        raise AuditInputError(
            "An encoder needs images of at least two patients that are neither flat nor equal."
        )
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    chosen = images[kept]
    if max(chosen.shape[1:]) > WORKING_SIDE:
        reduced = reduce_area(chosen, WORKING_SIDE)
        chosen = np.clip(np.rint(reduced), 0, 255).astype(np.uint8)
    digest = "sha256:" + hashlib.sha256(b"".join(sorted(digests))).hexdigest()
    return Pool(chosen, rank[ordered], digest)
