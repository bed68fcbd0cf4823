"""Lesions: what a radiologist describes in BI-RADS terms, drawn from one hidden score.

Every lesion has a *suspicion*, drawn around -1.1 for benign and +1.1 for malignant lesions with
unit spread; shape, margin, orientation, echo pattern and posterior features follow from it, each
with noise of its own. The classes therefore overlap as they do in the clinic: a perfect reader of
the suspicion reaches an area under the ROC curve of Phi(2.2 / sqrt(2)) = 0.94, no more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["SEPARATION", "Lesion", "draw_birads", "draw_lesion", "neighbouring_plane"]

Floats = NDArray[np.float32]

SEPARATION = 1.1
"""Distance of either class's mean suspicion from zero."""

_ANGLES = 256


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One lesion in millimetres and decibels.

    Attributes:
        suspicion: Hidden score, about -3 to 3.
        width_mm: Extent along the skin, before the outline is roughened.
        height_mm: Extent along depth.
        tilt: Rotation in radians.
        outline: Radius relative to the ellipse at 256 angles, mean about 1.
        cystic: Whether it is filled with fluid.
        echo_db: Echo level relative to fat.
        texture_db: Spread of the echo level inside.
        margin_mm: Width of the transition to the tissue around.
        halo_db: Brightness of the echogenic rim.
        halo_mm: Its width.
        capsule_db: Brightness of the thin capsule where it faces the beam.
        attenuation: Attenuation beyond that of fat, in dB/cm/MHz; negative enhances.
        edge_shadow_db: Loss behind the lateral edges by refraction.
        calcifications: Positions (u, v) in units of the half axes and brightness in dB.
    """

    suspicion: float
    width_mm: float
    height_mm: float
    tilt: float
    outline: Floats
    cystic: bool
    echo_db: float
    texture_db: float
    margin_mm: float
    halo_db: float
    halo_mm: float
    capsule_db: float
    attenuation: float
    edge_shadow_db: float
    calcifications: tuple[tuple[float, float, float], ...]

    def distance(self, z: Floats, x: Floats) -> Floats:
        """Approximate signed distance to the outline in mm, negative inside.

        Args:
            z: Depth below the lesion's centre, in mm; any shape that broadcasts with ``x``.
            x: Lateral position from the centre, in mm.
        """
        cos, sin = np.float32(np.cos(self.tilt)), np.float32(np.sin(self.tilt))
        u = (x * cos + z * sin) * np.float32(2.0 / self.width_mm)
        v = (z * cos - x * sin) * np.float32(2.0 / self.height_mm)
        # The small terms keep the ratio of the two radii finite at the very centre.
        radius = np.sqrt(u * u + v * v + np.float32(1e-6))
        turn = np.arctan2(v, u) * np.float32(_ANGLES / (2.0 * np.pi)) + np.float32(_ANGLES)
        index = turn.astype(np.intp)
        t = turn - index
        low = self.outline[index % _ANGLES]
        edge = low + t * (self.outline[(index + 1) % _ANGLES] - low)
        small = np.float32(0.25e-6 * self.width_mm * self.height_mm)
        scale = np.sqrt(z * z + x * x + small) / radius
        return np.asarray((radius - edge) * scale, np.float32)

    @property
    def reach_mm(self) -> float:
        """Largest distance of the outline from the centre."""
        return 0.5 * max(self.width_mm, self.height_mm) * float(self.outline.max())

    def extent_mm(self) -> tuple[float, float]:
        """Largest half extent (depth, lateral) of the outline, in mm."""
        angle = np.arange(_ANGLES) * (2.0 * np.pi / _ANGLES)
        u = 0.5 * self.width_mm * self.outline * np.cos(angle)
        v = 0.5 * self.height_mm * self.outline * np.sin(angle)
        depth = u * np.sin(self.tilt) + v * np.cos(self.tilt)
        lateral = u * np.cos(self.tilt) - v * np.sin(self.tilt)
        return float(np.abs(depth).max()), float(np.abs(lateral).max())


def _harmonics(
    rng: np.random.Generator, orders: range, amplitude: float, decay: float
) -> NDArray[np.float64]:
    angle = np.arange(_ANGLES) * (2.0 * np.pi / _ANGLES)
    total = np.zeros(_ANGLES)
    for order in orders:
        size = amplitude * rng.standard_normal() / (order - orders.start + 1) ** decay
        total += size * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    return total


def _outline(rng: np.random.Generator, suspicion: float) -> tuple[Floats, float]:
    """Outline of a lesion and how rough it is (0 smooth ... 1)."""
    rough = float(np.clip(np.exp(rng.normal(-2.3 + 0.85 * suspicion, 0.45)), 0.02, 0.30))
    lobed = _harmonics(rng, range(2, 4), min(0.5 * rough + 0.02, 0.10), 0.5)
    jagged = _harmonics(rng, range(3, 10), 0.55 * rough, 0.5)
    radius = 1.0 + lobed + jagged
    if rng.random() < 1.0 / (1.0 + np.exp(1.0 - 1.2 * suspicion)):  # microlobulated
        order = int(rng.integers(9, 15))
        radius += _harmonics(rng, range(order, order + 2), 0.06, 0.0)
    if rng.random() < 1.0 / (1.0 + np.exp(1.6 - 1.3 * suspicion)):  # spiculated
        angle = np.arange(_ANGLES) * (2.0 * np.pi / _ANGLES)
        for _ in range(int(rng.integers(7, 16))):
            turn = (angle - rng.uniform(0, 2 * np.pi) + np.pi) % (2 * np.pi) - np.pi
            radius += rng.uniform(0.12, 0.50) * np.exp(-np.abs(turn) / rng.uniform(0.05, 0.13))
        rough = max(rough, 0.2)
    radius = np.clip(radius, 0.45, 1.9)
    # Equal area keeps the size what it was drawn as.
    radius /= np.sqrt(np.mean(radius**2))
    return radius.astype(np.float32), rough


def _calcifications(
    rng: np.random.Generator, suspicion: float
) -> tuple[tuple[float, float, float], ...]:
    if rng.random() < 1.0 / (1.0 + np.exp(2.0 - 1.2 * suspicion)):
        count = int(rng.integers(4, 16))
        spots = rng.normal(0.0, 0.35, (count, 2))
        levels = rng.uniform(10.0, 20.0, count)
    elif rng.random() < 0.05:
        spots, levels = rng.normal(0.0, 0.25, (1, 2)), np.array([26.0])
    else:
        return ()
    return tuple(
        (float(u), float(v), float(level)) for (u, v), level in zip(spots, levels, strict=True)
    )


def draw_lesion(rng: np.random.Generator, *, malignant: bool) -> Lesion:
    """Draw a lesion of the given class."""
    suspicion = float(rng.normal(SEPARATION if malignant else -SEPARATION, 1.0))
    s = float(np.clip(suspicion, -3.0, 3.0))
    diameter = float(np.clip(np.exp(rng.normal(2.50 + 0.10 * s, 0.33)), 4.5, 24.0))
    aspect = float(np.clip(np.exp(rng.normal(-0.42 + 0.17 * s, 0.20)), 0.30, 1.8))
    cystic = bool(s < -0.4 and rng.random() < 0.38)
    # A cyst's wall is smooth whatever else is drawn.
    outline, rough = _outline(rng, s - 1.2 if cystic else s)
    smooth = float(np.exp(-9.0 * max(rough - 0.03, 0.0)))
    if cystic:
        echo, texture = rng.uniform(-36.0, -20.0), 1.0
        attenuation = rng.uniform(-0.62, -0.45)
        margin = rng.uniform(0.12, 0.28)
    else:
        echo = float(np.clip(rng.normal(-11.5 - 2.6 * s, 2.6), -24.0, -3.0))
        texture = float(np.clip(rng.normal(2.2 + 0.7 * s, 0.7), 0.6, 5.0))
        attenuation = float(np.clip(rng.normal(0.25 + 0.75 * s, 0.50), -0.55, 2.2))
        margin = float(np.clip(np.exp(rng.normal(-0.95 + 0.32 * s, 0.35)), 0.15, 1.6))
    return Lesion(
        suspicion=suspicion,
        width_mm=diameter / np.sqrt(aspect),
        height_mm=diameter * np.sqrt(aspect),
        tilt=float(rng.normal(0.0, 0.14)),
        outline=outline,
        cystic=cystic,
        echo_db=float(echo),
        texture_db=texture,
        margin_mm=float(margin),
        halo_db=float(np.clip(rng.normal(1.0 + 2.4 * s, 2.0), 0.0, 10.0)),
        halo_mm=float(rng.uniform(0.8, 2.4)),
        capsule_db=float(smooth * rng.uniform(3.0, 13.0)),
        attenuation=float(attenuation),
        edge_shadow_db=float(smooth * rng.uniform(1.0, 11.0)),
        calcifications=() if cystic else _calcifications(rng, s),
    )


def neighbouring_plane(lesion: Lesion, rng: np.random.Generator) -> Lesion:
    """The same lesion as another probe position or angle cuts it."""
    shift = int(rng.normal(0.0, 6.0))
    turned = np.roll(lesion.outline, shift)
    wave = _harmonics(rng, range(2, 7), 0.04, 0.6).astype(np.float32)
    outline = np.clip(0.7 * lesion.outline + 0.3 * turned + wave, 0.4, 2.0)
    return replace(
        lesion,
        width_mm=lesion.width_mm * float(rng.uniform(0.85, 1.08)),
        height_mm=lesion.height_mm * float(rng.uniform(0.88, 1.06)),
        tilt=lesion.tilt + float(rng.normal(0.0, 0.08)),
        outline=outline.astype(np.float32),
        echo_db=lesion.echo_db + float(rng.normal(0.0, 0.8)),
    )


def draw_birads(rng: np.random.Generator, suspicion: float, *, malignant: bool) -> str:
    """Draw the assessment a reader would give: 2 to 4 if benign, 4 or 5 if malignant."""
    seen = suspicion + float(rng.normal(0.0, 0.6))
    if malignant:
        return "5" if seen > 1.6 else "4"
    if seen < -1.4:
        return "2"
    return "3" if seen < -0.2 else "4"
