from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bussynth.generator.conditions import ConditionBatch, ConditionEncoder
from bussynth.generator.diffusion import Denoiser, edm_loss, precondition, train_sigma
from bussynth.generator.transform import SIGMA_DATA

NOTHING = ConditionEncoder({"pathology": ["normal"]}, (8, 8)).encode([{}] * 4)


class Constant(nn.Module):
    """A raw network whose output does not depend on its input."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor, c_noise: Tensor, conditions: ConditionBatch) -> Tensor:
        return torch.full_like(x, self.value)


def test_limits_of_the_preconditioning() -> None:
    low, high = torch.tensor([1e-6]), torch.tensor([1e6])
    assert precondition(low).c_skip.item() == pytest.approx(1)
    assert precondition(low).c_out.item() == pytest.approx(1e-6)
    assert precondition(high).c_skip.item() == pytest.approx(0, abs=1e-9)
    assert precondition(high).c_out.item() == pytest.approx(SIGMA_DATA)
    assert precondition(torch.tensor([1.0])).c_noise.item() == 0


def test_input_and_target_have_unit_variance() -> None:
    # Equations 114 and 117 of Karras et al. 2022: the two requirements behind the coefficients.
    sigma = torch.logspace(-3, 3, 20, dtype=torch.float64)
    c = precondition(sigma)
    assert torch.allclose(c.c_in**2 * (sigma**2 + SIGMA_DATA**2), torch.ones_like(sigma))
    target = ((1 - c.c_skip) ** 2 * SIGMA_DATA**2 + c.c_skip**2 * sigma**2) / c.c_out**2
    assert torch.allclose(target, torch.ones_like(sigma))


def test_small_noise_leaves_the_image() -> None:
    x = torch.randn(4, 2, 4, 4)
    out = Denoiser(Constant(1.0))(x, torch.full((4,), 1e-5), NOTHING)
    assert torch.allclose(out, x, atol=1e-4)


@pytest.mark.parametrize("sigma", [0.01, 0.5, 20.0])
def test_loss_of_an_untrained_network_is_one(sigma: float) -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn((4, 4, 64, 64), generator=generator) * SIGMA_DATA
    noise = torch.randn(clean.shape, generator=generator)
    loss = edm_loss(Denoiser(Constant(0.0)), clean, noise, torch.full((4,), sigma), NOTHING)
    assert loss.shape == (4,)
    assert loss.tolist() == pytest.approx([1.0] * 4, abs=0.05)


def test_a_perfect_denoiser_has_no_loss() -> None:
    clean = torch.randn(4, 1, 4, 4)
    loss = edm_loss(lambda x, s, c: clean, clean, torch.randn(4, 1, 4, 4), torch.ones(4), NOTHING)
    assert loss.tolist() == [0.0] * 4


def test_noise_levels_are_log_normal() -> None:
    sigma = train_sigma(torch.randn(50_000, generator=torch.Generator().manual_seed(0)), -1.2, 1.2)
    assert sigma.log().mean().item() == pytest.approx(-1.2, abs=0.03)
    assert sigma.log().std().item() == pytest.approx(1.2, abs=0.03)
