"""A perceptual hash: the signs of the low spatial frequencies.

Robust to compression, blur, noise and monotone grey-value changes, blind to detail. Copy detection
at scale knows no cheaper feature, and it needs no training. The idea is that of pHash (Zauner,
"Implementation and benchmarking of perceptual image hash functions", 2010) with the 16 x 16
frequencies of PDQ (Facebook, "The TMK+PDQF video-hashing algorithm and the PDQ image-hashing
algorithm", 2019).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from audits.features.base import FloatArray
from audits.features.pixels import reduce_area

__all__ = ["HashMap", "low_frequencies"]

_LEAST_CONTRAST = 1.0
"""RMS of the low frequencies, in grey values, below which signs would be rounding noise."""


def low_frequencies(images: npt.NDArray[np.uint8], side: int) -> FloatArray:
    """Lowest frequencies of the reduced images, without the constant row and column.

    The first row and column of the cosine transform hold the mean lines; the mean depth profile
    is common to all images of a device and would make strangers alike.

    Args:
        images: uint8 (n, H, W).
        side: Frequencies a direction.

    Returns:
        float32 (n, side, side), orthonormal DCT-II of 4 * side cells, frequencies 1 to side.
    """
    from scipy.fft import dctn

    cells = 4 * side
    out = np.empty((len(images), side, side), np.float32)
    for begin in range(0, len(images), 512):
        reduced = reduce_area(images[begin : begin + 512], cells)
        spectrum = dctn(reduced, axes=(1, 2), norm="ortho")
        out[begin : begin + 512] = spectrum[:, 1 : side + 1, 1 : side + 1]
    return out


@dataclass(frozen=True)
class HashMap:
    """Signs of side * side low frequencies about their median.

    The vectors hold ±1 / sqrt(bits), so the squared distance is 4 * Hamming distance / bits: about
    2 between strangers.

    Attributes:
        side: Frequencies a direction; bits = side * side.
    """

    side: int = 16

    @property
    def name(self) -> str:
        """For example ``"hash 256"``."""
        return f"hash {self.side**2}"

    @property
    def family(self) -> str:
        """``"hash"``."""
        return "hash"

    def features(self, images: npt.NDArray[np.uint8], *, mirrored: bool = False) -> FloatArray:
        """Hashes of images.

        Args:
            images: uint8 (n, H, W).
            mirrored: Mirror left-right first.

        Returns:
            float32 (n, bits), each ±1 / sqrt(bits); zeros where the low frequencies have less
            than one grey value of contrast, for their signs mean nothing.
        """
        if mirrored:
            images = images[:, :, ::-1]
        bits = self.side**2
        values = low_frequencies(images, self.side).reshape(len(images), bits)
        # By Parseval, the image that these frequencies alone make has this RMS contrast.
        contrast = np.sqrt(np.square(values.astype(np.float64)).sum(axis=1)) / (4 * self.side)
        signs = np.where(values > np.median(values, axis=1, keepdims=True), 1.0, -1.0)
        signs[contrast < _LEAST_CONTRAST] = 0.0
        result: FloatArray = (signs / self.side).astype(np.float32)
        return result

    def describe(self) -> Mapping[str, Any]:
        """Bits and the least contrast."""
        return {
            "name": self.name,
            "family": self.family,
            "bits": self.side**2,
            "least_contrast": _LEAST_CONTRAST,
        }
