"""Gradients by patient against a loop over patients, and the sum that is released."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from privacy.dp import clipping
from privacy.dp.clipping import PatientSum
from privacy.dp.errors import DPInputError
from privacy.dp.patient_gradients import PatientGradients


def loop(module: nn.Module, given: Tensor, rows: int) -> dict[str, Tensor]:
    """Autograd, one patient after the other."""
    names, parameters = zip(
        *((n, p) for n, p in module.named_parameters() if p.requires_grad), strict=True
    )
    found = [
        torch.autograd.grad(module(part).square().sum(), parameters, allow_unused=True)
        for part in given.split(rows)
    ]
    return {
        name: torch.stack([torch.zeros_like(p) if g is None else g for g in one])
        for name, p, one in zip(names, parameters, zip(*found, strict=True), strict=True)
    }


def compare(module: nn.Module, given: Tensor, rows: int) -> None:
    module = module.double()
    expected = loop(module, given, rows)
    names = {p: n for n, p in module.named_parameters()}
    gradients = PatientGradients(module, rows)
    module(given).square().sum().backward()
    found = {names[p]: value for p, value in gradients.take().items()}
    gradients.detach()
    assert all(p.grad is None for p in module.parameters()), "the batch's gradient costs time"
    for name, value in expected.items():
        if value.abs().max() > 0:
            torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-9)


class Attended(nn.Module):
    """Like the attention of diffusers: it hands on activations that are channels-last."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
        self.query = nn.Linear(4, 4)

    def forward(self, given: Tensor) -> Tensor:
        hidden = self.first(given)
        n, c, h, w = hidden.shape
        flat = self.query(hidden.view(n, c, h * w).transpose(1, 2))
        return torch.as_tensor(self.last(flat.transpose(1, 2).view(n, c, h, w)))


