"""What is refused of a network before anything is computed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from privacy.dp.errors import DPInputError
from privacy.dp.preflight import check_layers, check_network, findings


def test_a_sound_network_passes() -> None:
    module = nn.Sequential(
        nn.MultiheadAttention(8, 2),
        nn.PReLU(),
        nn.Linear(8, 8),
        nn.Dropout(0.0),
        nn.InstanceNorm1d(8),
        nn.GroupNorm(2, 8),
        nn.LSTM(8, 8, num_layers=2),
        nn.Embedding(3, 8),
        nn.Linear(8, 8).to(torch.bfloat16).requires_grad_(False),
    )
    check_network(module)
    assert list(findings(module)) == []
    assert check_layers(module).state == "ok"


def test_all_findings_at_once() -> None:
    module = nn.Sequential(nn.BatchNorm2d(1), nn.Dropout(0.1), nn.Linear(2, 2).to(torch.bfloat16))
    module[0].requires_grad_(False)  # frozen, and still keeping statistics
    module.eval()
    with pytest.raises(DPInputError) as caught:
        check_network(module)
    text = str(caught.value)
    for part in (
        "0: BatchNorm2d mixes rows",
        "frozen or not; use GroupNorm",
        "1: Dropout draws",
        "2.weight: trained in torch.bfloat16",
        "the network: it is in evaluation mode",
    ):
        assert part in text, part
    check = check_layers(module)
    assert check.state == "problem"
    assert check.problems == caught.value.problems


class Quantised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.zeros(2, dtype=torch.int8), requires_grad=False)


def old_spectral_norm() -> nn.Module:
    return torch.nn.utils.spectral_norm(nn.Linear(2, 2))


FAULTS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "batch norm": (lambda: nn.BatchNorm1d(2), "BatchNorm1d mixes rows"),
    "running": (lambda: nn.InstanceNorm2d(1, affine=True, track_running_stats=True), "running"),
    "max_norm": (lambda: nn.Embedding(3, 2, max_norm=1.0), "max_norm"),
    "bag": (lambda: nn.EmbeddingBag(3, 2, max_norm=1.0), "max_norm"),
    "sparse": (lambda: nn.Embedding(3, 2, sparse=True), "set sparse=False"),
    "alpha dropout": (lambda: nn.AlphaDropout(0.1), "AlphaDropout draws"),
    "attention": (lambda: nn.MultiheadAttention(2, 1, dropout=0.1), "set its dropout to 0"),
    "recurrent": (lambda: nn.GRU(2, 2, num_layers=2, dropout=0.1), "GRU draws"),
    "random slope": (lambda: nn.RReLU(), "a layer that draws nothing"),
    "spectral": (lambda: parametrizations.spectral_norm(nn.Linear(2, 2)), "spectral"),
    "spectral, old": (old_spectral_norm, "spectral"),
    "parallel": (lambda: nn.DataParallel(nn.Linear(2, 2)), "give the module inside"),
    "lazy": (lambda: nn.LazyLinear(2), "weight: its shape is not known"),
    "lazy norm": (lambda: nn.LazyBatchNorm1d(), "running_mean: its shape is not known"),
    "meta": (lambda: nn.Linear(2, 2, device="meta"), "no memory"),
    "half": (lambda: nn.Linear(2, 2).half(), "trained in torch.float16"),
    "complex": (lambda: nn.Linear(2, 2, dtype=torch.complex64), "trained in torch.complex64"),
    "quantised": (Quantised, "codes: it is quantised"),
    "frozen": (lambda: nn.Linear(1, 1).requires_grad_(False), "no parameter is trainable"),
    "evaluation": (lambda: nn.Linear(1, 1).eval(), "call train()"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_and_has_a_remedy(name: str) -> None:
    make, message = FAULTS[name]
    module = make()
    refused = [one for one in findings(module) if one.refused]
    assert any(message in str(one) for one in refused), [*map(str, refused)]
    assert all(one.remedy for one in refused)
    with pytest.raises(DPInputError):
        check_network(module)


def test_one_parameter_under_two_names_is_sound_and_said() -> None:
    first, last = nn.Linear(8, 8), nn.Linear(8, 8)
    last.weight = first.weight  # any gradient of a patient alone is that patient's, once
    module = nn.Sequential(first, last)
    check_network(module)
    (found,) = findings(module)
    assert not found.refused
    assert "1.weight: the same parameter as 0.weight, tied" in str(found)
    assert check_layers(module).state == "warning"
    first.weight.requires_grad_(False)
    assert not list(findings(module)), "of frozen weights there is nothing to say"


def test_memory_under_two_parameters_is_refused() -> None:
    """The noise of both would move it, and a frozen weight would not be frozen."""
    first, last = nn.Linear(8, 8), nn.Linear(8, 8)
    last.weight = nn.Parameter(first.weight.data)
    with pytest.raises(DPInputError, match=r"1\.weight: it shares memory with 0\.weight"):
        check_network(nn.Sequential(first, last))
    last.weight.requires_grad_(False)
    with pytest.raises(DPInputError, match="shares memory"):
        check_network(nn.Sequential(first, last))
    first.weight.requires_grad_(False)
    check_network(nn.Sequential(first, last))
    module = nn.Linear(8, 8)
    module.register_buffer("kept", module.weight.detach()[2:4])
    with pytest.raises(DPInputError, match="kept: it shares memory with weight"):
        check_network(module)


def test_parameters_side_by_side_in_memory_do_not_overlap() -> None:
    flat = torch.zeros(20)
    module = nn.Module()
    module.a, module.b = nn.Parameter(flat[:12].view(3, 4)), nn.Parameter(flat[12:])
    check_network(module)
