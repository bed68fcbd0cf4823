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
        self._total, self._parts = self._vector()
        self._patient, self._patient_parts = self._vector()

    def _vector(self) -> tuple[Tensor, list[Tensor]]:
        """A vector over all parameters, float64, and the part of each in its shape."""
        sizes = [parameter.numel() for parameter in self._parameters]
        vector = torch.zeros(sum(sizes), dtype=torch.float64, device=self._parameters[0].device)
        parts = zip(torch.split(vector, sizes), self._parameters, strict=True)
        return vector, [part.view(parameter.shape) for part, parameter in parts]

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
        pairs = list(zip(self._patient_parts, gradients, strict=True))
        if any(g is not None and g.shape != part.shape for part, g in pairs):
            raise DPInputError("The gradient of a patient has not the shape of the parameters.")
        for part, g in pairs:
            if g is None:
                part.zero_()
            else:
                part.copy_(g)
        norm = float(torch.linalg.vector_norm(self._patient))
        if not math.isfinite(norm):
            return
        # In double precision: a factor cast to that of the gradient may be a thousandth too large.
        factor = min(1.0, self._clip_norm / (norm * (1 + _MARGIN))) if norm > 0 else 1.0
        self._total.add_(self._patient, alpha=factor)

    @torch.no_grad()
    def release(self, noise_multiplier: float, expected_patients: float) -> None:
        """Add the noise, write the mean gradient to the parameters, and start anew.

        Args:
            noise_multiplier: Standard deviation of the noise over the clipping norm.
            expected_patients: Public number to divide by.
        """
        for part, parameter in zip(self._parts, self._parameters, strict=True):
            noise = gaussian(part.numel()).view_as(part).to(part.device)
            part.add_(noise, alpha=noise_multiplier * self._clip_norm).div_(expected_patients)
            parameter.grad = part.to(parameter.dtype, copy=True)
        self._total.zero_()
