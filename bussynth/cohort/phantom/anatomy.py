"""The breast of one patient: skin, fat, gland, retromammary fat, muscle and chest wall.

Coordinates are the patient's: depth ``z`` below the skin and position ``x`` along it, in mm;
``x = 0`` is where the lesion lies, if there is one. Every view of the patient samples the same
curves and fields.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bussynth.cohort.phantom.fields import Curve, Field, draw_curve, draw_field
from bussynth.cohort.phantom.lesion import Lesion

__all__ = ["HALF_SPAN_MM", "MAX_DEPTH_MM", "Anatomy", "draw_anatomy"]

HALF_SPAN_MM = 60.0
MAX_DEPTH_MM = 66.0


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """Thicknesses (mm), echo levels (dB relative to fat) and random structure of one breast.

    Attributes:
        skin_mm: Thickness of the skin.
        fat_mm: Mean depth of the lower face of the subcutaneous fat, below the skin.
        wall_mm: Mean depth of the pectoral muscle.
        retro_mm: Mean thickness of the fat before the muscle.
        muscle_mm: Thickness of the muscle.
        gland_db: Echo level of the gland.
        deep_db: How much weaker the chest wall scatters than fat.
        septa_db: Brightness of Cooper's ligaments and other fibrous strands.
        ribs: Whether the probe lies across the ribs (else along an intercostal space).
        rib_period_mm: Distance between ribs.
        rib_phase: Where the ribs are.
        lesion_depth_mm: Depth of the lesion's centre.
        boundaries: Undulation of skin, fat, gland and wall, in this order, and brightness of
            their interfaces along x.
        lobules: Fat lobules; their zero level is the net of septa.
        strands: Fibres of the gland; flatter than the septa.
        patches: Islands of fat in the gland and of gland in the fat.
        streaks: Fine layering along the skin.
    """

    skin_mm: float
    fat_mm: float
    wall_mm: float
    retro_mm: float
    muscle_mm: float
    gland_db: float
    deep_db: float
    septa_db: float
    ribs: bool
    rib_period_mm: float
    rib_phase: float
    lesion_depth_mm: float
    boundaries: tuple[Curve, Curve, Curve, Curve, Curve]
    lobules: Field
    strands: Field
    patches: Field
    streaks: Field


def draw_anatomy(rng: np.random.Generator, lesion: Lesion | None) -> Anatomy:
    """Draw a breast, deep enough to hold the lesion if there is one."""
    skin = float(rng.uniform(1.0, 2.1))
    wall = float(np.clip(rng.normal(23.0, 5.0), 13.0, 36.0))
    depth = 0.5 * wall
    if lesion is not None:
        half, _ = lesion.extent_mm()
        wall = max(wall, skin + 2.0 * half + 3.5)
        low, high = skin + half + 1.2, wall - half - 1.0
        depth = low + (high - low) * float(rng.beta(1.6, 2.2))
    span = (-HALF_SPAN_MM, HALF_SPAN_MM)
    down = (0.0, MAX_DEPTH_MM)
    stretch = float(rng.uniform(0.8, 1.3))
    return Anatomy(
        skin_mm=skin,
        fat_mm=float((wall - skin) * rng.beta(2.2, 2.8)),
        wall_mm=wall,
        retro_mm=float(rng.uniform(0.5, 4.5)),
        muscle_mm=float(rng.uniform(5.0, 12.0)),
        gland_db=float(np.clip(rng.normal(7.0, 2.5), 1.0, 12.0)),
        deep_db=float(rng.uniform(3.0, 14.0)),
        septa_db=float(rng.uniform(6.0, 13.0)),
        ribs=bool(rng.random() < 0.3),
        rib_period_mm=float(rng.uniform(20.0, 28.0)),
        rib_phase=float(rng.uniform(0.0, 2.0 * np.pi)),
        lesion_depth_mm=depth,
        boundaries=(
            draw_curve(rng, *span, 14.0),
            draw_curve(rng, *span, 6.0),
            draw_curve(rng, *span, 8.0),
            draw_curve(rng, *span, 22.0),
            draw_curve(rng, *span, 5.0),
        ),
        lobules=draw_field(rng, down, span, (2.3 * stretch, 5.0 * stretch)),
        strands=draw_field(rng, down, span, (1.1 * stretch, 6.5 * stretch)),
        patches=draw_field(rng, down, span, (2.8 * stretch, 5.5 * stretch)),
        streaks=draw_field(rng, down, span, (0.55, 4.5)),
    )
