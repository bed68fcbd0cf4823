"""From a clean map to the noise it would have been drawn from: the ODE, solved backwards.

Song et al. 2021, DDIM (arXiv:2010.02502), section 4.3: the probability-flow ODE of a model runs
both ways. Noise found so holds the layout of its image; adding fresh noise would bury it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bussynth.generator.conditions import ConditionBatch
from bussynth.generator.diffusion import DenoiserLike

__all__ = ["invert"]


def invert(
    denoiser: DenoiserLike, clean: Tensor, conditions: ConditionBatch, sigmas: Tensor
) -> Tensor:
    """Solve the probability-flow ODE from clean maps up to a noise level.

    Multistep, order 2, with the formulas of :func:`bussynth.generator.sampler.solve`.

    Args:
        denoiser: The model D.
        clean: Maps ``(n, c, h, w)``.
        conditions: Of the n rows, as the images are.
        sigmas: Rising noise levels ``(steps + 1,)``, the first one so low that noise of that
            level is not seen.

    Returns:
        Maps ``(n, c, h, w)`` of noise level ``sigmas[-1]``; row i depends on row i of the
        arguments alone.
    """
    levels: list[float] = sigmas.tolist()
    x = clean
    previous: Tensor | None = None
    for i, sigma in enumerate(levels[:-1]):
        denoised = denoiser(x, x.new_full((len(x),), sigma), conditions)
        direction = denoised
        following = levels[i + 1]
        if previous is not None:
            ratio = math.log(levels[i - 1] / sigma) / math.log(sigma / following)
            direction = denoised + (denoised - previous) / (2 * ratio)
        x = torch.lerp(direction, x, following / sigma)
        previous = denoised
    return x
