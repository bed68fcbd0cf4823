from __future__ import annotations

import pytest
import torch
from torch import nn

from privacy.dp.errors import DPInputError
from privacy.dp.preflight import check_network


def test_a_sound_network_passes() -> None:
    first, last = nn.Linear(8, 8), nn.Linear(8, 8)
    last.weight = first.weight  # tied: any gradient of a patient alone is that patient's
    check_network(nn.Sequential(nn.MultiheadAttention(8, 2), nn.PReLU(), first, last))
    check_network(nn.Sequential(first, nn.Dropout(0.0), nn.InstanceNorm1d(8)))


def test_all_findings_at_once() -> None:
    module = nn.Sequential(
        nn.BatchNorm2d(1),
        nn.InstanceNorm2d(1, track_running_stats=True),
        nn.Dropout(0.1),
        nn.Embedding(3, 2, max_norm=1.0),
        nn.Linear(2, 2),
        nn.Linear(2, 2).to(torch.bfloat16),
    )
    module[0].requires_grad_(False)  # frozen, and still keeping statistics
    module.eval()
    with pytest.raises(DPInputError) as caught:
        check_network(module)
    text = str(caught.value)
    for part in ("0: BatchNorm2d keeps", "1: running statistics", "2: dropout", "3: max_norm",
                 "5.weight: trained in torch.bfloat16", "evaluation mode"):  # fmt: skip
        assert part in text, part


def test_nothing_to_train() -> None:
    with pytest.raises(DPInputError, match="no parameter is trainable"):
        check_network(nn.Linear(1, 1).requires_grad_(False))
