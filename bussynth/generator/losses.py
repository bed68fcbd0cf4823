"""How well the model denoises an image: what white-box membership inference looks at.

A model denoises what it has learned better than what it has not. Two kinds of noise are offered:
random noise (the training loss at fixed levels) and the model's own prediction (proximal
initialisation). Scores are losses: lower points to membership. They are meant for the site that
owns model and images; nothing here leaves it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from bussynth.generator.conditions import ConditionBatch
from bussynth.generator.diffusion import DenoiserLike, edm_loss
from bussynth.generator.sampler import SIGMA_MIN, initial_noise
from bussynth.generator.seeds import derive_seed

__all__ = ["PROXIMAL_SIGMA", "denoising_losses", "proximal_losses"]

PROXIMAL_SIGMA: Final = SIGMA_MIN
"""Noise level at which the model is asked for the noise it sees in the clean image."""


def denoising_losses(
    denoiser: DenoiserLike,
    clean: Tensor,
    conditions: ConditionBatch,
    sigmas: Sequence[float],
    seeds: Sequence[int],
    draws: int = 1,
) -> Tensor:
    """EDM-weighted denoising loss at fixed noise levels (Karras et al. 2022, equation 2).

    ``mean_k lambda(sigma) mean (D(x + sigma e_k; sigma) - x)^2`` over the draws k. The noise e_k
    is a function of (seed, level, k), so that the same call gives the same numbers and images with
    the same seed meet the same noise.

    Args:
        denoiser: The model D.
        clean: Maps x ``(n, c, h, w)``.
        conditions: Of the n rows.
        sigmas: Noise levels, > 0; the index of a level, not its value, decides the noise.
        seeds: One an image.
        draws: Noise draws averaged at each level.

    Returns:
        float64 ``(n, len(sigmas))``; about 1 for an untrained model at every level.
    """
    losses = torch.zeros(len(clean), len(sigmas), dtype=torch.float64)
    for j, sigma in enumerate(sigmas):
        level = clean.new_full((len(clean),), sigma)
        for k in range(draws):
            drawn = [derive_seed("loss noise", seed, j, k) for seed in seeds]
            noise = initial_noise(drawn, tuple(clean.shape[1:])).to(clean)
            losses[:, j] += edm_loss(denoiser, clean, noise, level, conditions).double().cpu()
    return losses / draws


def proximal_losses(
    denoiser: DenoiserLike, clean: Tensor, conditions: ConditionBatch, sigmas: Sequence[float]
) -> Tensor:
    """The same loss with the model's own noise in place of random noise.

    Proximal initialisation (Kong et al., arXiv:2305.18355, PIA) compares the noise predicted for
    the clean image at time 0 with the noise predicted after adding just that noise:
    ``|e(x_0, 0) - e(sqrt(a_t) x_0 + sqrt(1 - a_t) e(x_0, 0), t)|_p``. In EDM the predicted noise is
    ``e(x, sigma) = (x - D(x; sigma)) / sigma``, and time 0 is the lowest level the sampler uses::

        e0    = e(x, PROXIMAL_SIGMA), scaled to a root mean square of 1 (their PIAN scales too)
        x_s   = x + sigma e0
        score = mean (e(x_s, sigma) - e0)^2 = mean (x - D(x_s; sigma))^2 / sigma^2

    which is the denoising loss with e0 for noise; it is given the same weight lambda(sigma), so
    that levels are comparable. Squares (p = 2) instead of their p = 4. No random number is drawn,
    and one pass a level is enough.

    Args:
        denoiser: The model D.
        clean: Maps x ``(n, c, h, w)``.
        conditions: Of the n rows.
        sigmas: Noise levels, > 0.

    Returns:
        float64 ``(n, len(sigmas))``. Where the model sees no noise at all, e0 is 0.
    """
    lowest = clean.new_full((len(clean),), PROXIMAL_SIGMA)
    noise = (clean - denoiser(clean, lowest, conditions)) / PROXIMAL_SIGMA
    size = noise.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    noise = noise / size.clamp(min=torch.finfo(torch.float32).tiny)
    losses = torch.empty(len(clean), len(sigmas), dtype=torch.float64)
    for j, sigma in enumerate(sigmas):
        level = clean.new_full((len(clean),), sigma)
        losses[:, j] = edm_loss(denoiser, clean, noise, level, conditions).double().cpu()
    return losses
