"""EDM preconditioning and training loss (Karras et al. 2022, arXiv:2206.00364, table 1).

Prediction of the noise (Ho et al. 2020, arXiv:2006.11239) is kept beside it to compare with: the
column "VE" of the same table, with the loss of equation 14 there, the plain squared error of the
noise.
"""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from bussynth.generator.conditions import ConditionBatch
from bussynth.generator.transform import SIGMA_DATA

__all__ = [
    "PREDICTIONS",
    "Denoiser",
    "DenoiserLike",
    "Preconditioning",
    "edm_loss",
    "loss_weight",
    "precondition",
    "train_sigma",
]

PREDICTIONS: Final = ("edm", "epsilon")
"""What the network predicts: a mixture of image and noise by noise level, or the noise."""


class Preconditioning(NamedTuple):
    """Coefficients of ``D(x) = c_skip x + c_out F(c_in x, c_noise)``, each shaped like sigma."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


def precondition(sigma: Tensor, prediction: str = "edm") -> Preconditioning:
    """Coefficients that keep input and target of the network at unit variance.

    Args:
        sigma: Noise levels, > 0.
        prediction: One of :data:`PREDICTIONS`.

    Returns:
        Coefficients; at sigma -> 0 the denoiser is the identity, at sigma -> infinity the
        network's output alone (EDM) or the input less the noise (epsilon).
    """
    total = sigma**2 + SIGMA_DATA**2
    if prediction == "epsilon":
        return Preconditioning(
            c_skip=torch.ones_like(sigma),
            c_out=-sigma,
            c_in=1 / total.sqrt(),
            c_noise=sigma.log() / 4,
        )
    return Preconditioning(
        c_skip=SIGMA_DATA**2 / total,
        c_out=sigma * SIGMA_DATA / total.sqrt(),
        c_in=1 / total.sqrt(),
        c_noise=sigma.log() / 4,
    )


class DenoiserLike(Protocol):
    """What a sampler needs: the expected clean map given a noisy one."""

    def __call__(self, x: Tensor, sigma: Tensor, conditions: ConditionBatch) -> Tensor:
        """Denoise ``x`` ``(n, c, h, w)`` of noise levels ``sigma`` ``(n,)``."""
        ...


class Denoiser(nn.Module):
    """Preconditioned denoiser D around a raw network F.

    Args:
        network: Module called as ``network(x, c_noise, conditions)``.
        prediction: One of :data:`PREDICTIONS`.
    """

    def __init__(self, network: nn.Module, prediction: str = "edm") -> None:
        super().__init__()
        self.network = network
        self.prediction = prediction

    def forward(self, x: Tensor, sigma: Tensor, conditions: ConditionBatch) -> Tensor:
        """Expected clean map.

        Args:
            x: Noisy maps ``(n, c, h, w)``, float32.
            sigma: Noise levels ``(n,)``.
            conditions: Of the n rows.
        """
        c_skip, c_out, c_in, c_noise = precondition(sigma, self.prediction)
        raw: Tensor = self.network(x * c_in.view(-1, 1, 1, 1), c_noise, conditions)
        # The sum stays in the precision of the maps even where the network ran in bfloat16.
        return c_skip.view(-1, 1, 1, 1) * x + c_out.view(-1, 1, 1, 1) * raw.to(x.dtype)


def train_sigma(normal: Tensor, mean: float, std: float) -> Tensor:
    """Log-normal noise levels of training from standard normal draws.

    Args:
        normal: Standard normal.
        mean: Of the natural logarithm of the levels.
        std: Of the same.
    """
    return (normal * std + mean).exp()


def loss_weight(sigma: Tensor, prediction: str = "edm") -> Tensor:
    """Weight lambda(sigma) that makes the loss of an untrained model 1 at every noise level."""
    if prediction == "epsilon":
        return 1 / sigma**2
    return (sigma**2 + SIGMA_DATA**2) / (sigma * SIGMA_DATA) ** 2


def edm_loss(
    denoiser: DenoiserLike,
    clean: Tensor,
    noise: Tensor,
    sigma: Tensor,
    conditions: ConditionBatch,
    prediction: str = "edm",
) -> Tensor:
    """Weighted denoising error of each row.

    Args:
        denoiser: The model D.
        clean: Maps ``(n, c, h, w)`` with standard deviation about 0.5.
        noise: Standard normal, like ``clean``.
        sigma: Noise levels ``(n,)``.
        conditions: Of the n rows.
        prediction: Whose weight to use, one of :data:`PREDICTIONS`.

    Returns:
        ``(n,)``: mean over the map of ``lambda(sigma) (D - clean)^2``; about 1 for an untrained
        model at every noise level.
    """
    denoised = denoiser(clean + sigma.view(-1, 1, 1, 1) * noise, sigma, conditions)
    return loss_weight(sigma, prediction) * torch.mean((denoised - clean) ** 2, dim=(1, 2, 3))
