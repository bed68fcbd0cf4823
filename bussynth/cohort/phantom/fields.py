"""Smooth random fields on a regular grid, from cubic B-splines with random coefficients.

Plain array arithmetic without matrix products: the result does not depend on how many threads
the linear-algebra library uses, so a view has the same bytes in every process.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Curve", "Field", "blend", "draw_curve", "draw_field"]

Floats = NDArray[np.float32]

# Standard deviation of a cubic B-spline curve with unit coefficients, averaged over one knot
# interval: sum of squares of the four weights integrates to 151/315.
_SPREAD = float(np.sqrt(151.0 / 315.0))


def _taps(position: NDArray[np.floating], knots: int) -> tuple[NDArray[np.intp], Floats]:
    """First knot index and the four B-spline weights of each position (in knot units)."""
    position = np.clip(position, 0.0, knots - 3.001)
    first = position.astype(np.intp)
    t = (position - first).astype(np.float32)
    square = t * t
    cube = square * t
    weights = np.empty((4, len(t)), np.float32)
    weights[3] = cube / 6
    weights[1] = (3 * cube - 6 * square + 4) / 6
    weights[2] = (3 * (square + t - cube) + 1) / 6
    weights[0] = 1 - weights[1] - weights[2] - weights[3]
    return first, weights


@dataclass(frozen=True)
class Curve:
    """A smooth random function of one coordinate in mm; about zero mean and unit variance."""

    coefficients: Floats
    origin: float
    spacing: float

    def at(self, x: NDArray[np.floating]) -> Floats:
        """Values at the positions ``x`` (mm); constant beyond the range it was drawn for."""
        first, weights = _taps((x - self.origin) / self.spacing, len(self.coefficients))
        value = sum(weights[j] * self.coefficients[first + j] for j in range(4))
        return np.asarray(value, np.float32)


@dataclass(frozen=True)
class Field:
    """A smooth random function of depth and lateral position; zero mean, unit variance."""

    coefficients: Floats
    origin: tuple[float, float]
    spacing: tuple[float, float]

    def on(self, z: NDArray[np.floating], x: NDArray[np.floating]) -> Floats:
        """Values on the grid ``z`` times ``x`` (both in mm): shape (len(z), len(x))."""
        rows, columns = self.coefficients.shape
        first, weights = _taps((x - self.origin[1]) / self.spacing[1], columns)
        across = np.zeros((rows, len(x)), np.float32)
        for j in range(4):
            across += self.coefficients.take(first + j, axis=1) * weights[j]
        first, weights = _taps((z - self.origin[0]) / self.spacing[0], rows)
        value = np.zeros((len(z), len(x)), np.float32)
        for j in range(4):
            part = across.take(first + j, axis=0)
            part *= weights[j][:, None]
            value += part
        return value


def draw_curve(rng: np.random.Generator, start: float, stop: float, spacing: float) -> Curve:
    """Draw a curve over ``start`` to ``stop`` mm whose features are about ``spacing`` mm long."""
    knots = int(np.ceil((stop - start) / spacing)) + 4
    coefficients = rng.standard_normal(knots, np.float32) / np.float32(_SPREAD)
    return Curve(coefficients, start, spacing)


def draw_field(
    rng: np.random.Generator,
    depth: tuple[float, float],
    lateral: tuple[float, float],
    spacing: tuple[float, float],
) -> Field:
    """Draw a field over the ranges ``depth`` and ``lateral``, features ``spacing`` (z, x) mm."""
    rows = int(np.ceil((depth[1] - depth[0]) / spacing[0])) + 4
    columns = int(np.ceil((lateral[1] - lateral[0]) / spacing[1])) + 4
    coefficients = rng.standard_normal((rows, columns), np.float32) / np.float32(_SPREAD**2)
    return Field(coefficients, (depth[0], lateral[0]), spacing)


def blend(patient: Field, rng: np.random.Generator, similarity: float) -> Field:
    """The same field in a neighbouring plane: correlation ``similarity`` (0..1) with the first."""
    fresh = rng.standard_normal(patient.coefficients.shape, np.float32) / np.float32(_SPREAD**2)
    weight = np.float32(np.sqrt(1.0 - similarity**2))
    mixed = np.float32(similarity) * patient.coefficients + weight * fresh
    return Field(mixed, patient.origin, patient.spacing)
