"""The two feature spaces in which fidelity is measured; neither needs a download.

One learns from the real training patients and knows what tells their images apart, but evens out
brightness and contrast. The other is random, knows no patient, and sees brightness, contrast, blur,
noise and the coarseness of speckle. A generator can please one and fail the other.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from audits.features.base import FeatureMap
from audits.features.random_multiscale import RandomMultiscaleMap

__all__ = ["fidelity_spaces"]


def fidelity_spaces(
    images: npt.NDArray[np.uint8],
    patients: npt.NDArray[np.int64],
    *,
    seed: int,
    steps: int | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> list[FeatureMap]:
    """Train an encoder on real training images, and add the random space.

    The encoder must see neither synthetic images nor the patients that serve as reference, or
    what it learned of them would show as distance. The floor, however, compares training images
    that it has seen with images that it has not.

    Args:
        images: uint8 (n, H, W), real images of training patients only.
        patients: int64 (n,), patient number of each.
        seed: Seed of the encoder. The random space has a seed of its own, the same in every run.
        steps: Training steps of the encoder; by default as many as its pool needs.
        threads: Threads of the training; never changes a number.
        progress: Called with training steps done and in all.

    Returns:
        The encoder, ``"learned 1"``, and ``"random multi-scale"``. The weights of the encoder are
        personal data.

    Raises:
        AuditInputError: Wrong types or shapes, or fewer than two patients with distinct images.
    """
    from audits.features.learned.training import train_encoder

    encoder = train_encoder(
        images, patients, seed=seed, steps=steps, threads=threads, progress=progress
    )
    return [encoder, RandomMultiscaleMap()]
