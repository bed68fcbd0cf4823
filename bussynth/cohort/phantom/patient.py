"""One simulated patient: a pure function of the cohort's seed and the patient's number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bussynth.cohort.phantom.anatomy import draw_anatomy
from bussynth.cohort.phantom.config import PhantomConfig
from bussynth.cohort.phantom.device import DEVICES
from bussynth.cohort.phantom.lesion import draw_birads, draw_lesion
from bussynth.cohort.phantom.scan import scan_in_place
from bussynth.cohort.row import Box

__all__ = ["PhantomView", "simulate_patient"]

_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomView:
    """One image of a simulated patient and the truth about it.

    Attributes:
        image: Grey values, shape (S, S), uint8.
        mask: Lesion, shape (S, S), bool; empty if normal.
        lesion_box: Tight box ``(x0, y0, x1, y1)`` of the mask, edges half-open; None if normal.
        pathology: ``"normal"``, ``"benign"`` or ``"malignant"``.
        device: Name of the device style.
        birads: ``"1"`` to ``"5"``.
        window: Field of view in the image, ``(left, top, right, bottom)``, edges half-open.
        pixel_mm: Edge length of a pixel.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    lesion_box: Box | None
    pathology: str
    device: str
    birads: str
    window: tuple[int, int, int, int]
    pixel_mm: float


def _pathology(index: int, config: PhantomConfig) -> str:
    """Class of a patient.

    The golden-ratio sequence instead of independent draws: any run of patients then holds the
    three classes close to the fractions asked for, and a patient's class is still a function of
    the seed and its number.
    """
    start = np.random.default_rng(np.random.SeedSequence(config.seed)).random()
    place = (start + index * _GOLDEN) % 1.0
    if place < config.normal:
        return "normal"
    return "malignant" if place < config.normal + config.malignant else "benign"


def simulate_patient(index: int, config: PhantomConfig) -> list[PhantomView]:
    """Simulate all views of one patient.

    The views share the breast, the lesion and the machine; probe position, pressure, plane,
    depth setting, gain and speckle differ.

    Args:
        index: Number of the patient, 0 or more.
        config: The cohort's configuration; ``patients`` is ignored.

    Returns:
        ``min_views`` to ``max_views`` views.

    Example:
        >>> views = simulate_patient(3, PhantomConfig(image_size=32))
        >>> views[0].image.shape, views[0].image.dtype.name
        ((32, 32), 'uint8')
    """
    patient, *planes = np.random.SeedSequence(config.seed, spawn_key=(index,)).spawn(
        1 + config.max_views
    )
    rng = np.random.default_rng(patient)
    pathology = _pathology(index, config)
    device = DEVICES[config.devices[int(rng.integers(len(config.devices)))]]
    count = int(rng.integers(config.min_views, config.max_views + 1))
    lesion = None
    birads = "1"
    if pathology != "normal":
        malignant = pathology == "malignant"
        lesion = draw_lesion(rng, malignant=malignant)
        birads = draw_birads(rng, lesion.suspicion, malignant=malignant)
    anatomy = draw_anatomy(rng, lesion)
    views = []
    for plane in planes[:count]:
        made = scan_in_place(
            np.random.Generator(np.random.SFC64(plane)), anatomy, lesion, device, config.image_size
        )
        views.append(
            PhantomView(
                image=made.image,
                mask=made.mask,
                lesion_box=made.lesion_box,
                pathology=pathology,
                device=device.name,
                birads=birads,
                window=made.window,
                pixel_mm=made.pixel_mm,
            )
        )
    return views
