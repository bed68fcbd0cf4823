"""The gradient of one patient: that of the mean loss over the patient's rows, and nobody else's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from privacy.dp.errors import DPInputError

__all__ = ["patient_gradient"]


def patient_gradient(
    losses: Tensor, parameters: Sequence[Tensor], rows: int
) -> tuple[Tensor | None, ...]:
    """Gradient of the mean over the rows of one patient.

    Args:
        losses: Of the rows, float (rows,), with their graph, which is used up.
        parameters: What is trained.
        rows: How many rows every patient has; public.

    Returns:
        Of the shape of each parameter; None for one that the losses do not depend on.

    Raises:
        DPInputError: The losses have another shape.
    """
    if losses.shape != (rows,):
        raise DPInputError(
            f"losses of a patient: expected shape ({rows},), one a row. Got {tuple(losses.shape)}."
        )
    return torch.autograd.grad(losses.mean(), parameters, allow_unused=True)
