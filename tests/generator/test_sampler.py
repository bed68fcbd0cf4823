from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from bussynth.generator import sampler
from bussynth.generator.conditions import ConditionBatch, ConditionEncoder
from bussynth.generator.sampler import (
    GUIDED,
    SIGMA_MAX,
    SIGMA_MIN,
    guided,
    initial_noise,
    karras_sigmas,
    sample,
)

ENCODER = ConditionEncoder({"pathology": ["normal", "benign"]}, (8, 8))
MEAN, SPREAD = 0.3, 0.5


def gaussian(x: Tensor, sigma: Tensor, conditions: ConditionBatch) -> Tensor:
    """Exact denoiser of data N(mean, 0.5^2), the mean being the pathology code times 0.3."""
    mean = (conditions.codes[:, 0] * MEAN).view(-1, 1, 1, 1).to(x.dtype)
    variance = sigma.view(-1, 1, 1, 1) ** 2
    return (SPREAD**2 * x + variance * mean) / (SPREAD**2 + variance)


def exact(noise: Tensor, mean: float) -> Tensor:
    """Exact end point of the probability-flow ODE from SIGMA_MAX for Gaussian data."""
    return mean + (noise * SIGMA_MAX - mean) * SPREAD / (SPREAD**2 + SIGMA_MAX**2) ** 0.5


def run(steps: int, rows: list[dict[str, str]], guidance: list[float]) -> tuple[Tensor, Tensor]:
    noise = initial_noise(range(len(rows)), (2, 4, 4)).double()
    scale = torch.tensor(guidance, dtype=torch.float64)
    return noise, sample(gaussian, noise, ENCODER.encode(rows), scale, steps)


def test_karras_grid() -> None:
    sigmas = karras_sigmas(20)
    assert sigmas[0].item() == pytest.approx(SIGMA_MAX)
    assert sigmas[-2].item() == pytest.approx(SIGMA_MIN)
    assert sigmas[-1] == 0
    assert (sigmas.diff() < 0).all()
    assert len(karras_sigmas(1)) == 2


def test_against_the_exact_solution_with_second_order() -> None:
    errors = []
    for steps in (20, 40, 80):
        noise, x = run(steps, [{"pathology": "benign"}] * 3, [1.0] * 3)
        errors.append((x - exact(noise, 2 * MEAN)).abs().max().item())
    assert errors[0] < 0.05
    assert errors[2] < 0.003
    # Halving the step of a second-order solver divides the error by about four.
    assert errors[0] / errors[1] > 3
    assert errors[1] / errors[2] > 3


def test_against_diffusers() -> None:
    from diffusers import EDMDPMSolverMultistepScheduler

    steps, conditions = 20, ENCODER.encode([{}] * 2)
    noise = initial_noise([1, 2], (2, 4, 4))
    ours = sample(gaussian, noise, conditions, torch.ones(2), steps)
    scheduler = EDMDPMSolverMultistepScheduler(
        sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX, rho=10.0, final_sigmas_type="zero"
    )
    scheduler.set_timesteps(steps)
    x = noise * SIGMA_MAX
    for i, t in enumerate(scheduler.timesteps):
        sigma = scheduler.sigmas[i]
        # The scheduler wants the raw network's output: undo its own preconditioning.
        denoised = gaussian(x, sigma.repeat(2), conditions)
        c_skip = 0.25 / (sigma**2 + 0.25)
        c_out = sigma * 0.5 / (sigma**2 + 0.25) ** 0.5
        x = scheduler.step((denoised - c_skip * x) / c_out, t, x).prev_sample
    assert (ours - x).abs().max() < 1e-4


def test_noise_belongs_to_the_seed() -> None:
    whole = initial_noise([5, 6, 7, 2**62], (4, 8, 8))
    assert torch.equal(whole[2:], initial_noise([7, 2**62], (4, 8, 8)))
    assert not torch.equal(whole[0], whole[1])
    # Seeds that differ in their upper bits only.
    high = initial_noise([1, 1 + 2**32, 1 + 2**62], (4, 8, 8))
    assert len({tuple(noise.flatten().tolist()) for noise in high}) == 3
    assert initial_noise([], (4, 8, 8)).shape == (0, 4, 8, 8)
    assert whole.std().item() == pytest.approx(1, abs=0.1)


def test_guidance_one_is_no_guidance() -> None:
    rows = [{"pathology": "benign"}, {"pathology": "normal"}]
    calls = 0

    def counting(x: Tensor, sigma: Tensor, conditions: ConditionBatch) -> Tensor:
        nonlocal calls
        calls += 1
        return gaussian(x, sigma, conditions)

    noise, conditions = initial_noise([0, 1], (1, 4, 4)), ENCODER.encode(rows)
    out = sample(counting, noise, conditions, torch.ones(2), 5)
    assert calls == 5
    assert torch.equal(out, sample(gaussian, noise, conditions, torch.ones(2), 5))


def test_guidance_acts_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"pathology": "benign"}] * 4
    _, mixed = run(10, rows, [1.0, 2.0, 0.0, 3.0])
    monkeypatch.setattr(sampler, "GUIDED", (0.0, math.inf))
    _, everywhere = run(10, rows, [3.0] * 4)
    _, alone = run(10, rows, [1.0] * 4)
    _, free = run(10, [{}] * 4, [1.0] * 4)
    assert torch.equal(mixed[0], alone[0])
    assert torch.allclose(mixed[2], free[2])
    # Guidance w on Gaussians of equal spread moves the mean by w.
    assert (everywhere[3] - alone[3]).mean().item() == pytest.approx(2 * 2 * MEAN, rel=0.05)
    assert 0 < (mixed[3] - alone[3]).mean().item() < 2 * 2 * MEAN


def test_guidance_costs_passes_where_it_acts() -> None:
    rows = [{"pathology": "benign"}] * 3
    passes: list[int] = []

    def counting(x: Tensor, sigma: Tensor, conditions: ConditionBatch) -> Tensor:
        passes.append(len(x))
        return gaussian(x, sigma, conditions)

    noise, conditions = initial_noise(range(3), (1, 4, 4)), ENCODER.encode(rows)
    sample(counting, noise, conditions, torch.tensor([1.0, 2.0, 3.0]), 12)
    low, high = GUIDED
    inside = sum(low < level <= high for level in karras_sigmas(12).tolist())
    assert inside == 4
    assert sum(passes) == 12 * 3 + inside * 2


def test_guidance_formula() -> None:
    def by_code(factor: float) -> Callable[[Tensor, Tensor, ConditionBatch], Tensor]:
        return lambda x, s, c: torch.zeros_like(x) + factor * c.codes[:, 0].view(-1, 1, 1, 1) + 1

    conditions = ENCODER.encode([{"pathology": "benign"}] * 2)
    x, sigma = torch.zeros(2, 1, 2, 2), torch.ones(2)
    out = guided(by_code(1.0), x, sigma, conditions, torch.tensor([1.0, 2.5]))
    assert out[:, 0, 0, 0].tolist() == [3.0, 1 + 2.5 * 2]


def test_one_step_is_the_denoiser() -> None:
    noise, x = run(1, [{"pathology": "normal"}], [1.0])
    expected = gaussian(
        noise * SIGMA_MAX, torch.tensor([SIGMA_MAX]), ENCODER.encode([{"pathology": "normal"}])
    )
    assert torch.allclose(x, expected)
