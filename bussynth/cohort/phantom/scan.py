"""One scan of a patient: from tissue to the grey levels on the screen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from bussynth.cohort.phantom.anatomy import MAX_DEPTH_MM, Anatomy
from bussynth.cohort.phantom.device import Device
from bussynth.cohort.phantom.fields import blend, draw_curve
from bussynth.cohort.phantom.lesion import Lesion, neighbouring_plane
from bussynth.cohort.phantom.speckle import beam_width, complex_noise, through_beam
from bussynth.cohort.phantom.tissue import Tissue, add_lesion, layered_tissue
from bussynth.cohort.row import Box

__all__ = ["Scan", "scan", "scan_in_place"]

Floats = NDArray[np.float32]

_FAT_ATTENUATION = 0.6  # dB/cm/MHz, one way
_CELL_MM = (0.27, 0.36)  # largest cells (depth, lateral) that still sample pulse and beam
_MARGIN_MM = 3.0  # beside the field of view, so that the periodic convolution does not show


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One image, the truth about it, and where the field of view lies in it.

    Attributes:
        image: Grey values, shape (S, S), uint8.
        mask: Lesion, shape (S, S), bool.
        lesion_box: Tight box ``(x0, y0, x1, y1)`` around the mask; None without a lesion.
        window: Field of view in the image, ``(left, top, right, bottom)``, edges half-open; black
            around it.
        pixel_mm: Edge length of a pixel.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    lesion_box: Box | None
    window: tuple[int, int, int, int]
    pixel_mm: float


@dataclass(frozen=True, kw_only=True)
class _Raster:
    """Pixels of the field of view and the finer grid the sound is computed on."""

    size: int
    height: int
    width: int
    fine: tuple[int, int]
    step: tuple[float, float]
    z: Floats
    x: Floats
    margin: int

    @property
    def inner(self) -> slice:
        return slice(self.margin, self.margin + self.width * self.fine[1])

    def to_pixels(self, values: Floats) -> Floats:
        """Average the fine grid over each pixel."""
        kz, kx = self.fine
        rows = values.reshape(self.height, kz, -1).mean(axis=1)
        return np.asarray(rows.reshape(self.height, self.width, kx).mean(axis=2), np.float32)


def _raster(size: int, width_mm: float, depth_mm: float) -> _Raster:
    pixel = max(width_mm, depth_mm) / size
    height = max(1, min(size, round(depth_mm / pixel)))
    width = max(1, min(size, round(width_mm / pixel)))
    fine = (max(1, round(pixel / _CELL_MM[0])), max(1, round(pixel / _CELL_MM[1])))
    step = (pixel / fine[0], pixel / fine[1])
    inner = width * fine[1]
    columns = fft.next_fast_len(inner + 2 * int(np.ceil(_MARGIN_MM / step[1])))
    margin = (columns - inner) // 2
    z = (np.arange(height * fine[0], dtype=np.float32) + 0.5) * np.float32(step[0])
    x = np.arange(columns, dtype=np.float32) + np.float32(0.5 - margin - inner / 2)
    return _Raster(
        size=size,
        height=height,
        width=width,
        fine=fine,
        step=step,
        z=z,
        x=x * np.float32(step[1]),
        margin=margin,
    )


def _sector(device: Device, raster: _Raster, depth_mm: float) -> NDArray[np.bool_] | None:
    """Pixels the steered beams reach; None if all."""
    if device.trapezoid <= 0.0:
        return None
    kz, kx = raster.fine
    z = raster.z[::kz] / np.float32(depth_mm)
    x = raster.x[raster.inner][::kx] + np.float32(0.5 * (kx - 1) * raster.step[1])
    half = 0.5 * device.width_mm * (1.0 + device.trapezoid * z)
    return np.asarray(np.abs(x)[None, :] <= half[:, None])


def _transmission(tissue: Tissue, device: Device, contact_db: Floats) -> Floats:
    """Loss (dB, both ways) on the way to each point, beyond that of uniform fat."""
    loss = np.cumsum(tissue.attenuation, axis=0, dtype=np.float32)
    loss *= np.float32(0.2 * device.frequency_mhz * float(tissue.z[1] - tissue.z[0]))
    loss += contact_db
    # A beam is as wide as its aperture, so a shadow has no sharp edge.
    width = max(1, round(1.1 / float(tissue.x[1] - tissue.x[0])))
    return np.asarray(ndimage.uniform_filter1d(loss, width, axis=1, mode="nearest"), np.float32)


def _contact(rng: np.random.Generator, x: Floats, half_width: float) -> Floats:
    """Loss where the probe lacks gel or lifts off at one side, in dB."""
    loss = np.zeros_like(x)
    if rng.random() < 0.14:
        side = rng.choice([-1.0, 1.0])
        edge = half_width - rng.uniform(1.0, 7.0)
        loss += np.float32(rng.uniform(10.0, 24.0)) * np.clip((side * x - edge) / 3.0, 0.0, 1.0)
    if rng.random() < 0.15:
        middle, spread = rng.uniform(-0.8, 0.8) * half_width, rng.uniform(0.8, 2.5)
        depth = np.float32(rng.uniform(3.0, 9.0))
        loss += depth * np.exp(-(((x - np.float32(middle)) / np.float32(spread)) ** 2))
    return loss.astype(np.float32)


def _received(
    rng: np.random.Generator, tissue: Tissue, loss_db: Floats, device: Device, depth_mm: float
) -> Floats:
    """Power of the echo as received, in units of fat at the skin without any loss."""
    amplitude = np.exp((tissue.echo_db - loss_db) * np.float32(np.log(10.0) / 20.0))
    noise_db = 2.0 * device.frequency_mhz * _FAT_ATTENUATION * tissue.z / 10.0 - device.snr_db
    noise = np.power(np.float32(10.0), noise_db / np.float32(20.0)).astype(np.float32)[:, None]
    # Noise passes the same receive filters as the echoes. Two independent circular Gaussians add
    # up to one, so a single draw serves both.
    diffuse = np.sqrt(amplitude * amplitude + noise * noise)
    mirror = amplitude * tissue.specular
    lateral = beam_width(
        tissue.z,
        at_focus_mm=device.beam_mm,
        focus_mm=device.focus * depth_mm,
        aperture=device.aperture,
    )
    step = (float(tissue.z[1] - tissue.z[0]), float(tissue.x[1] - tissue.x[0]))
    shape = (len(tissue.z), len(tissue.x))
    power = np.zeros(shape, np.float32)
    for _ in range(device.compounding):
        field = complex_noise(rng, shape)
        field *= diffuse
        field += mirror
        echo = through_beam(field, lateral_mm=lateral, axial_mm=device.pulse_mm, step_mm=step)
        parts = echo.view(np.float32)
        parts *= parts
        power += parts[:, ::2]
        power += parts[:, 1::2]
    power *= np.float32(1.0 / device.compounding)
    return power


def _grey(level_db: Floats, device: Device, gain_db: float) -> Floats:
    """Log-compressed levels on the device's grey map, 0..255."""
    grey = level_db + np.float32(gain_db + 0.50 * device.dynamic_range_db)
    grey *= np.float32(1.0 / device.dynamic_range_db)
    np.clip(grey, 0.0, 1.0, out=grey)
    if device.contrast:
        grey += np.float32(device.contrast) * (grey * grey * (3.0 - 2.0 * grey) - grey)
    if device.gamma != 1.0:
        grey = np.power(grey, np.float32(device.gamma))
    return np.asarray(grey * np.float32(255.0), np.float32)


