"""Partial noising and conditional denoising: near-duplicates made by the model itself.

Meng et al. 2021, SDEdit (arXiv:2108.01073): noise up to a level between clean and pure noise, then
the ordinary sampler from there. What survives is what noise of that level leaves; the rest is
the model's. Post-hoc filters miss such copies more than altered pixels (arXiv:2510.01793), so
the audit plants them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bussynth.generator.conditions import ConditionBatch
from bussynth.generator.diffusion import DenoiserLike
from bussynth.generator.sampler import SIGMA_MIN, karras_level, karras_sigmas, solve

__all__ = ["renoise"]


def renoise(
    denoiser: DenoiserLike,
    clean: Tensor,
    noise: Tensor,
    conditions: ConditionBatch,
    strength: float,
    steps: int = 12,
) -> Tensor:
    """Noise clean maps up to a level and denoise them again, without guidance.

    Args:
        denoiser: The model D.
        clean: Maps ``(n, c, h, w)``.
        noise: Standard normal, like ``clean``.
        conditions: Of the n rows.
        strength: Position of the first noise level on the sampler's grid, in (0, 1]. The grid is
            crowded towards low noise: 0.1 is a noise level of 0.03, 0.3 of 0.26, 0.6 of 3.1 and 1
            of 40, where data have a standard deviation of 0.5.
        steps: Solver steps from there.

    Returns:
        Maps ``(n, c, h, w)``; row i depends on row i of the arguments alone.
    """
    start = karras_level(strength)
    # Near strength 0 the grid would have no length, and the solver divides by its steps.
    sigmas = karras_sigmas(steps, sigma_min=min(SIGMA_MIN, start / 2), sigma_max=start)
    guidance = torch.ones(len(clean)).to(clean)
    return solve(denoiser, clean + start * noise, sigmas, conditions, guidance)