class Twice(nn.Module):
    """One layer used twice, one not at all, one in a branch without gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.shared, self.unused = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, given: Tensor) -> Tensor:
        with torch.no_grad():
            self.unused(given)
        return torch.as_tensor(self.shared(torch.tanh(self.shared(given))))


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


CASES: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "linear": (lambda: nn.Linear(3, 2), images(12, 3)),
    "linear over places": (lambda: nn.Linear(3, 2), images(12, 5, 4, 3)),
    "without bias": (lambda: nn.Linear(3, 2, bias=False), images(12, 3)),
    "convolution": (lambda: nn.Conv2d(2, 4, 3, padding=1), images(12, 2, 6, 5)),
    "strided, dilated, grouped": (
        lambda: nn.Conv2d(4, 6, (3, 2), stride=2, padding=(2, 1), dilation=2, groups=2),
        images(12, 4, 9, 8),
    ),
    "channels last": (
        lambda: nn.Conv2d(2, 4, 3, padding=1),
        images(12, 2, 6, 5).contiguous(memory_format=torch.channels_last),
    ),
    "group norm": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 1), nn.GroupNorm(2, 4), nn.SiLU()),
        images(12, 2, 4, 4),
    ),
    "layer norm": (lambda: nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)), images(12, 5, 3)),
    "layer norm over two": (lambda: nn.LayerNorm((5, 3)), images(12, 2, 5, 3)),
    "embedding": (
        lambda: nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(8, 2)),
        torch.tensor([[i % 7, i % 3] for i in range(12)]),
    ),
    "padded embedding": (
        lambda: nn.Embedding(7, 4, padding_idx=0),
        torch.tensor([[i % 7, 0] for i in range(12)]),
    ),
    "attention": (Attended, images(12, 2, 4, 4)),
    "used twice": (Twice, images(12, 3)),
    "in place": (
        lambda: nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True), nn.Linear(3, 2)),
        images(12, 3),
    ),
}


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_gradients_equal_a_loop_over_patients(name: str, rows: int) -> None:
    build, given = CASES[name]
    torch.manual_seed(1)
    compare(build(), given, rows)


@pytest.mark.parametrize("frozen", ["0", "1"])
def test_frozen_layers_stay_out(frozen: str) -> None:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    module.get_submodule(frozen).requires_grad_(False)
    compare(module, images(12, 3), 3)
    assert [p.requires_grad for p in module.parameters()].count(False) == 2


def test_layers_nobody_knows_are_refused() -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.PReLU())
    with pytest.raises(DPInputError) as caught:
        PatientGradients(module, 1)
    assert caught.value.problems == ("1: BatchNorm1d", "2: PReLU")
    assert all(p.requires_grad for p in module.parameters())
    with pytest.raises(DPInputError, match="at least one row"):
        PatientGradients(nn.Linear(1, 1), 0)


def test_layers_that_mix_rows_are_refused() -> None:
    gradients = PatientGradients(module := nn.Embedding(3, 2, max_norm=1.0), 1)
    with pytest.raises(DPInputError, match="mixes rows"):
        module(torch.tensor([0, 1])).sum().backward()
    gradients.detach()
    gradients = PatientGradients(module := nn.Conv2d(1, 1, 3, padding="same"), 1)
    with pytest.raises(DPInputError, match="not supported"):
        module(torch.zeros(1, 1, 3, 3)).sum().backward()
    gradients.detach()


def released(clip_norm: float, rows: int, *parts: Tensor, parameter: nn.Parameter) -> Tensor:
    total = PatientSum([parameter], clip_norm, rows)
    for part in parts:
        total.add({parameter: part})
    total.release(0.0, 1.0)
    assert parameter.grad is not None
    return parameter.grad


@pytest.fixture
def vector() -> nn.Parameter:
    return nn.Parameter(torch.zeros(2, dtype=torch.float64))


def test_rows_are_averaged_before_the_one_clip(vector: nn.Parameter) -> None:
    # Two rows of (30, 40) together: a mean of norm 50, clipped to 1. A patient of 0.3 stays.
    sums = torch.tensor([[60.0, 80.0], [0.6, 0.0]], dtype=torch.float64)
    found = released(1.0, 2, sums, parameter=vector)
    torch.testing.assert_close(found, torch.tensor([0.6 + 0.3, 0.8]).double(), atol=1e-4, rtol=0)


def test_no_patient_adds_more_than_the_clipping_norm(vector: nn.Parameter) -> None:
    for size in (1e-30, 1e-3, 1.0, 1e3, 1e30, 1e200):
        one = torch.tensor([[size, -size]], dtype=torch.float64)
        assert released(0.7, 3, one, parameter=vector).norm() <= 0.7


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_patient_that_is_not_finite_adds_nothing(value: float, vector: nn.Parameter) -> None:
    both = torch.tensor([[value, 0.0], [0.3, 0.0]], dtype=torch.float64)
    assert released(1.0, 1, both, parameter=vector).tolist() == [0.3, 0.0]


def test_parts_give_the_same_as_all_at_once(vector: nn.Parameter) -> None:
    values = torch.randn(10, 2, dtype=torch.float64)
    whole = released(1.0, 2, values, parameter=vector).clone()
    parts = released(1.0, 2, *values.split(3), parameter=vector)
    torch.testing.assert_close(whole, parts, rtol=0, atol=1e-12)


def test_noise_is_added_once_whoever_is_there(
    vector: nn.Parameter, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def counted(count: int) -> Tensor:
        asked.append(count)
        return torch.ones(count, dtype=torch.float64)

    monkeypatch.setattr(clipping, "gaussian", counted)
    total = PatientSum([vector], 0.5, 1)
    for step in ([], [torch.zeros(1, 2)], [torch.zeros(2, 2), torch.zeros(1, 2)]):
        for part in step:
            total.add({vector: part.double()})
        total.add({})
        total.release(3.0, 10.0)
        assert vector.grad is not None
        assert vector.grad.tolist() == pytest.approx([0.15, 0.15])
    assert asked == [2, 2, 2]


def test_settings_out_of_range(vector: nn.Parameter) -> None:
    with pytest.raises(DPInputError, match="clip_norm"):
        PatientSum([vector], 0.0, 1)
    with pytest.raises(DPInputError, match="No parameter"):
        PatientSum([], 1.0, 1)
