"""The Gaussian mechanism on gradients: one bounded vector a patient, one noise a step.

Abadi et al. 2016 (arXiv:1607.00133), algorithm 1, with the patient as the example: the rows of a
patient, images times draws of noise (Dockhorn et al. 2023, arXiv:2210.09929), are averaged
**before** the one clip. The sum is divided by the expected number of patients, a public constant,
whatever the number that were drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from privacy.dp.errors import DPInputError
from privacy.dp.randomness import gaussian

__all__ = ["PatientSum"]

# For rounding: of a clipped vector, and of the sum, whose last digits tell of the order of adding.
_MARGIN = 1e-6


class PatientSum:
    """The sum over the patients of one step.

    Args:
        parameters: What is trained.
        clip_norm: Largest Euclidean norm of what one patient adds, above 0.

    Raises:
        DPInputError: There is nothing to train, or a number is out of range.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], clip_norm: float) -> None:
        if not parameters:
            raise DPInputError("No parameter is trainable.")
        if not (math.isfinite(clip_norm) and clip_norm > 0):
            raise DPInputError(f"clip_norm={clip_norm!r} must be a number above 0.")
        self._parameters, self._clip_norm = list(parameters), clip_norm
        self._total = [torch.zeros_like(p, dtype=torch.float64) for p in self._parameters]

    @torch.no_grad()
    def add(self, gradients: Sequence[Tensor | None]) -> None:
        """Clip and add one patient.

        One whose gradient is not finite adds nothing.

        Args:
            gradients: The mean over the patient's rows, of the shape of each parameter; None for a
                parameter that was not used.

        Raises:
            DPInputError: A gradient has another shape than its parameter.
        """
        pairs = list(zip(self._total, gradients, strict=True))
        if any(g is not None and g.shape != total.shape for total, g in pairs):
            raise DPInputError("The gradient of a patient has not the shape of the parameters.")
        squares = [
            torch.linalg.vector_norm(g, dtype=torch.float64).square()
            for _, g in pairs
            if g is not None
        ]
        norm = math.sqrt(float(sum(squares))) if squares else 0.0
        if not math.isfinite(norm):
            return
        # In double precision: a factor cast to that of the gradient may be a thousandth too large.
        factor = min(1.0, self._clip_norm / (norm * (1 + _MARGIN))) if norm > 0 else 1.0
        for total, g in pairs:
            if g is not None:
                total.add_(g.double(), alpha=factor)

    @torch.no_grad()
    def release(self, noise_multiplier: float, expected_patients: float) -> None:
        """Add the noise, write the mean gradient to the parameters, and start anew.

        Args:
            noise_multiplier: Standard deviation of the noise over the clipping norm.
            expected_patients: Public number to divide by.
        """
        for total, parameter in zip(self._total, self._parameters, strict=True):
            noise = gaussian(total.numel()).view_as(total).to(total.device)
            total += noise_multiplier * self._clip_norm * noise
            parameter.grad = (total / expected_patients).to(parameter.dtype)
            total.zero_()
