"""Everything public about a private training, fixed before the data are opened."""

from __future__ import annotations

import math
from dataclasses import dataclass

from privacy.dp.errors import DPInputError
from privacy.dp.mechanism import SampledGaussian

__all__ = ["DPPlan"]


@dataclass(frozen=True, kw_only=True)
class DPPlan:
    """Constants of a private training. None of them may be computed from the patients.

    Attributes:
        sampling_rate: Chance of a patient to be in a step.
        expected_patients: What the sum over the patients of a step is divided by: a public guess
            of how many there are, sampling rate times a public number. A poor guess costs
            usefulness and no privacy.
        steps: Most steps ever taken.
        noise_multiplier: Standard deviation of the noise over the clipping norm.
        clip_norm: Largest norm of what one patient adds to a step.
        images_per_patient: Images drawn of each patient in a step, with replacement if there are
            fewer.
        noise_multiplicity: Draws of diffusion noise for each image.
    """

    sampling_rate: float
    expected_patients: float
    steps: int
    noise_multiplier: float
    clip_norm: float = 1.0
    images_per_patient: int = 2
    noise_multiplicity: int = 4

    def __post_init__(self) -> None:
        """Check ranges, those of the mechanism included."""
        _ = self.mechanism  # raises
        problems = [
            f"{name}: expected a whole number of 1 or more, got {value!r}"
            for name, value in (
                ("steps", self.steps),
                ("images_per_patient", self.images_per_patient),
                ("noise_multiplicity", self.noise_multiplicity),
            )
            if not isinstance(value, int) or isinstance(value, bool) or value < 1
        ]
        problems += [
            f"{name}: expected a number above 0, got {value!r}"
            for name, value in (
                ("expected_patients", self.expected_patients),
                ("clip_norm", self.clip_norm),
            )
            if not (math.isfinite(value) and value > 0)
        ]
        if problems:
            raise DPInputError("This is no plan of a private training.", problems)

    @property
    def mechanism(self) -> SampledGaussian:
        """What the accounting sees."""
        return SampledGaussian(
            noise_multiplier=self.noise_multiplier,
            sampling_rate=self.sampling_rate,
            steps=self.steps,
        )

    @property
    def rows(self) -> int:
        """Rows of a patient in a step."""
        return self.images_per_patient * self.noise_multiplicity

    def noise_to_signal(self, parameters: int) -> float:
        """Norm of the noise in a step over the most that all patients together can say.

        (sigma / B) sqrt(d): above about 2, little is learned; below 0.5, much.

        Args:
            parameters: How many numbers are trained.
        """
        return self.noise_multiplier * math.sqrt(parameters) / self.expected_patients
