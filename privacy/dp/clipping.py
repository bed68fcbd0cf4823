"""The Gaussian mechanism on gradients: one bounded vector a patient, one noise a step.

Abadi et al. 2016 (arXiv:1607.00133), algorithm 1, with the patient as the example: the rows of a
patient, images times draws of noise (Dockhorn et al. 2023, arXiv:2210.09929), are averaged
**before** the one clip. The sum is divided by the expected number of patients, a public constant,
whatever the number that were drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from privacy.dp.errors import DPInputError
from privacy.dp.randomness import gaussian

__all__ = ["PatientSum"]

# Rounding may make a clipped vector longer than it should be.
_MARGIN = 1e-5


class PatientSum:
    """The sum over the patients of one step.

    Args:
        parameters: What is trained.
        clip_norm: Largest Euclidean norm of what one patient adds, above 0.
        rows: Rows a patient.

    Raises:
        DPInputError: There is nothing to train, or a number is out of range.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], clip_norm: float, rows: int) -> None:
        if not parameters:
            raise DPInputError("No parameter is trainable.")
        if not (math.isfinite(clip_norm) and clip_norm > 0):
            raise DPInputError(f"clip_norm={clip_norm!r} must be a number above 0.")
        self._parameters, self._clip_norm, self._rows = list(parameters), clip_norm, rows
        self._total = [torch.zeros_like(p, dtype=torch.float64) for p in self._parameters]

    @torch.no_grad()
    def add(self, gradients: Mapping[nn.Parameter, Tensor]) -> None:
        """Clip and add some patients.

        A patient whose gradient is not finite adds nothing.

        Args:
            gradients: By parameter, one of its shape a patient: (patients, ...), summed over the
                rows of each. A parameter that is missing was not used.
        """
        if not gradients:
            return
        squares = sum(
            torch.linalg.vector_norm(value.flatten(1), dim=1, dtype=torch.float64).square()
            for value in gradients.values()
        )
        norms = torch.as_tensor(squares).sqrt() / self._rows
        factors = (self._clip_norm / (norms * (1 + _MARGIN))).clamp(max=1.0) / self._rows
        finite = norms.isfinite()
        factors = torch.where(finite, factors, 0.0)
        for total, parameter in zip(self._total, self._parameters, strict=True):
            value = gradients.get(parameter)
            if value is not None:
                if not finite.all():
                    value = torch.where(finite.view(-1, *[1] * parameter.dim()), value, 0.0)
                total += torch.einsum("n,n...->...", factors.to(value.dtype), value)

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
