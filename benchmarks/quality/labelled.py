"""Small public images with labels: the standard files of MNIST and its kin, and a stand-in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.quality.idx import find_idx, read_idx
from bussynth.errors import DataError, MissingDependencyError

__all__ = ["CLASSES", "LabelledImages", "padded", "read_standard", "stand_in"]

CLASSES: Final = 10
_HELD_OUT: Final = 360


@dataclass(frozen=True)
class LabelledImages:
    """Images with labels, for training and for the test.

    Attributes:
        images: uint8 ``(n, H, W)``, to learn from.
        labels: int64 ``(n,)`` in 0 .. 9.
        test_images: uint8 ``(m, H, W)``.
        test_labels: int64 ``(m,)``.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check that images and labels go together."""
        problems = []
        for part, images, labels in (
            ("training", self.images, self.labels),
            ("test", self.test_images, self.test_labels),
        ):
            if len(images) != len(labels):
                problems.append(f"{part}: {len(images)} images but {len(labels)} labels")
            if labels.min() < 0 or labels.max() >= CLASSES:
                problems.append(f"{part}: labels must lie in 0 .. {CLASSES - 1}")
        if self.images.shape[1:] != self.test_images.shape[1:]:
            problems.append("training and test images have different sizes")
        if problems:
            raise DataError("The images and labels do not go together.", problems)

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, in hex."""
        found = hashlib.sha256()
        for array in (self.images, self.labels, self.test_images, self.test_labels):
            found.update(f"{array.dtype} {array.shape}".encode())
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()


def read_standard(folder: Path) -> LabelledImages:
    """Read the four standard files, with images padded by zeros to sides divisible by 4.

    Args:
        folder: Holds ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte`` and both as
            ``t10k-``; spelt ``.idx3-ubyte`` or compressed as well.

    Raises:
        DataError: A file is missing or damaged, or the files do not go together.
    """
    images, labels, test_images, test_labels = (
        read_idx(find_idx(folder, f"{part}-{what}", dimensions), dimensions)
        for part in ("train", "t10k")
        for what, dimensions in (("images", 3), ("labels", 1))
    )
    return LabelledImages(
        padded(images), labels.astype(np.int64), padded(test_images), test_labels.astype(np.int64)
    )


def padded(images: npt.NDArray[np.uint8], side: int = 32) -> npt.NDArray[np.uint8]:
    """Images in the middle of black squares.

    Args:
        images: uint8 ``(n, H, W)``.
        side: Of the squares.

    Raises:
        DataError: The images are larger.
    """
    height, width = images.shape[1:]
    if max(height, width) > side:
        raise DataError(f"The images have {width}x{height} pixels, more than {side}x{side}.")
    rows, columns = side - height, side - width
    margins = [(0, 0), (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2)]
    return np.pad(images, margins)


def stand_in() -> LabelledImages:
    """The 1,797 handwritten digits that scikit-learn brings along, doubled to 16×16 pixels.

    The last 360, of writers of their own as far as the file is sorted by them, are for the test.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingDependencyError(
            "The stand-in comes with scikit-learn: pip install scikit-learn."
        ) from error
    found = load_digits()
    grey = (found.images * 255 / 16).round().astype(np.uint8)
    images, labels = grey.repeat(2, axis=1).repeat(2, axis=2), found.target.astype(np.int64)
    cut = len(images) - _HELD_OUT
    return LabelledImages(images[:cut], labels[:cut], images[cut:], labels[cut:])
