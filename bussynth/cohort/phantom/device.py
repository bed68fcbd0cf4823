"""Ultrasound machines as the simulator knows them: beam, pulse, penetration and display.

The names are generic: no style copies one maker's machine, but together they span what one sees
when several machines feed one cohort (speckle size, contrast, field of view, noise at depth).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEVICES", "Device"]


@dataclass(frozen=True, kw_only=True)
class Device:
    """One machine and its usual preset.

    Attributes:
        name: Value of the ``device`` condition.
        frequency_mhz: Centre frequency after attenuation has shifted it down; scales attenuation.
        width_mm: Width of the probe's face, hence of the field of view at the skin.
        depth_mm: Usual display depth; a view varies it a little.
        pulse_mm: Full width at half maximum of the pulse envelope, axial.
        beam_mm: Full width at half maximum of the beam at its focus, lateral.
        aperture: Ratio of aperture to focal depth: how fast the beam widens away from the focus.
        focus: Focal depth as a fraction of the display depth.
        compounding: Number of independent looks averaged (spatial compounding).
        dynamic_range_db: Range of echo levels between black and white.
        gamma: Exponent of the grey map; below 1 lifts the dark greys.
        contrast: 0 keeps the grey map straight, 1 bends it into a full S-curve.
        smoothing_mm: Width (standard deviation) of the scanner's own speckle filter.
        snr_db: Level of fat at the skin above the electronic noise.
        trapezoid: Extra width at the bottom as a fraction of the probe's width (steered edges).
    """

    name: str
    frequency_mhz: float
    width_mm: float
    depth_mm: float
    pulse_mm: float
    beam_mm: float
    aperture: float
    focus: float
    compounding: int
    dynamic_range_db: float
    gamma: float
    contrast: float
    smoothing_mm: float
    snr_db: float
    trapezoid: float


_STYLES = (
    Device(
        name="phantom-linear-a",
        frequency_mhz=5.0,
        width_mm=38.0,
        depth_mm=42.0,
        pulse_mm=0.30,
        beam_mm=0.55,
        aperture=0.16,
        focus=0.38,
        compounding=1,
        dynamic_range_db=66.0,
        gamma=1.10,
        contrast=0.0,
        smoothing_mm=0.0,
        snr_db=52.0,
        trapezoid=0.0,
    ),
    Device(
        name="phantom-linear-b",
        frequency_mhz=4.6,
        width_mm=38.0,
        depth_mm=50.0,
        pulse_mm=0.42,
        beam_mm=0.80,
        aperture=0.20,
        focus=0.45,
        compounding=1,
        dynamic_range_db=48.0,
        gamma=1.0,
        contrast=0.55,
        smoothing_mm=0.0,
        snr_db=44.0,
        trapezoid=0.0,
    ),
    Device(
        name="phantom-compound-c",
        frequency_mhz=5.6,
        width_mm=42.0,
        depth_mm=38.0,
        pulse_mm=0.24,
        beam_mm=0.45,
        aperture=0.14,
        focus=0.40,
        compounding=2,
        dynamic_range_db=72.0,
        gamma=0.95,
        contrast=0.25,
        smoothing_mm=0.18,
        snr_db=54.0,
        trapezoid=0.0,
    ),
    Device(
        name="phantom-trapezoid-d",
        frequency_mhz=4.2,
        width_mm=38.0,
        depth_mm=48.0,
        pulse_mm=0.36,
        beam_mm=0.70,
        aperture=0.15,
        focus=0.50,
        compounding=1,
        dynamic_range_db=60.0,
        gamma=0.88,
        contrast=0.1,
        smoothing_mm=0.12,
        snr_db=50.0,
        trapezoid=0.42,
    ),
    Device(
        name="phantom-wide-e",
        frequency_mhz=5.0,
        width_mm=60.0,
        depth_mm=45.0,
        pulse_mm=0.36,
        beam_mm=0.75,
        aperture=0.12,
        focus=0.35,
        compounding=1,
        dynamic_range_db=56.0,
        gamma=1.0,
        contrast=0.2,
        smoothing_mm=0.15,
        snr_db=50.0,
        trapezoid=0.0,
    ),
)

DEVICES: dict[str, Device] = {device.name: device for device in _STYLES}
"""Every device style by name, in a fixed order."""
