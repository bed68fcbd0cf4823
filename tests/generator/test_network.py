from __future__ import annotations

from typing import Any

import pytest
import torch

from bussynth.errors import IntegrityError
from bussynth.generator.conditions import ConditionEncoder
from bussynth.generator.network import Architecture, ConditionalUNet
from bussynth.generator.presets import PRESETS

VOCABULARY = {"pathology": ["normal", "benign"], "device": ["a"]}
ARCHITECTURE = Architecture.of(PRESETS["tiny-32"], (16, 24), VOCABULARY)


def test_every_condition_reaches_the_output() -> None:
    network = ConditionalUNet(ARCHITECTURE).eval()
    with torch.no_grad():  # the last layer starts at zero
        network.unet.conv_out.weight.normal_(generator=torch.Generator().manual_seed(0))
    encoder = ConditionEncoder(VOCABULARY, (16, 24))
    base = {"pathology": "benign", "device": "a", "lesion_box": (2, 2, 8, 8)}
    rows: list[dict[str, Any]] = [
        base,
        base | {"pathology": None},
        base | {"device": None},
        base | {"lesion_box": (2, 2, 9, 8)},
        base | {"lesion_box": None},
        {"pathology": "normal", "device": "a"},
        {},
    ]
    x = torch.randn((1, 4, 8, 12), generator=torch.Generator().manual_seed(1)).expand(7, -1, -1, -1)
    out = network(x, torch.zeros(7), encoder.encode(rows)).detach()
    assert out.shape == (7, 4, 8, 12)
    for i in range(7):
        for j in range(i):
            assert (out[i] - out[j]).abs().max() > 1e-5, (i, j)
    times = network(x[:2], torch.tensor([0.0, 0.1]), encoder.encode([base, base])).detach()
    assert (times[0] - times[1]).abs().max() > 1e-5


def test_untrained_output_is_zero() -> None:
    network = ConditionalUNet(ARCHITECTURE)
    encoder = ConditionEncoder(VOCABULARY, (16, 24))
    assert network(torch.randn(1, 4, 8, 12), torch.zeros(1), encoder.encode([{}])).abs().max() == 0


def test_brightness_reaches_the_output() -> None:
    """Normalisation hides a constant from the layers behind it; the head of the means sees it."""
    network = ConditionalUNet(ARCHITECTURE).eval()
    with torch.no_grad():
        network.mean.layers[2].weight.normal_(generator=torch.Generator().manual_seed(0))
    conditions = ConditionEncoder(VOCABULARY, (16, 24)).encode([{}, {}])
    x = torch.randn((1, 4, 8, 12), generator=torch.Generator().manual_seed(1)).expand(2, -1, -1, -1)
    brighter = x + torch.tensor([0.0, 0.1]).view(2, 1, 1, 1)
    out = network(brighter, torch.zeros(2), conditions).detach()
    assert out.std(dim=(2, 3)).max() < 1e-5  # the UNet's last layer starts at zero
    assert (out[0] - out[1]).abs().mean() > 0.05


def test_architecture_round_trip() -> None:
    assert Architecture.from_dict(ARCHITECTURE.to_dict()) == ARCHITECTURE
    assert ARCHITECTURE.values == (1, 2)  # device, pathology
    assert ARCHITECTURE.latent_size == (8, 12)


@pytest.mark.parametrize(
    "change",
    [
        {"factor": 3},
        {"channels": []},
        {"channels": [32, 10**9]},
        {"attention": [True]},
        {"layers": 10**6},
        {"image_size": [17, 16]},
        {"image_size": [16]},
        {"values": [0, 2]},
        {"extra": 1},
        {"factor": None},
    ],
)
def test_hostile_architecture_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError):
        Architecture.from_dict(ARCHITECTURE.to_dict() | change)
