"""Maps of what the sound meets: echo level, mirror-like reflection and excess attenuation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bussynth.cohort.phantom.anatomy import MAX_DEPTH_MM, Anatomy
from bussynth.cohort.phantom.fields import Field
from bussynth.cohort.phantom.lesion import Lesion

__all__ = ["Tissue", "add_lesion", "layered_tissue"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Tissue:
    """Three maps on one grid, shape (depth, lateral).

    Attributes:
        echo_db: Level of diffuse scattering, relative to fat.
        specular: Coherent reflection relative to the diffuse scattering at the same place.
        attenuation: Attenuation beyond that of fat, in dB/cm/MHz.
        z: Depth of the rows in mm.
        x: Lateral position of the columns in mm.
    """

    echo_db: Floats
    specular: Floats
    attenuation: Floats
    z: Floats
    x: Floats


def _ramp(distance: Floats, width: float) -> Floats:
    """0 before, 1 behind a boundary, linear over ``width`` mm."""
    ramp = distance * np.float32(1.0 / width)
    ramp += np.float32(0.5)
    return np.clip(ramp, 0.0, 1.0, out=ramp)


def _line(distance: Floats, width: float) -> Floats:
    """1 on a line, falling to a quarter ``width`` mm away."""
    q = distance * np.float32(1.0 / width)
    q *= q
    q += np.float32(1.0)
    q *= q
    return np.asarray(np.reciprocal(q), np.float32)


def _ridges(field: Floats, step: tuple[float, float], width: float) -> Floats:
    """Thin strands along the zero level of a field, brightest where they lie across the beam."""
    dz = np.zeros_like(field)
    dx = np.zeros_like(field)
    np.subtract(field[1:], field[:-1], out=dz[1:])
    np.subtract(field[:, 1:], field[:, :-1], out=dx[:, 1:])
    dz *= np.float32(1.0 / step[0])
    dx *= np.float32(1.0 / step[1])
    dz *= dz
    dx *= dx
    slope = dz + dx
    slope += np.float32(1e-3)
    dz /= slope  # squared cosine of the strand's angle with the skin
    field = field * field
    field /= slope
    field *= np.float32(1.0 / width**2)
    field += np.float32(1.0)
    field *= field
    dz *= np.float32(0.75)
    dz += np.float32(0.25)
    dz /= field
    return dz


def layered_tissue(
    anatomy: Anatomy,
    z: Floats,
    x: Floats,
    *,
    shift_mm: float,
    stretch: float,
    tilt: float,
) -> Tissue:
    """Build the maps of the breast without its lesion, as one view samples it.

    Args:
        anatomy: The patient's breast.
        z: Depths of the rows, in mm of the view.
        x: Positions of the columns, in mm of the view.
        shift_mm: Position of the probe along the skin.
        stretch: Depth in the view divided by depth in the patient: the probe's pressure.
        tilt: Slope of the deep layers in the view.
    """
    place = x + np.float32(shift_mm)
    deep = (z * np.float32(1.0 / stretch)).astype(np.float32)
    wave = [curve.at(place) for curve in anatomy.boundaries]
    skin = np.float32(anatomy.skin_mm) * (1.0 + 0.06 * wave[0])
    wall = np.float32(anatomy.wall_mm) + 1.6 * wave[3] + np.float32(tilt) * x
    gland = wall - np.maximum(np.float32(anatomy.retro_mm) * (1.0 + 0.5 * wave[2]), 0.2)
    # Ligaments pull the fat's lower face up into cusps, hence the absolute value.
    fat = skin + np.float32(anatomy.fat_mm) * (1.15 - 0.45 * np.abs(wave[1]))
    fat = np.clip(fat, skin + 0.6, np.maximum(gland - 0.4, skin + 0.6))
    floor = wall + np.float32(anatomy.muscle_mm)
    rib = np.cos(2.0 * np.pi * place / np.float32(anatomy.rib_period_mm) + anatomy.rib_phase)
    # The upper face of a rib is a dome; between the ribs lies the pleura.
    rib = np.sqrt(np.clip(1.6 * rib - 0.35, 0.0, 1.0)) if anatomy.ribs else np.zeros_like(rib)
    floor = (floor - 3.0 * rib).astype(np.float32)

    down = deep[:, None]
    to_skin, to_fat, to_gland, to_wall, to_floor = (
        down - face.astype(np.float32, copy=False) for face in (skin, fat, gland, wall, floor)
    )
    below_skin = _ramp(to_skin, 0.3)
    in_gland = _ramp(to_fat, 0.7)
    below_gland = _ramp(to_gland, 0.7)
    in_muscle = _ramp(to_wall, 0.5)
    below = _ramp(to_floor, 1.5)
    in_gland *= 1.0 - below_gland
    in_fat = below_skin - in_gland - in_muscle
    in_muscle -= below

    step = (float(deep[1] - deep[0]), float(x[1] - x[0]))
    patches = anatomy.patches.on(deep, place)
    streaks = anatomy.streaks.on(deep, place)
    septa = _ridges(anatomy.lobules.on(deep, place), step, 0.22)
    strands = _ridges(anatomy.strands.on(deep, place), step, 0.20)
    # Fibrous strands come and go along their course.
    vary = np.clip(np.float32(0.75) + np.float32(0.45) * patches, 0.15, 1.4)
    septa *= in_fat * vary[::-1]
    # Islands of fat interrupt the gland; the patches decide where.
    glandular = np.clip(0.7 * patches + np.float32(0.85), 0.1, 1.2) * in_gland
    strands *= glandular * np.float32(0.7) + in_muscle * vary
    faces = np.clip(0.75 + 0.45 * wave[4], 0.1, 1.4)
    septa += strands
    attenuation = np.float32(0.25) * glandular
    attenuation += np.float32(0.2) * in_muscle
    attenuation += np.float32(0.5) * septa

    # Skin and chest wall touch some rows only; the other rows are left alone for speed.
    top = slice(0, int(np.searchsorted(deep, skin.max() + 2.5)))
    bottom = slice(int(np.searchsorted(deep, floor.min() - 3.0)), len(deep))
    bright = septa
    bright += _line(to_fat, 0.30) * (np.float32(0.55) * faces)
    bright += _line(to_wall, 0.35) * (np.float32(0.9) * faces[::-1])
    bright[bottom] += _line(to_floor[bottom], 0.45) * (np.float32(0.8) + rib)
    bright[top] += _line(to_skin[top], 0.22) * np.float32(0.8)
    bright[top] += _line(down[top] - np.float32(0.25), 0.25) * np.float32(1.1)
    np.minimum(bright, 1.4, out=bright)

    echo = np.float32(anatomy.gland_db) * glandular
    echo[top] += np.float32(12.0) * (1.0 - below_skin[top])
    weight = np.float32(2.2) * in_gland
    weight += np.float32(3.2) * in_muscle
    weight += np.float32(1.2)
    streaks *= weight
    echo += streaks
    in_muscle *= np.float32(3.0)
    echo -= in_muscle
    in_fat *= patches
    in_fat *= np.float32(1.2)
    echo += in_fat
    echo += np.float32(anatomy.septa_db) * bright
    fading = np.float32(0.4) * np.maximum(to_floor[bottom], 0.0)
    echo[bottom] -= (np.float32(anatomy.deep_db) + fading) * below[bottom]
    attenuation[bottom] += below[bottom] * (np.float32(0.3) + np.float32(4.0) * rib)
    bright *= np.float32(1.1)
    return Tissue(np.asarray(echo, np.float32), bright, np.asarray(attenuation, np.float32), z, x)


def add_lesion(
    tissue: Tissue,
    lesion: Lesion,
    *,
    centre_mm: tuple[float, float],
    texture: Field,
) -> NDArray[np.bool_]:
    """Put a lesion into the maps, in place.

    Args:
        tissue: Maps to change.
        lesion: The lesion as this view cuts it.
        centre_mm: Depth and lateral position of its centre, in mm of the view.
        texture: Random pattern of its inside; sampled at twice its own scale.

    Returns:
        Where the lesion is, on the whole grid.
    """
    z = (tissue.z - np.float32(centre_mm[0]))[:, None]
    x = (tissue.x - np.float32(centre_mm[1]))[None, :]
    margin = lesion.reach_mm + 2.0 * lesion.halo_mm + 1.0
    rows = slice(*np.searchsorted(z[:, 0], [-margin, margin]).tolist())
    columns = slice(*np.searchsorted(x[0], [-margin, margin]).tolist())
    window = (rows, columns)
    z, x = z[rows], x[:, columns]
    near = lesion.distance(z, x)

    # Twice as fine as the patches outside, and sampled around the middle of the field's range.
    pattern = texture.on(2.0 * z[:, 0] + np.float32(0.5 * MAX_DEPTH_MM), 2.0 * x[0])
    inside = _ramp(-near, 2.0 * lesion.margin_mm)
    echo, specular = tissue.echo_db[window], tissue.specular[window]
    outer = np.maximum(near, 0.0) / np.float32(lesion.halo_mm)
    echo += np.float32(lesion.halo_db) * np.exp(-outer * outer) * (1.0 - inside)
    own = np.float32(lesion.echo_db) + np.float32(lesion.texture_db) * pattern
    echo += inside * (own - echo)
    specular *= 1.0 - inside
    # The capsule reflects where the outline lies across the beam: above and below the centre.
    facing = z * z / (z * z + x * x + np.float32(0.1))
    capsule = _line(near, 0.25) * facing
    echo += np.float32(lesion.capsule_db) * capsule
    specular += np.float32(0.12 * lesion.capsule_db) * capsule
    attenuation = tissue.attenuation[window]
    attenuation += inside * (np.float32(lesion.attenuation) - attenuation)

    for u, v, level in lesion.calcifications:
        below, beside = v * lesion.height_mm / 2.0, u * lesion.width_mm / 2.0
        rows = slice(*np.searchsorted(z[:, 0], [below - 1.5, below + 1.5]).tolist())
        columns = slice(*np.searchsorted(x[0], [beside - 1.5, beside + 1.5]).tolist())
        spot = np.hypot(z[rows] - np.float32(below), x[:, columns] - np.float32(beside))
        point = _line(spot, 0.25)
        echo[rows, columns] += np.float32(level) * point
        # Only a coarse calcification is large enough to cast a shadow.
        attenuation[rows, columns] += np.float32(6.0 * (level > 22.0)) * point

    whole = np.zeros(tissue.echo_db.shape, np.bool_)
    whole[window] = near < 0.0
    if lesion.edge_shadow_db > 0.2:
        _edge_shadows(tissue, lesion.edge_shadow_db, centre_mm[0], whole)
    return whole


def _edge_shadows(
    tissue: Tissue, shadow_db: float, depth_mm: float, inside: NDArray[np.bool_]
) -> None:
    """Refraction at a smooth curved edge bends the beam away: a thin shadow below it."""
    columns = np.flatnonzero(inside.any(axis=0))
    if not len(columns):
        return
    row = int(np.clip(np.searchsorted(tissue.z, depth_mm), 0, len(tissue.z) - 1))
    for column in (columns[0], columns[-1]):
        profile = np.exp(-(((tissue.x - tissue.x[column]) / np.float32(0.55)) ** 2))
        # Spread over about 2 mm of depth so that it deepens softly.
        rows = slice(row, row + max(1, int(2.0 / float(tissue.z[1] - tissue.z[0]))))
        tissue.attenuation[rows] += np.float32(0.5 * shadow_db) * profile
