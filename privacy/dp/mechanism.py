"""The one kind of mechanism that everything here is made of: Gaussian noise on a bounded sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from privacy.dp.errors import DPInputError

__all__ = ["SampledGaussian"]

# Less noise protects nobody, and more hides everything; beyond these and with more steps the
# accountants run for minutes or out of memory.
_LEAST_NOISE: Final = 0.05
_MOST_NOISE: Final = 1e6
_MOST_STEPS: Final = 100_000


@dataclass(frozen=True, kw_only=True)
class SampledGaussian:
    """Sums over a Poisson sample of the patients, each released with Gaussian noise.

    A patient changes a sum by at most 1 in Euclidean norm (in units of the clipping norm). With a
    sampling rate of 1 it is the plain Gaussian mechanism. All fields are public.

    Attributes:
        noise_multiplier: Standard deviation of the noise over the sensitivity, 0.05 to a million.
        sampling_rate: Chance of each patient to be in a sum, above 0 to 1, drawn anew each time.
        steps: How many such sums are released, 0 to 100,000; each may depend on those before it.

    Raises:
        DPInputError: A field is out of its range.

    Example:
        >>> SampledGaussian(noise_multiplier=1.0, sampling_rate=0.1, steps=500).steps
        500
    """

    noise_multiplier: float
    sampling_rate: float = 1.0
    steps: int = 1

    def __post_init__(self) -> None:
        """Check ranges."""
        noise, rate, steps = self.noise_multiplier, self.sampling_rate, self.steps
        problems = []
        if not _LEAST_NOISE <= noise <= _MOST_NOISE:
            problems.append(
                f"noise_multiplier: expected a number from {_LEAST_NOISE:g} to {_MOST_NOISE:,.0f}, "
                f"got {noise!r}"
            )
        if not 0 < rate <= 1:
            problems.append(f"sampling_rate: expected above 0 and at most 1, got {rate!r}")
        if not isinstance(steps, int) or isinstance(steps, bool) or not 0 <= steps <= _MOST_STEPS:
            problems.append(
                f"steps: expected a whole number from 0 to {_MOST_STEPS:,}, got {steps!r}"
            )
        if problems:
            raise DPInputError("This is no mechanism with a guarantee.", problems)