def scan(
    rng: np.random.Generator,
    anatomy: Anatomy,
    lesion: Lesion | None,
    device: Device,
    size: int,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_], Box | None]:
    """Scan a patient once.

    Args:
        rng: Source of everything that differs between two views of one patient.
        anatomy: The patient's breast.
        lesion: The patient's lesion, or None.
        device: The machine.
        size: Edge length of the image, in pixels.

    Returns:
        The image (size, size), the lesion mask of the same shape, and the tight box
        ``(x0, y0, x1, y1)`` around the mask or None without a lesion.
    """
    made = scan_in_place(rng, anatomy, lesion, device, size)
    return made.image, made.mask, made.lesion_box


def scan_in_place(
    rng: np.random.Generator,
    anatomy: Anatomy,
    lesion: Lesion | None,
    device: Device,
    size: int,
) -> Scan:
    """Scan a patient once, as :func:`scan` does, and say where the field of view lies."""
    plane = None if lesion is None else neighbouring_plane(lesion, rng)
    stretch = float(rng.uniform(0.92, 1.06))
    depth_mm = device.depth_mm * float(rng.uniform(0.85, 1.12))
    centre = (anatomy.lesion_depth_mm * stretch, float(rng.normal(0.0, 0.10 * device.width_mm)))
    if plane is not None:
        tall, wide = plane.extent_mm()
        depth_mm = max(depth_mm, centre[0] + tall + 3.0)
        room = max(0.5 * device.width_mm - wide - 0.5, 0.0)
        centre = (centre[0], float(np.clip(centre[1], -room, room)))
    depth_mm = min(depth_mm, MAX_DEPTH_MM)
    raster = _raster(size, device.width_mm * (1.0 + device.trapezoid), depth_mm)

    similarity = float(rng.uniform(0.75, 0.93))
    seen = replace(
        anatomy,
        lobules=blend(anatomy.lobules, rng, similarity),
        strands=blend(anatomy.strands, rng, similarity),
        patches=blend(anatomy.patches, rng, similarity),
        streaks=blend(anatomy.streaks, rng, similarity),
    )
    tissue = layered_tissue(
        seen,
        raster.z,
        raster.x,
        shift_mm=-centre[1],
        stretch=stretch,
        tilt=float(rng.normal(0.0, 0.05)),
    )
    inside = None
    if plane is not None:
        inside = add_lesion(tissue, plane, centre_mm=centre, texture=seen.patches)

    contact = _contact(rng, raster.x, 0.5 * device.width_mm)
    loss = _transmission(tissue, device, contact)
    power = _received(rng, tissue, loss, device, depth_mm)
    level = np.float32(10.0) * np.log10(power[:, raster.inner] + np.float32(1e-9))
    # The operator's slide pots: a slow error along depth, and often too little gain deep down.
    pots = 2.2 * draw_curve(rng, 0.0, depth_mm, depth_mm / 4.0).at(raster.z)
    deep = np.maximum(raster.z / np.float32(depth_mm) - np.float32(0.45), 0.0)
    level += (pots - np.float32(rng.uniform(0.0, 30.0)) * deep)[:, None]
    grey = _grey(np.asarray(level, np.float32), device, float(rng.normal(0.0, 2.5)))
    if device.smoothing_mm:
        widths = [device.smoothing_mm / step for step in raster.step]
        grey = ndimage.gaussian_filter(grey, widths, truncate=2.5)

    return _framed(raster, grey, inside, _sector(device, raster, depth_mm))


