"""Few-step sampling: DPM-Solver++ 2M on the Karras grid, guidance for each row.

Lu et al. 2022, arXiv:2211.01095, algorithm 2 (data prediction, multistep, order 2), in the
sigma form of Karras et al. 2022. Free functions of their arguments: no state survives a call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from bussynth.generator.conditions import ConditionBatch
from bussynth.generator.diffusion import DenoiserLike

__all__ = [
    "GUIDED",
    "SAMPLER",
    "SIGMA_MAX",
    "SIGMA_MIN",
    "guided",
    "initial_noise",
    "karras_level",
    "karras_sigmas",
    "sample",
    "solve",
]

# Raise the number whenever the same model, request and seed would give other images than before:
# another grid or solver, other levels of guidance, another way from seeds to noise or conditions.
# Pieces of a run that an earlier version began are then made anew instead of mixed in, and a
# cohort says what drew it. Speed and what rounds alike are no reason.
SAMPLER: Final = "bussynth-sampler/1"

# Narrower than the 0.002 .. 80 of Karras et al.: training hardly ever sees levels above 40, and
# noise of 0.01 is below one grey level. With few steps the second-order solver leaves too much
# spread, which shows as grain: on Gaussian data 20 steps leave 5 % too much with the usual grid
# (exponent 7), 2 % with this one.
SIGMA_MIN = 0.01
SIGMA_MAX = 40.0
_RHO = 10.0

# Guidance above 1 acts at these noise levels only (Kynkäänniemi et al. 2024, arXiv:2404.07724):
# higher up it makes images alike, lower down nothing is left to decide. On BUS-BRA a scale of 3
# obeys nearly as well here as everywhere, at much smaller distances to real images
# (docs/results.md), and adds 4 passes to 12.
GUIDED = (0.3, 6.0)


def karras_level(position: float) -> float:
    """Noise level at a position of the sampler's grid (Karras et al. 2022, equation 5).

    Args:
        position: 0 (:data:`SIGMA_MIN`) to 1 (:data:`SIGMA_MAX`).
    """
    low, high = SIGMA_MIN ** (1 / _RHO), SIGMA_MAX ** (1 / _RHO)
    return float((low + position * (high - low)) ** _RHO)


def karras_sigmas(
    steps: int, sigma_min: float = SIGMA_MIN, sigma_max: float = SIGMA_MAX, rho: float = _RHO
) -> Tensor:
    """Noise levels of a sampling run (Karras et al. 2022, equation 5).

    Args:
        steps: Number of levels, >= 1.
        sigma_min: Last level before zero.
        sigma_max: First level.
        rho: How strongly the levels crowd towards ``sigma_min``.

    Returns:
        float64 ``(steps + 1,)``, falling, the last one 0.
    """
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    high, low = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return torch.cat(((high + ramp * (low - high)) ** rho, torch.zeros(1, dtype=torch.float64)))


def initial_noise(seeds: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise, one random stream a seed, so it does not depend on the batch.

    Args:
        seeds: One seed an image, 0 .. 2**63 - 1.
        shape: Shape of one map.

    Returns:
        float32 ``(len(seeds), *shape)``, made on the CPU so that every device starts alike.
    """
    noise = np.empty((len(seeds), *shape), dtype=np.float32)
    for i, seed in enumerate(seeds):
        # Not torch.Generator: on the CPU it uses the lower 32 bits of its seed only, so among a
        # hundred thousand images some would start from the same noise and be the same image.
        np.random.default_rng(seed).standard_normal(dtype=np.float32, out=noise[i])
    return torch.from_numpy(noise)


def guided(
    denoiser: DenoiserLike, x: Tensor, sigma: Tensor, conditions: ConditionBatch, guidance: Tensor
) -> Tensor:
    """Denoise with classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598).

    A scale above 1 acts between the noise levels :data:`GUIDED`; elsewhere it is 1.

    Args:
        denoiser: The model D.
        x: Noisy maps ``(n, c, h, w)``.
        sigma: Noise levels ``(n,)``.
        conditions: Of the n rows.
        guidance: Scale of each row ``(n,)``; 1 is the conditional model itself, 0 the
            unconditional one. A row on which guidance acts costs two network passes, not one.
    """
    denoised = denoiser(x, sigma, conditions)
    low, high = GUIDED
    acts = (guidance < 1) | ((guidance > 1) & (sigma > low) & (sigma <= high))
    rows = acts.nonzero().squeeze(1)
    if len(rows) == 0:
        return denoised
    free = denoiser(x[rows], sigma[rows], conditions[rows].null())
    scale = guidance[rows].view(-1, 1, 1, 1)
    denoised = denoised.clone()
    denoised[rows] = free + scale * (denoised[rows] - free)
    return denoised


def sample(
    denoiser: DenoiserLike,
    noise: Tensor,
    conditions: ConditionBatch,
    guidance: Tensor,
    steps: int = 12,
) -> Tensor:
    """Solve the probability-flow ODE from noise to clean maps.

    Args:
        denoiser: The model D.
        noise: Standard normal ``(n, c, h, w)``.
        conditions: Of the n rows.
        guidance: Scale of each row ``(n,)``.
        steps: Number of solver steps; the last one, to noise level 0, is of first order.

    Returns:
        Clean maps ``(n, c, h, w)``.
    """
    sigmas = karras_sigmas(steps)
    return solve(denoiser, noise * sigmas[0].item(), sigmas, conditions, guidance)


def solve(
    denoiser: DenoiserLike,
    x: Tensor,
    sigmas: Tensor,
    conditions: ConditionBatch,
    guidance: Tensor,
) -> Tensor:
    """Solve the probability-flow ODE from maps of any noise level to clean ones.

    Args:
        denoiser: The model D.
        x: Maps ``(n, c, h, w)`` with noise of level ``sigmas[0]``.
        sigmas: Falling noise levels ``(steps + 1,)``, the last one 0.
        conditions: Of the n rows.
        guidance: Scale of each row ``(n,)``.

    Returns:
        Clean maps ``(n, c, h, w)``.
    """
    levels: list[float] = sigmas.tolist()
    previous: Tensor | None = None
    for i, sigma in enumerate(levels[:-1]):
        denoised = guided(denoiser, x, x.new_full((len(x),), sigma), conditions, guidance)
        following = levels[i + 1]
        if following == 0:
            return denoised
        direction = denoised
        if previous is not None:
            # Log steps in lambda = -ln sigma: `ratio` is the last one over the present one.
            last = math.log(levels[i - 1] / sigma)
            ratio = last / math.log(sigma / following)
            direction = denoised + (denoised - previous) / (2 * ratio)
        x = (following / sigma) * x + (1 - following / sigma) * direction
        previous = denoised
    return x
