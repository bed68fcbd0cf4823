"""Secret randomness: who is in a step, and the noise.

There is no seed. Whoever knows the noise can subtract it, so every number comes fresh from a
ChaCha20 stream under a key of the operating system that is used once, and nothing can be asked to
be repeated. Each normal number is half the sum of four, so that the gaps between the numbers a
computer can hold do not show the value beneath (Holohan & Braghin 2021, arXiv:2107.10138).
"""

from __future__ import annotations

import os
from typing import Final

import torch
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from torch import Tensor

__all__ = ["gaussian", "poisson_sample", "random_bytes", "uniform"]

_BITS: Final = 52  # with one more, the largest would round to 1
_SUMMED: Final = 4
_PIECE: Final = 2**15  # numbers computed at a time, so that what they need stays in the cache


def random_bytes(count: int) -> bytearray:
    """Fresh bytes nobody can guess."""
    # The key is used once, so the counter may start at zero; from elsewhere it could overflow.
    key, nonce = os.urandom(32), bytes(16)
    stream = Cipher(algorithms.ChaCha20(key, nonce), mode=None).encryptor()
    return bytearray(stream.update(bytes(count)))


def uniform(count: int) -> Tensor:
    """Numbers between 0 and 1, float64 (count,), neither of which occurs."""
    if count == 0:
        return torch.empty(0, dtype=torch.float64)
    bits = torch.frombuffer(random_bytes(8 * count), dtype=torch.int64) & ((1 << _BITS) - 1)
    return (bits.double() + 0.5) * 2.0**-_BITS


def gaussian(count: int) -> Tensor:
    """Standard normal numbers, float64 (count,)."""
    values = torch.empty(count, dtype=torch.float64)
    for piece in torch.split(values, _PIECE):
        parts: Tensor = torch.special.ndtri(uniform(_SUMMED * len(piece)))
        torch.div(parts.view(_SUMMED, len(piece)).sum(0), 2, out=piece)
    return values


def poisson_sample(population: int, rate: float) -> list[int]:
    """Numbers below ``population``, each drawn by itself with a chance of ``rate``."""
    return torch.nonzero(uniform(population) < rate).flatten().tolist()
