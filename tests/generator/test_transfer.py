from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bussynth.generator.conditions import ConditionBatch, ConditionEncoder
from bussynth.generator.inversion import invert
from bussynth.generator.sampler import initial_noise, karras_level, karras_sigmas
from bussynth.generator.transfer import transfer

SPREAD = 0.5
MEANS = torch.tensor([0.0, -0.4, 0.8])
ENCODER = ConditionEncoder({"device": ["a", "b"]}, (8, 8))


def gaussian(x: Tensor, sigma: Tensor, conditions: ConditionBatch) -> Tensor:
    """Exact denoiser of Gaussian data whose mean the device decides."""
    level = sigma.view(-1, 1, 1, 1) ** 2
    mean = MEANS.to(x)[conditions.codes[:, 0]].view(-1, 1, 1, 1)
    return (SPREAD**2 * x + level * mean) / (SPREAD**2 + level)


def devices(*names: str | None) -> ConditionBatch:
    return ENCODER.encode([{"device": name} for name in names])


def clean(n: int = 2) -> Tensor:
    return initial_noise(range(n), (2, 4, 4)).double() * SPREAD + MEANS[1]


def spread_at(sigma: float) -> float:
    return (SPREAD**2 + sigma**2) ** 0.5 / SPREAD


@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
def test_inversion_against_the_exact_solution(strength: float) -> None:
    level = karras_level(strength)
    sigmas = karras_sigmas(80, sigma_max=level)[:-1].flip(0)
    found = invert(gaussian, clean(), devices("a", "a"), sigmas)
    exact = MEANS[1] + (clean() - MEANS[1]) * spread_at(level)
    assert torch.allclose(found, exact, rtol=0.01, atol=0.01)


@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("strength", [0.3, 0.6, 1.0])
def test_inversion_moves_what_the_device_decides_and_keeps_the_rest(
    strength: float, guidance: float
) -> None:
    found = transfer(
        gaussian, clean(), devices("a", "a"), devices("b", "b"), strength, steps=80,
        guidance=guidance,
    )  # fmt: skip
    shift = guidance * (MEANS[2] - MEANS[1]) * (1 - 1 / spread_at(karras_level(strength)))
    assert torch.allclose(found, clean() + shift, atol=0.01)


def test_fresh_noise_buries_what_inversion_keeps() -> None:
    noise = initial_noise([5, 6], (2, 4, 4)).double()
    same = devices("a", "a")
    found = transfer(gaussian, clean(), same, same, 0.6, noise=noise, steps=60)
    level = karras_level(0.6)
    exact = MEANS[1] + (clean() - MEANS[1] + level * noise) / spread_at(level)
    assert torch.allclose(found, exact, atol=0.01)
    assert (found - clean()).abs().mean() > 0.1
    kept = transfer(gaussian, clean(), same, same, 0.6, steps=60)
    assert torch.allclose(kept, clean(), atol=0.01)


def test_little_strength_changes_nothing() -> None:
    found = transfer(gaussian, clean(), devices("a", "a"), devices("b", "b"), 1e-9, steps=4)
    assert torch.allclose(found, clean(), atol=0.01)


def test_rows_do_not_mix() -> None:
    noise = initial_noise([5, 6], (2, 4, 4)).double()
    source, target = devices("a", None), devices("b", "a")
    for given in (None, noise):
        whole = transfer(gaussian, clean(), source, target, 0.5, noise=given, guidance=1.5)
        for row in (slice(0, 1), slice(1, 2)):
            alone = transfer(
                gaussian,
                clean()[row],
                source[row],
                target[row],
                0.5,
                noise=None if given is None else given[row],
                guidance=1.5,
            )
            assert torch.equal(alone, whole[row])


def test_one_step() -> None:
    found = transfer(gaussian, clean(), devices("a", "a"), devices("b", "b"), 0.5, steps=1)
    assert torch.isfinite(found).all()
