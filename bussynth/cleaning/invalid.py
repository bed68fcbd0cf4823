"""Frames that show no tissue: black, empty, or a screen instead of an image.

* *Black*: more than three quarters of the pixels are. The share is that of Bunnell et al. (2024),
  PLOS ONE 19(12) e0315434.
* *Constant*: there is hardly any contrast.
* *No speckle*: nearly everywhere the image is smooth to within one gray value, as paper, forms and
  screens are. Ultrasound is noise, even where it is dark, unless the machine cut it off.

A photograph, an image of another organ or modality, and a phantom all pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Invalidity", "InvaliditySettings", "find_invalidity"]


class Invalidity(StrEnum):
    """Why a frame is invalid.

    Attributes:
        CONSTANT: There is hardly any contrast.
        BLACK: Most of it is black.
        NO_SPECKLE: Most of it is smooth.
    """

    CONSTANT = "constant"
    BLACK = "black"
    NO_SPECKLE = "no-speckle"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvaliditySettings:
    """Where tissue ends.

    Attributes:
        black: Gray values below this are black.
        black_share: A frame with a greater share of black pixels is invalid.
        contrast: Least standard deviation of a frame, in gray values.
        smooth: A block of 8 x 8 pixels of less standard deviation is smooth.
        smooth_share: A frame with a greater share of smooth blocks is invalid.
    """

    black: int = 5
    black_share: float = 0.75
    contrast: float = 3.0
    smooth: float = 1.0
    smooth_share: float = 0.75

    def __post_init__(self) -> None:
        if not (0 < self.black_share <= 1 and 0 < self.smooth_share <= 1):
            raise ValueError("Shares are above 0 and at most 1.")
        if min(self.black, self.contrast, self.smooth) < 0:
            raise ValueError("Gray values are not negative.")


_BLOCK: Final = 8


def find_invalidity(
    gray: NDArray[np.uint8], settings: InvaliditySettings | None = None
) -> Invalidity | None:
    """Say whether a frame shows no tissue, and why.

    Args:
        gray: Image (H, W).
        settings: Where tissue ends.

    Returns:
        The first reason in the order of `Invalidity`; None where the frame may be valid.

    Raises:
        ValueError: The image is of another kind.

    Example:
        >>> find_invalidity(np.full((40, 40), 128, np.uint8))
        <Invalidity.CONSTANT: 'constant'>
    """
    if gray.dtype != np.uint8 or gray.ndim != 2 or not gray.size:
        raise ValueError("Only gray images of 8 bits can be judged.")
    settings = settings or InvaliditySettings()
    if float(gray.std()) < settings.contrast:
        return Invalidity.CONSTANT
    if float(np.mean(gray < settings.black)) > settings.black_share:
        return Invalidity.BLACK
    if _smooth_share(gray, settings.smooth) > settings.smooth_share:
        return Invalidity.NO_SPECKLE
    return None


def _smooth_share(gray: NDArray[np.uint8], smooth: float) -> float:
    """Share of whole blocks that are smooth; 0 where the frame is smaller than a block."""
    down, across = (size // _BLOCK for size in gray.shape)
    if not down or not across:
        return 0.0
    whole = gray[: down * _BLOCK, : across * _BLOCK].astype(np.float32)
    blocks = whole.reshape(down, _BLOCK, across, _BLOCK)
    return float(np.mean(blocks.std(axis=(1, 3)) < smooth))
