from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from privacy.dp import clipping
from privacy.dp.clipping import PatientSum
from privacy.dp.errors import DPInputError


@pytest.fixture(autouse=True)
def _silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipping, "gaussian", lambda n: torch.zeros(n, dtype=torch.float64))


def summed(gradients: list[list[Tensor | None]], clip_norm: float = 1.0) -> list[Tensor]:
    parameters = [nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(2, 2))]
    total = PatientSum(parameters, clip_norm)
    for one in gradients:
        total.add(one)
    total.release(1.0, 1.0)
    return [torch.as_tensor(p.grad) for p in parameters]


def test_short_gradients_are_kept_and_long_ones_are_cut_over_all_parameters() -> None:
    short: list[Tensor | None] = [torch.tensor([0.1, 0, 0]), None]
    a, b = summed([short])
    torch.testing.assert_close(a, torch.tensor([0.1, 0, 0]))
    assert not b.any()
    long: list[Tensor | None] = [torch.tensor([30.0, 0, 0]), torch.full((2, 2), 20.0)]
    a, b = summed([long])
    torch.testing.assert_close(a, torch.tensor([0.6, 0, 0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(b, torch.full((2, 2), 0.4), atol=1e-5, rtol=0)


@pytest.mark.parametrize("clip_norm", [1.0, 1e-3, 1e-5, 3e-7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_no_precision_makes_a_patient_longer_than_the_norm(
    clip_norm: float, dtype: torch.dtype
) -> None:
    random = torch.Generator().manual_seed(0)
    for scale in (1.0, 300.0, 1e30):
        if scale > torch.finfo(dtype).max:
            continue
        gradient = (scale * torch.randn(3, generator=random)).to(dtype)
        if not gradient.isfinite().all():
            continue
        total = PatientSum([nn.Parameter(torch.zeros(3, dtype=torch.float64))], clip_norm)
        total.add([gradient])
        assert total._total.norm().item() <= clip_norm


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_adds_nothing(bad: float) -> None:
    good: list[Tensor | None] = [torch.tensor([0.5, 0, 0]), torch.zeros(2, 2)]
    a, _ = summed([good, [torch.tensor([bad, 0, 0]), torch.zeros(2, 2)], good])
    torch.testing.assert_close(a, torch.tensor([1.0, 0, 0]))


def test_a_release_starts_anew_and_divides_by_the_public_number() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    total = PatientSum([parameter], 1.0)
    total.add([torch.tensor([1.0, 0.0]) * (1 - 1e-5)])
    total.release(1.0, 4.0)
    torch.testing.assert_close(parameter.grad, torch.tensor([0.25, 0.0]), atol=1e-5, rtol=0)
    total.release(1.0, 4.0)
    assert not torch.as_tensor(parameter.grad).any()


def test_noise_is_in_units_of_the_clipping_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipping, "gaussian", lambda n: torch.ones(n, dtype=torch.float64))
    parameter = nn.Parameter(torch.zeros(2))
    PatientSum([parameter], 0.5).release(3.0, 2.0)
    torch.testing.assert_close(parameter.grad, torch.full((2,), 0.75))


def test_wrong_shapes_and_numbers_are_refused() -> None:
    total = PatientSum([nn.Parameter(torch.zeros(3))], 1.0)
    with pytest.raises(DPInputError, match="shape"):
        total.add([torch.zeros(1, 3)])
    with pytest.raises(DPInputError, match="No parameter"):
        PatientSum([], 1.0)
    for norm in (0.0, math.nan, math.inf):
        with pytest.raises(DPInputError, match="clip_norm"):
            PatientSum([nn.Parameter(torch.zeros(1))], norm)
