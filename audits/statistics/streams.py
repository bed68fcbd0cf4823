"""Independent random streams, one for each purpose."""

from __future__ import annotations

import zlib

import numpy as np

__all__ = ["generator_for"]


def generator_for(seed: int, purpose: str) -> np.random.Generator:
    """An independent random stream for each purpose, whatever runs before it.

    Args:
        seed: Seed of the audit.
        purpose: Fixed name.

    Returns:
        The stream.
    """
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])
