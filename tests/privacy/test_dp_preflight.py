from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from privacy.dp.errors import DPInputError
from privacy.dp.preflight import check_gradients, check_network


class Functional(nn.Module):
    """A layer whose weight is used without calling it, as some of diffusers do."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 3)

    def forward(self, given: Tensor) -> Tensor:
        return F.conv2d(given, self.convolution.weight).flatten(1).mean(1)


class Mixing(nn.Module):
    """A layer that takes away what the rows of a batch have in common."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(9, 1)

    def forward(self, given: Tensor) -> Tensor:
        flat = given.flatten(1)
        return torch.as_tensor(self.linear(flat - flat.mean(0))).squeeze(1)


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(9, 1)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, given: Tensor) -> Tensor:
        self.seen += given.mean()
        return torch.as_tensor(self.linear(given.flatten(1))).squeeze(1)


class Sound(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.SiLU(), nn.Flatten(),
            nn.Linear(36, 1),
        )  # fmt: skip

    def forward(self, given: Tensor) -> Tensor:
        return torch.as_tensor(self.body(given)).squeeze(1)


def checked(module: nn.Module, rows: int = 2) -> float:
    data = torch.randn(4, rows, 1, 3, 3, generator=torch.Generator().manual_seed(0))

    def losses(patients: Sequence[int]) -> Tensor:
        return torch.as_tensor(module(data[list(patients)].flatten(0, 1))).square()

    return check_gradients(module, losses, 4, rows)


def test_a_sound_network_passes() -> None:
    module = Sound().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    check_network(module)
    assert checked(module) < 1e-4
    assert all(p.requires_grad and p.grad is None for p in module.parameters())


@pytest.mark.parametrize("broken", [Functional, Mixing])
def test_gradients_that_are_not_of_one_patient(broken: type[nn.Module]) -> None:
    check_network(broken())
    with pytest.raises(DPInputError, match="differs by"):
        checked(broken())


def test_buffers_that_training_changes() -> None:
    with pytest.raises(DPInputError, match="seen: a buffer"):
        checked(Counting())


def test_all_findings_at_once() -> None:
    module = nn.Sequential(
        nn.BatchNorm2d(1),
        nn.InstanceNorm2d(1, track_running_stats=True),
        nn.PReLU(),
        nn.Embedding(3, 2, max_norm=1.0),
        nn.Linear(2, 2),
        nn.Linear(2, 2).to(torch.bfloat16),
    )
    module[0].requires_grad_(False)  # frozen, and still keeping statistics
    module.append(nn.Linear(2, 2))
    module[6].weight = module[4].weight
    module.eval()
    with pytest.raises(DPInputError) as caught:
        check_network(module)
    text = str(caught.value)
    for part in ("0: BatchNorm2d mixes patients", "1: running statistics", "2: 1 trainable",
                 "3: max_norm", "6.weight: tied to 4.weight", "5.weight: trained in torch.bfloat16",
                 "evaluation mode"):  # fmt: skip
        assert part in text, part


def test_nothing_to_train() -> None:
    with pytest.raises(DPInputError, match="no parameter is trainable"):
        check_network(nn.Linear(1, 1).requires_grad_(False))
