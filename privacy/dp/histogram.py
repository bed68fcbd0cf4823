"""Counts over patients with noise: labels, devices, boxes, votes.

One Gaussian mechanism (Dwork & Roth 2014, theorem A.1, accounted as in
:mod:`privacy.dp.accounting`) on the sum of one vector a patient, each no longer than 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from privacy.dp.errors import DPInputError
from privacy.dp.ledger import Ledger
from privacy.dp.mechanism import SampledGaussian
from privacy.dp.randomness import gaussian

__all__ = ["noisy_histogram"]

Numbers = npt.NDArray[np.float64]


def noisy_histogram(
    shares: Sequence[npt.ArrayLike] | Numbers,
    bins: int,
    noise_multiplier: float,
    ledger: Ledger,
    purpose: str,
) -> Numbers:
    """Count patients by bin, with noise.

    What a patient gives is scaled down to a Euclidean norm of 1 where it is longer: a patient with
    images of several kinds has less to say on each. One who gives what is not finite gives nothing.

    Args:
        shares: A vector of all bins for each patient: 1 in a bin, or shares of several.
        bins: How many bins there are: public, never taken from the data.
        noise_multiplier: Standard deviation of the noise, in patients.
        ledger: Where the look is charged, before it is taken.
        purpose: What the counts are for.

    Returns:
        float64 (bins,), which may be negative; what is made of it costs nothing more.

    Raises:
        DPInputError: A patient has another number of bins.
        BudgetError: The look would exceed the cap; nothing was counted.
    """
    if bins < 1:
        raise DPInputError(f"bins={bins!r}: a histogram has at least one bin.")
    vectors = np.zeros((len(shares), bins))
    for row, share in enumerate(shares):
        vector = np.asarray(share, np.float64)
        if vector.shape != (bins,):
            raise DPInputError(f"Each patient gives {bins} numbers, one a bin.")
        vectors[row] = vector
    identity = ledger.register(purpose, SampledGaussian(noise_multiplier=noise_multiplier))
    ledger.charge(identity)
    vectors[~np.isfinite(vectors).all(axis=1)] = 0
    # Lengths beyond what a float can square are brought near first.
    vectors /= np.maximum(1.0, np.abs(vectors).max(axis=1, keepdims=True, initial=0.0))
    vectors /= np.maximum(1.0, np.linalg.norm(vectors, axis=1, keepdims=True) * (1 + 1e-12))
    noise: Numbers = gaussian(bins).numpy()
    return np.asarray(vectors.sum(axis=0) + noise_multiplier * noise)
