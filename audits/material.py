"""What an audit works on: the images of all roles, with what is planted and who poses as what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audits.controls.nulls import NullPlan, plan_nulls
from audits.controls.planting import PLANTED_CLASSES, Donors, PlantedClass, Renoise
from audits.controls.recall import Planted, plant
from audits.features.overlay import mask_overlays
from audits.images import ImageSet, Patients
from audits.settings import AuditSettings

__all__ = ["POOL", "Material", "prepare_material"]

Images = npt.NDArray[np.uint8]

POOL = "noise 20 dB"
"""Planted class from which the dose-response takes its copies."""


@dataclass(frozen=True, eq=False)
class Material:
    """Images with overlays masked, alike in every role.

    Attributes:
        synthetic: uint8 (m, H, W).
        real: uint8 (n, H, W), train first, then control.
        n_train: Train images.
        patients: The numbering of the real images' patients.
        planted: The planted copies of each class, by its name.
        nulls: The null comparisons.
        overlays: Share of real images in which an overlay was masked.
    """

    synthetic: Images
    real: Images
    n_train: int
    patients: Patients
    planted: Mapping[str, Planted]
    nulls: tuple[NullPlan, ...]
    overlays: float

    @property
    def copies(self) -> Images:
        """All planted copies, class after class: searched together, they cost less."""
        parts = [planted.images for planted in self.planted.values()]
        return np.concatenate([self.real[:0], *parts])

    @property
    def copies_of(self) -> dict[str, slice]:
        """Where the copies of each class stand in :attr:`copies`."""
        places, begin = {}, 0
        for name, planted in self.planted.items():
            places[name] = slice(begin, begin + len(planted.images))
            begin += len(planted.images)
        return places


def prepare_material(
    synthetic: ImageSet,
    train: ImageSet,
    control: ImageSet,
    patients: Patients,
    settings: AuditSettings,
    *,
    renoise: Renoise | None = None,
    classes: Sequence[PlantedClass] = PLANTED_CLASSES,
    advance: Callable[[str], None] | None = None,
) -> Material:
    """Mask overlays, plant copies and draw the null comparisons.

    Copies are planted from the images as they are and masked afterwards, like any others.

    Args:
        synthetic: Images to be released.
        train: Member images.
        control: Non-member images.
        patients: Their numbering.
        settings: The audit's settings.
        renoise: The audited generator, if known: makes near-duplicates of train images.
        classes: What to plant.
        advance: Called with the name of each class when done.

    Returns:
        The material.
    """
    n_train = len(train)
    raw = np.concatenate([train.images, control.images]) if n_train else control.images
    real = mask_overlays(raw)
    donors = Donors(train.images, patients.of_image[:n_train], train.boxes, renoise)
    planted = {}
    for kind in classes:
        made = plant(donors, kind, settings.planted, settings.seed)
        planted[kind.name] = Planted(
            mask_overlays(made.images), made.rows, made.patients, made.reason
        )
        if advance is not None:
            advance(kind.name)
    changed = (real != raw).any(axis=(1, 2)) if len(raw) else np.zeros(0, np.bool_)
    return Material(
        synthetic=mask_overlays(synthetic.images),
        real=real,
        n_train=n_train,
        patients=patients,
        planted=planted,
        nulls=plan_nulls(patients, settings.seed),
        overlays=float(changed.mean()) if len(changed) else 0.0,
    )
