"""Device transfer of clean maps: up to a noise level as they are, down as another device would.

Two ways up. Fresh noise (Meng et al. 2021, SDEdit, arXiv:2108.01073) buries what is finer than
its level, and the model draws that anew. Inversion of the ODE finds the noise that belongs to the
image, so that layout and lesion come back, and only what depends on the device changes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bussynth.generator.conditions import ConditionBatch
from bussynth.generator.diffusion import DenoiserLike
from bussynth.generator.inversion import invert
from bussynth.generator.sampler import SIGMA_MIN, karras_level, karras_sigmas, solve

__all__ = ["transfer"]


def transfer(
    denoiser: DenoiserLike,
    clean: Tensor,
    source: ConditionBatch,
    target: ConditionBatch,
    strength: float,
    *,
    noise: Tensor | None = None,
    steps: int = 12,
    guidance: float = 1.0,
) -> Tensor:
    """Re-render clean maps under other conditions.

    Args:
        denoiser: The model D.
        clean: Maps ``(n, c, h, w)``.
        source: Conditions of the n rows as they are.
        target: Conditions to render them under.
        strength: Position of the noise level on the sampler's grid, in (0, 1]; see
            :func:`bussynth.generator.renoise.renoise`.
        noise: Standard normal, like ``clean``; None inverts the ODE instead.
        steps: Solver steps down, and as many up if the ODE is inverted.
        guidance: Scale of the difference that the target conditions make to the source
            conditions; 1 is the model itself, in one pass a step, others cost two.

    Returns:
        Maps ``(n, c, h, w)``; row i depends on row i of the arguments alone.
    """
    start = karras_level(strength)
    # Near strength 0 the grid would have no length, and the solver divides by its steps.
    sigmas = karras_sigmas(steps, sigma_min=min(SIGMA_MIN, start / 2), sigma_max=start)
    if noise is not None:
        x = clean + start * noise
    else:
        x = invert(denoiser, clean, source, sigmas[:-1].flip(0))

    def pushed(x: Tensor, sigma: Tensor, conditions: ConditionBatch) -> Tensor:
        denoised = denoiser(x, sigma, conditions)
        if guidance == 1:
            return denoised
        return torch.lerp(denoiser(x, sigma, source), denoised, guidance)

    return solve(pushed, x, sigmas, target, torch.ones(len(clean)).to(clean))