def _framed(
    raster: _Raster,
    grey: Floats,
    inside: NDArray[np.bool_] | None,
    sector: NDArray[np.bool_] | None,
) -> Scan:
    """Reduce to pixels and centre the field of view in the square image."""
    size = raster.size
    pixels = raster.to_pixels(grey)
    if sector is not None:
        pixels = np.where(sector, pixels, np.float32(0.0))
    top, left = (size - raster.height) // 2, (size - raster.width) // 2
    window = (slice(top, top + raster.height), slice(left, left + raster.width))
    image = np.zeros((size, size), np.uint8)
    image[window] = np.clip(np.rint(pixels), 0.0, 255.0).astype(np.uint8)
    mask = np.zeros((size, size), np.bool_)
    place = (left, top, left + raster.width, top + raster.height)
    pixel_mm = raster.step[0] * raster.fine[0]
    if inside is None:
        return Scan(image=image, mask=mask, lesion_box=None, window=place, pixel_mm=pixel_mm)
    cover = raster.to_pixels(inside[:, raster.inner].astype(np.float32))
    if sector is not None:
        cover = cover * sector
    # A lesion smaller than a pixel still marks the pixel that holds most of it.
    mask[window] = cover >= min(0.5, float(cover.max()))
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = (
        float(columns[0]),
        float(rows[0]),
        float(columns[-1] + 1),
        float(rows[-1] + 1),
    )
    return Scan(image=image, mask=mask, lesion_box=box, window=place, pixel_mm=pixel_mm)
