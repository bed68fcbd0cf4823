from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from bussynth.cohort.phantom.speckle import beam_width, complex_noise, through_beam

RAYLEIGH_SNR = np.sqrt(np.pi / (4.0 - np.pi))


def uniform_speckle(seed: int = 0, columns: int = 1024) -> NDArray[np.complex64]:
    z = np.arange(400, dtype=np.float32) * 0.1
    width = beam_width(z, at_focus_mm=0.6, focus_mm=20.0, aperture=0.2)
    noise = complex_noise(np.random.default_rng(seed), (400, columns))
    return through_beam(noise, lateral_mm=width, axial_mm=0.3, step_mm=(0.1, 0.2))


def correlation_width(rows: NDArray[np.complex64]) -> float:
    """Lag in cells at which the lateral autocorrelation of the field falls to a half."""
    spectrum = np.abs(np.fft.fft(rows, axis=1)) ** 2
    decay = np.fft.ifft(spectrum.mean(axis=0)).real
    decay /= decay[0]
    last = int(np.argmax(decay < 0.5))
    return last - (0.5 - decay[last]) / (decay[last - 1] - decay[last])


def test_uniform_speckle_is_rayleigh_at_every_depth() -> None:
    envelope = np.abs(uniform_speckle(columns=2048))
    for rows in (slice(20, 120), slice(150, 250), slice(280, 380)):
        part = envelope[rows]
        assert abs(part.mean() / part.std() - RAYLEIGH_SNR) < 0.06
        # Third quartile over median of a Rayleigh variable: sqrt(ln 4 / ln 2).
        quartile, median = np.quantile(part, [0.75, 0.5])
        assert abs(quartile / median - np.sqrt(2.0)) < 0.02


def test_mean_power_does_not_depend_on_the_beam() -> None:
    power = (np.abs(uniform_speckle(columns=2048)) ** 2).mean(axis=1)
    assert abs(power[20:120].mean() - 1.0) < 0.05
    assert abs(power[180:220].mean() - 1.0) < 0.05


def test_speckle_widens_away_from_the_focus_as_the_beam_does() -> None:
    field = uniform_speckle(columns=4096)
    near, focus, deep = (
        correlation_width(field[rows]) for rows in (slice(0, 40), slice(180, 220), slice(360, 400))
    )
    assert near > 2.0 * focus
    assert deep > 2.0 * focus
    # The field's autocorrelation is the kernel's: its half width at half maximum is FWHM / sqrt 2.
    assert focus * 0.2 == pytest.approx(0.6 / np.sqrt(2.0), rel=0.1)


def test_speckle_is_no_white_noise() -> None:
    envelope = np.abs(uniform_speckle())
    centred = envelope - envelope.mean()
    neighbour = (centred[:, 1:] * centred[:, :-1]).mean() / centred.var()
    assert neighbour > 0.6


def test_a_point_becomes_the_kernel() -> None:
    point = np.zeros((64, 64), np.complex64)
    point[32, 32] = 1.0
    width = np.full(64, 1.0, np.float32)
    image = np.abs(through_beam(point, lateral_mm=width, axial_mm=0.6, step_mm=(0.1, 0.1)))
    image /= image.max()
    assert np.unravel_index(image.argmax(), image.shape) == (32, 32)
    assert image[32, 37] == pytest.approx(0.5, abs=0.01)
    assert image[35, 32] == pytest.approx(0.5, abs=0.01)
    assert image[0, 32] < 1e-3  # nothing wraps around in depth


@pytest.mark.parametrize("columns", [15, 16])
def test_odd_and_even_grids_keep_energy(columns: int) -> None:
    width = np.full(9, 0.5, np.float32)
    point = np.zeros((9, columns), np.complex64)
    point[4, 3] = 1.0
    image = through_beam(point, lateral_mm=width, axial_mm=0.01, step_mm=(1.0, 0.2))
    assert (np.abs(image) ** 2).sum() == pytest.approx(1.0, rel=1e-4)
    np.testing.assert_allclose(image[4, 3 + 2], image[4, 3 - 2], rtol=1e-4)


def test_beam_is_a_hyperbola() -> None:
    width = beam_width(np.array([0.0, 20.0, 40.0]), at_focus_mm=0.5, focus_mm=20.0, aperture=0.1)
    np.testing.assert_allclose(width, [np.hypot(0.5, 2.0), 0.5, np.hypot(0.5, 2.0)], rtol=1e-6)
