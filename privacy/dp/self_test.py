"""Self-tests of what a private training rests on: randomness, clipping, noise and accounting.

They run what a training runs, on the machine and with the libraries at hand, and compare with what
is known. Statistical bounds are crossed by chance once in a thousand million times.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Final

import torch
from torch import Tensor, nn

from privacy.dp import accounting, randomness
from privacy.dp.check import Check
from privacy.dp.clipping import PatientSum
from privacy.dp.mechanism import SampledGaussian

__all__ = ["check_accounting", "check_clipping", "check_noise", "check_randomness"]

# Of the standard normal distribution, for two sides and one in a thousand million.
_DEVIATIONS: Final = 6.11
_BYTES: Final = 2**16
_DRAWS: Final = 2**18
_FEWEST_DRAWS: Final = 2**14
_NOISE: Final = 1.5

# Abadi et al. 2016 (arXiv:1607.00133); epsilon as Gopi et al. 2021 (arXiv:2106.02848) give it.
_SETTING: Final = SampledGaussian(noise_multiplier=1.0, sampling_rate=0.01, steps=1000)
_DELTA: Final = 1e-5
_PUBLISHED: Final = 1.828
_PUBLISHED_ERROR: Final = 0.006
# PRV adds its error, of 0.01, to what it finds.
_APART: Final = 0.02


def check_randomness() -> Check:
    """The random source of the operating system and the stream under its keys."""
    problems = []
    if hasattr(os, "getrandom"):
        try:
            os.getrandom(1, os.GRND_NONBLOCK)
        except BlockingIOError:
            problems.append(
                "the operating system has not collected enough randomness yet; wait, or give the "
                "machine a source of it"
            )
    if len({bytes(os.urandom(32)) for _ in range(8)}) < 8:
        problems.append(
            "the operating system repeats its random numbers; do not train privately here"
        )
    one, other = bytes(randomness.random_bytes(_BYTES)), bytes(randomness.random_bytes(_BYTES))
    if one == other:
        problems.append("two streams are the same; do not train privately here")
    ones = sum(byte.bit_count() for byte in one + other)
    share, bound = ones / (16 * _BYTES), _DEVIATIONS / 2 / math.sqrt(16 * _BYTES)
    if abs(share - 0.5) > bound:
        problems.append(
            f"{share:.4f} of the bits are ones, expected 0.5 ± {bound:.4f}; do not train "
            "privately here"
        )
    return Check(
        name="random source",
        text=f"keys of the operating system, {share:.4f} of {16 * _BYTES:,} bits are ones "
        f"(0.5 ± {bound:.4f})",
        problems=tuple(problems),
        measured={"share_of_ones": share, "bound": bound},
    )


def check_clipping(
    parameters: Sequence[nn.Parameter],
    clip_norm: float,
    gradients: Mapping[str, Sequence[Tensor | None]],
) -> Check:
    """No patient adds more than the clipping norm, and one that is no number adds nothing.

    Args:
        parameters: What is trained; not changed.
        clip_norm: Largest norm of what a patient adds.
        gradients: Of patients of the network, by a name for them. Some that are made for the
            purpose come on top.
    """
    exact = [nn.Parameter(torch.zeros_like(one, dtype=torch.float64)) for one in parameters]
    problems, largest, tried = [], 0.0, 0
    for name, gradient in [*gradients.items(), *_made_up(parameters, clip_norm)]:
        total = PatientSum(exact, clip_norm)
        total.add(gradient)
        total.release(0.0, 1.0)
        added = _norm([one.grad for one in exact])
        given, tried = _norm(gradient), tried + 1
        largest = max(largest, added / clip_norm)
        expected = min(given, clip_norm) if math.isfinite(given) else 0.0
        if not added <= clip_norm:
            problems.append(f"{name}: adds {added / clip_norm:.6g} times the clipping norm")
        elif abs(added - expected) > 1e-5 * clip_norm:
            problems.append(
                f"{name}: adds {added:.6g}, expected {expected:.6g} at a clipping norm of "
                f"{clip_norm:g}"
            )
    return Check(
        name="clipping",
        text=f"{tried} patients, also huge ones and no numbers, add {largest:.7g} times the "
        "clipping norm at most",
        problems=tuple(problems),
        measured={"largest": largest, "patients": tried},
    )


def _made_up(
    parameters: Sequence[nn.Parameter], clip_norm: float
) -> Iterator[tuple[str, list[Tensor | None]]]:
    """Gradients at the ends of what can be."""
    stream = torch.Generator().manual_seed(0)
    made = [torch.randn(one.shape, generator=stream).to(one) for one in parameters]
    size = _norm(made)
    yield "a short gradient", [one * (0.5 * clip_norm / size) for one in made]
    yield "a long gradient", [one * 1e30 for one in made]
    broken: list[Tensor | None] = [one.clone() for one in made]
    for one in broken[:1]:
        if one is not None:
            one.view(-1)[:1] = torch.nan
    yield "a gradient with one number that is none", broken


def _norm(gradient: Sequence[Tensor | None]) -> float:
    """Euclidean norm in double precision, of numbers whose squares fit into it."""
    norms = [torch.linalg.vector_norm(one.double()) for one in gradient if one is not None]
    return float(torch.linalg.vector_norm(torch.stack(norms))) if norms else 0.0


def check_noise(parameters: Sequence[nn.Parameter], clip_norm: float) -> Check:
    """The noise of a step has the deviation that the accounting assumes, and never repeats.

    Args:
        parameters: What is trained; of many, the first that hold 262,144 numbers are tried.
        clip_norm: Clipping norm.
    """
    from scipy.special import gammainccinv, gammaincinv

    tried, left = [], _DRAWS
    for parameter in parameters:
        size = min(parameter.numel(), left)
        if size:
            tried.append(nn.Parameter(torch.zeros(size, dtype=torch.float64)))
        left -= size
    total = PatientSum(tried, clip_norm)
    first: list[Tensor] = []
    second: list[Tensor] = []
    for release in count():
        total.release(_NOISE, 1.0)
        noise = torch.cat([torch.as_tensor(one.grad) for one in tried]) / (_NOISE * clip_norm)
        (second if release % 2 else first).append(noise)
        if release % 2 and (release + 1) * len(noise) >= _FEWEST_DRAWS:
            break
    one, other = torch.cat(first), torch.cat(second)
    drawn = torch.cat([one, other])
    n = len(drawn)
    deviation = float(drawn.square().mean().sqrt())
    # n times the mean square is chi-squared with n degrees of freedom.
    tail = math.erfc(_DEVIATIONS / math.sqrt(2)) / 2
    low = math.sqrt(2 * gammaincinv(n / 2, tail) / n)
    high = math.sqrt(2 * gammainccinv(n / 2, tail) / n)
    mean, shift = float(drawn.mean()), _DEVIATIONS / math.sqrt(n)
    together = float((one * other).mean())
    problems = []
    if not low <= deviation <= high:
        problems.append(
            f"the deviation is {deviation:.5f} times the noise multiplier times the clipping norm, "
            f"expected {low:.5f} to {high:.5f}; the accounting would be wrong"
        )
    if not abs(mean) <= shift:
        problems.append(f"the mean is {mean:.5f} deviations, expected 0 ± {shift:.5f}")
    # A product of independent normal numbers has mean 0 and deviation 1.
    if not abs(together) <= math.sqrt(2) * shift:
        problems.append(
            f"two steps have noise with a correlation of {together:.5f}, expected 0 ± "
            f"{math.sqrt(2) * shift:.5f}; who subtracts them sees the patients"
        )
    return Check(
        name="noise",
        text=f"deviation {deviation:.5f} of what is planned ({low:.5f} to {high:.5f} in {n:,} "
        "draws)",
        problems=tuple(problems),
        measured={"deviation": deviation, "low": low, "high": high, "draws": n, "mean": mean},
    )


def check_accounting() -> Check:
    """Both accountants give the published epsilon of a reference setting."""
    found = accounting.epsilon([_SETTING], _DELTA)
    problems = []
    if not abs(found.pld - _PUBLISHED) <= _PUBLISHED_ERROR:
        problems.append(
            f"privacy loss distributions (dp-accounting) say {found.pld:.4f}, published is "
            f"{_PUBLISHED}; install another version of dp-accounting"
        )
    if found.prv is None or not -1e-3 <= found.prv - found.pld <= _APART:
        said = "nothing" if found.prv is None else f"{found.prv:.4f}"
        problems.append(
            f"PRV (opacus) says {said}, dp-accounting {found.pld:.4f}; install another version of "
            "opacus"
        )
    prv = math.nan if found.prv is None else found.prv
    return Check(
        name="accounting",
        text=f"epsilon {found.pld:.4f} by PLD and {prv:.4f} by PRV, error included; published "
        f"{_PUBLISHED}",
        problems=tuple(problems),
        measured={"pld": found.pld, "published": _PUBLISHED}
        | ({} if found.prv is None else {"prv": found.prv}),
    )
