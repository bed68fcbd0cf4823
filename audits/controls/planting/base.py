"""What a planted class is, and what it may use to make its copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "Alteration",
    "Donors",
    "Images",
    "Need",
    "PlantedClass",
    "Planting",
    "Renoise",
    "in_turn",
    "to_pixels",
]

Images = npt.NDArray[np.uint8]

Renoise = Callable[[npt.NDArray[np.int64], float, int], Images]
"""``renoise(rows, strength, seed)``: train images noised in part and denoised by the generator.

Rows are int64 (k,); strength lies in (0, 1], where 1 is sampling from nothing but noise; the result
is uint8 (k, H, W). Same arguments, same images.
"""

Need = Literal["box", "partner", "generator"]
"""What a class cannot do without: lesion boxes, an image of another patient, a generator."""


@dataclass(frozen=True, eq=False)
class Donors:
    """The train images copies are made from, and what is known of them.

    Attributes:
        images: uint8 (n, H, W).
        patients: int64 (n,), patient number of each.
        boxes: float (n, 4), lesion boxes x0, y0, x1, y1 in pixels, NaN where there is none; None
            where boxes are unknown.
        renoise: The audited generator, or None where only its images are known.
    """

    images: Images
    patients: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.floating] | None = None
    renoise: Renoise | None = None


@dataclass(frozen=True, eq=False)
class Planting:
    """One batch of copies to be made.

    Attributes:
        images: uint8 (k, H, W), the images to copy: at first ``donors.images[rows]``, later what
            earlier steps of a combination made of them.
        rows: int64 (k,), their rows among the donors.
        partners: int64 (k,), the row of an image of another patient, -1 where there is none.
        donors: All train images.
        rng: The only source of randomness, except in ``donors.renoise``.
    """

    images: Images
    rows: npt.NDArray[np.int64]
    partners: npt.NDArray[np.int64]
    donors: Donors
    rng: np.random.Generator


Alteration = Callable[[Planting], Images]


@dataclass(frozen=True)
class PlantedClass:
    """One kind and severity of copy.

    Attributes:
        name: Kind and severity, for example ``"noise 20 dB"``.
        family: The kind alone, for curves of recall against severity.
        severity: Place on the curve; larger is harder.
        decisive: Whether the verdict requires this class to be found.
        alter: Makes the copies: uint8 of the shape of ``Planting.images``.
        needs: What must be known of a donor, or it is left out.
        partner_counts: Whether naming the partner's patient is right as well: for images that
            show both patients as wholes.
    """

    name: str
    family: str
    severity: float
    decisive: bool
    alter: Alteration
    needs: tuple[Need, ...] = ()
    partner_counts: bool = False


def to_pixels(values: npt.NDArray[np.floating]) -> Images:
    """Round to the nearest of the grey values 0 to 255.

    Args:
        values: Any shape, on the scale of pixels.
    """
    pixels: Images = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels


def in_turn(*steps: Alteration) -> Alteration:
    """Alterations one after the other, each on what the one before made."""

    def alter(planting: Planting) -> Images:
        for step in steps:
            planting = replace(planting, images=step(planting))
        return planting.images

    return alter
