"""A classifier that learns random labels of training images by heart, at every noise level.

The labels mean nothing, so the only way to know them is to recognise the image. Where the
classifier is sure, it recognises something.

One random code of several bits for each **patient**, where CPSample (arXiv:2409.07025) gives each
image one bit. Two alike images of a patient with opposite bits would teach the classifier to be
unsure of both, and leave unprotected what generators memorise most readily: what they saw several
times. And a network that overfits is also sure of much that it never saw; that it is sure of all
bits at once is rarer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from privacy.guard.errors import GuardInputError

__all__ = [
    "BATCH",
    "LabelClassifier",
    "fit_classifier",
    "label_accuracy",
    "random_codes",
    "recognised_share",
    "uncertainty",
]

BATCH = 64
"""Latents a training step."""
_RATE = 2e-3
_WARMUP = 100
_WIDTHS = (48, 96)
_HIDDEN = 256
_DATA = 0.5
"""Standard deviation of the latents, as the diffusion assumes it."""


class LabelClassifier(nn.Module):
    """Small convolutional network from a noisy latent and its noise level to logits of labels.

    Without dropout and weight decay, and with one weight for every place: it is meant to overfit.

    Args:
        shape: Channels, height and width of a latent.
        labels: Number of binary labels.
    """

    def __init__(self, shape: Sequence[int], labels: int) -> None:
        super().__init__()
        channels, height, width = shape
        narrow, wide = _WIDTHS
        self.first = nn.Conv2d(channels, narrow, 3, stride=2, padding=1)
        self.first_norm = nn.GroupNorm(8, narrow)
        self.second = nn.Conv2d(narrow, wide, 3, stride=2, padding=1)
        self.second_norm = nn.GroupNorm(8, wide)
        self.flat = nn.Linear(wide * math.ceil(height / 4) * math.ceil(width / 4), _HIDDEN)
        self.level = nn.Sequential(nn.Linear(1, 64), nn.SiLU(), nn.Linear(64, _HIDDEN))
        self.mix = nn.Linear(_HIDDEN, _HIDDEN)
        self.out = nn.Linear(_HIDDEN, labels)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Logits of the labels.

        Args:
            x: Noisy latents ``(n, c, h, w)``.
            sigma: Noise levels ``(n,)``, > 0.

        Returns:
            ``(n, labels)``.
        """
        h = x / (sigma**2 + _DATA**2).sqrt().view(-1, 1, 1, 1)
        h = F.silu(self.first_norm(self.first(h)))
        h = F.silu(self.second_norm(self.second(h)))
        h = F.silu(self.flat(h.flatten(1)) * (1 + self.level(sigma.log().view(-1, 1) / 4)))
        logits: Tensor = self.out(h + F.silu(self.mix(h)))
        return logits


def random_codes(patients: Sequence[str], labels: int, seed: int) -> Tensor:
    """Random labels, the same for all latents of a patient.

    Args:
        patients: Patient of each latent.
        labels: Number of binary labels.
        seed: Seed of the draw.

    Returns:
        float32 ``(n, labels)`` of zeros and ones.
    """
    keys, numbers = np.unique(np.asarray(patients, dtype=str), return_inverse=True)
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 2, (len(keys), labels), generator=generator)
    return codes[torch.from_numpy(numbers)].float()


def fit_classifier(
    latents: Tensor,
    codes: Tensor,
    *,
    sigmas: tuple[float, float],
    steps: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> LabelClassifier:
    """Overfit the classifier.

    Args:
        latents: float32 ``(n, c, h, w)``.
        codes: Labels ``(n, labels)``.
        sigmas: Lowest and highest noise level; drawn log-uniformly between.
        steps: Training steps.
        seed: Seed of weights, order and noise.
        device: Where to train. Random numbers are drawn on the CPU.

    Returns:
        The classifier, on the CPU; the same for the same arguments on one machine with one number
        of threads.

    Raises:
        GuardInputError: The loss is no longer a number.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        classifier = LabelClassifier(latents.shape[1:], codes.shape[1])
    classifier = classifier.to(device)
    generator = torch.Generator().manual_seed(seed)
    low, high = (math.log(sigma) for sigma in sigmas)
    optimizer = torch.optim.AdamW(classifier.parameters(), _RATE, weight_decay=0.0)
    loss = torch.zeros(())
    for step in range(steps):
        rows = torch.randint(0, len(latents), (BATCH,), generator=generator)
        sigma = torch.exp(low + (high - low) * torch.rand(BATCH, generator=generator))
        noise = torch.randn((BATCH, *latents.shape[1:]), generator=generator)
        noisy = latents[rows] + sigma.view(-1, 1, 1, 1) * noise
        logits = classifier(noisy.to(device), sigma.to(device))
        loss = F.binary_cross_entropy_with_logits(logits, codes[rows].to(device))
        for group in optimizer.param_groups:
            fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps))
            group["lr"] = _RATE * fall * min(1.0, (step + 1) / _WARMUP)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    if not torch.isfinite(loss):
        raise GuardInputError("The loss of the classifier is no longer a number.")
    return classifier.cpu().eval().requires_grad_(False)


@torch.no_grad()
def label_accuracy(
    classifier: LabelClassifier, latents: Tensor, codes: Tensor, sigma: float, seed: int
) -> float:
    """Share of labels told right under fresh noise.

    Args:
        classifier: The classifier, on the CPU.
        latents: float32 ``(n, c, h, w)``.
        codes: Labels ``(n, labels)``.
        sigma: Noise level.
        seed: Seed of the noise.
    """
    right = 0
    for rows, logits in _noisy_logits(classifier, latents, sigma, seed):
        right += int(((logits > 0) == (codes[rows] > 0)).sum())
    return right / codes.numel()


def uncertainty(logits: Tensor) -> Tensor:
    """Mean over the labels of min(p, 1 - p), ``(n,)``, 0 (recognised) to 0.5."""
    return torch.sigmoid(-logits.abs()).mean(dim=1)


@torch.no_grad()
def recognised_share(
    classifier: LabelClassifier, latents: Tensor, sigma: float, tolerance: float, seed: int
) -> float:
    """Share of latents of which the classifier is surer than the tolerance under fresh noise.

    Args:
        classifier: The classifier, on the CPU.
        latents: float32 ``(n, c, h, w)``.
        sigma: Noise level.
        tolerance: Uncertainty below which a latent counts.
        seed: Seed of the noise.
    """
    found = 0
    for _, logits in _noisy_logits(classifier, latents, sigma, seed):
        found += int((uncertainty(logits) < tolerance).sum())
    return found / len(latents)


def _noisy_logits(
    classifier: LabelClassifier, latents: Tensor, sigma: float, seed: int
) -> Iterator[tuple[slice, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    for begin in range(0, len(latents), BATCH):
        rows = slice(begin, begin + BATCH)
        noise = torch.randn(latents[rows].shape, generator=generator)
        level = torch.full((len(noise),), sigma)
        yield rows, classifier(latents[rows] + sigma * noise, level)
