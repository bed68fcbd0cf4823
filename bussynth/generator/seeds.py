"""Seeds that are functions of what they are for."""

from __future__ import annotations

import hashlib

__all__ = ["derive_seed"]


def derive_seed(purpose: str, *parts: int) -> int:
    """Seed of one random stream, e.g. of training step 7 or of image 12.

    Streams derived this way need no saved state: the stream of step 7 is the same whether the
    run was interrupted before it or not, and streams of different purposes never meet.

    Args:
        purpose: What the stream is for.
        parts: Seed of the run, number of the step or image, ...

    Returns:
        An integer in [0, 2**63).

    Example:
        >>> derive_seed("noise", 0, 7) == derive_seed("noise", 0, 7) != derive_seed("noise", 0, 8)
        True
    """
    text = "/".join(["bussynth", purpose, *map(str, parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
