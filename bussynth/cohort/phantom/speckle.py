"""Fully developed speckle: random scatterers seen through a depth-dependent point spread.

The radio-frequency line is kept as its complex baseband signal, so the carrier is folded into the
random phase of each scatterer: many scatterers per resolution cell give a circular complex
Gaussian field, and filtering it with the beam and the pulse keeps it one. Its magnitude, the
envelope a scanner displays, is therefore Rayleigh distributed: mean / standard deviation is
sqrt(pi / (4 - pi)) = 1.91 (Wagner, Smith, Sandrik, Lopez: IEEE Trans. Sonics Ultrason. 30, 1983).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

__all__ = ["beam_width", "complex_noise", "through_beam"]

Floats = NDArray[np.float32]
Complex = NDArray[np.complex64]

_FWHM = float(2.0 * np.sqrt(2.0 * np.log(2.0)))


def complex_noise(rng: np.random.Generator, shape: tuple[int, int]) -> Complex:
    """Circular complex Gaussian numbers of mean power 1: one unresolved scatterer cloud a cell."""
    pairs = rng.standard_normal((shape[0], 2 * shape[1]), np.float32)
    pairs *= np.float32(np.sqrt(0.5))
    return pairs.view(np.complex64)


def beam_width(
    depth_mm: NDArray[np.floating], *, at_focus_mm: float, focus_mm: float, aperture: float
) -> Floats:
    """Lateral width (FWHM, mm) of the beam at each depth.

    A Gaussian beam's hyperbola: diffraction limited at the focus, and asymptotically the
    geometric cone ``aperture * |z - focus|`` away from it.
    """
    cone = aperture * (np.asarray(depth_mm, np.float64) - focus_mm)
    return np.sqrt(at_focus_mm**2 + cone**2).astype(np.float32)


def through_beam(
    scatterers: Complex,
    *,
    lateral_mm: Floats,
    axial_mm: float,
    step_mm: tuple[float, float],
) -> Complex:
    """Convolve scatterers with a Gaussian pulse and a beam whose width follows depth.

    The kernel has unit energy at every depth, so uniform scatterers of mean power 1 come out
    with mean power 1 wherever the beam is wide or narrow. The lateral axis is periodic: give it
    a margin and cut it off.

    Args:
        scatterers: Complex amplitudes, shape (depth, lateral).
        lateral_mm: Beam FWHM (of the amplitude) for each depth row, in mm.
        axial_mm: Pulse FWHM, in mm.
        step_mm: Grid spacing (depth, lateral), in mm.

    Returns:
        The complex baseband image, same shape, complex64.
    """
    rows, columns = scatterers.shape
    frequency = fft.fftfreq(columns, step_mm[1]).astype(np.float32)
    half = columns // 2 + 1
    sigma = lateral_mm / np.float32(_FWHM)
    exponent = np.outer(sigma**2, frequency[:half] ** 2)
    transfer = np.exp(np.float32(-2.0 * np.pi**2) * exponent)
    # Parseval: mean of |H|^2 over frequencies is the energy of the kernel.
    doubled = np.full(half, 2.0, np.float32)
    doubled[0] = 1.0
    if columns % 2 == 0:
        doubled[-1] = 1.0
    energy = np.sum(transfer**2 * doubled, axis=1, keepdims=True) / np.float32(columns)
    transfer /= np.sqrt(energy)

    spectrum = fft.fft(scatterers, axis=1)
    spectrum[:, :half] *= transfer
    spectrum[:, half:] *= transfer[:, 1 : columns - half + 1][:, ::-1]

    # Depth is filtered while still in lateral frequency: the two convolutions commute enough
    # because the beam changes slowly over the length of a pulse.
    padded = fft.next_fast_len(rows + int(np.ceil(3.0 * axial_mm / step_mm[0])))
    depth_frequency = fft.fftfreq(padded, step_mm[0]).astype(np.float32)
    pulse = np.exp(np.float32(-2.0 * (np.pi * axial_mm / _FWHM) ** 2) * depth_frequency**2)
    pulse /= np.sqrt(np.mean(pulse**2))
    image = fft.ifft(spectrum, axis=1, overwrite_x=True)
    image = fft.ifft(fft.fft(image, n=padded, axis=0) * pulse[:, None], axis=0, overwrite_x=True)
    return np.ascontiguousarray(image[:rows])
