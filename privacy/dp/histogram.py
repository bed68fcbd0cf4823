"""Counts over patients with noise: labels, devices, boxes, votes.

One Gaussian mechanism (Dwork & Roth 2014, theorem A.1, accounted as in
:mod:`privacy.dp.accounting`) on the sum of one vector a patient, each no longer than 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from privacy.dp.errors import DPInputError
from privacy.dp.ledger import Ledger
from privacy.dp.mechanism import SampledGaussian
from privacy.dp.randomness import gaussian

__all__ = ["noisy_histogram", "noisy_sum"]

Numbers = npt.NDArray[np.float64]

_GRID: Final = 2.0**30


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
    try:
        vectors = [np.asarray(share, np.float64) for share in shares]
    except (TypeError, ValueError, OverflowError):
        vectors = None  # the error would quote what a patient gave
    if vectors is None or any(vector.shape != (bins,) for vector in vectors):
        raise DPInputError(f"Each patient gives {bins} numbers, one a bin.")
    identity = ledger.register(purpose, SampledGaussian(noise_multiplier=noise_multiplier))
    ledger.charge(identity)
    return noisy_sum(vectors, bins, noise_multiplier)


def noisy_sum(vectors: Iterable[Numbers], bins: int, noise_multiplier: float) -> Numbers:
    """Sum one vector a patient, with noise: a look that **was charged before**.

    Bounds each vector as :func:`noisy_histogram` says. Vectors are asked for one by one, and each
    must depend on its patient alone.

    Args:
        vectors: float64 (bins,) for each patient.
        bins: How many bins there are.
        noise_multiplier: Standard deviation of the noise, as it was charged.

    Returns:
        float64 (bins,).
    """
    total = np.zeros(bins)
    for vector in vectors:
        total += _bounded(vector)
    noise: Numbers = gaussian(bins).numpy()
    return np.asarray(total + noise_multiplier * noise)


def _bounded(vector: Numbers) -> Numbers:
    """What a patient may add: a vector no longer than 1."""
    if not np.isfinite(vector).all():
        return np.zeros_like(vector)
    # Lengths beyond what a float can square are brought near first.
    near = vector / max(1.0, np.abs(vector).max())
    length = np.linalg.norm(near)
    if length > 1:
        near /= length * (1 + 1e-12)
    # Multiples of a power of two add up without rounding (of 8 million patients and fewer): what
    # one adds does not depend on the others.
    return np.asarray(np.trunc(near * _GRID) / _GRID)
