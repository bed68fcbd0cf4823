from __future__ import annotations

import pytest
import torch
from torch import nn

from bussynth.generator.ema import WeightAverage


def test_against_a_plain_loop() -> None:
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, 5.0)
    average, expected = WeightAverage(module, 0.9), 5.0
    for step in range(1, 300):
        nn.init.constant_(module.weight, float(step % 7))
        average.update(module, step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * (step % 7)
    assert average.weights["weight"].item() == pytest.approx(expected, rel=1e-5)


def test_constant_weights_stay() -> None:
    module = nn.Linear(3, 2)
    average = WeightAverage(module, 0.999)
    for step in range(1, 10):
        average.update(module, step)
    assert torch.allclose(average.weights["weight"], module.weight)


def test_decay_zero_is_the_last_weight() -> None:
    module = nn.Linear(2, 2)
    average = WeightAverage(module, 0.0)
    nn.init.constant_(module.weight, 3.0)
    average.update(module, 1)
    assert average.weights["weight"].unique().tolist() == [3.0]


def test_the_average_is_a_copy() -> None:
    module = nn.Linear(2, 2)
    average = WeightAverage(module, 0.5)
    before = average.weights["weight"].clone()
    nn.init.constant_(module.weight, 9.0)
    assert torch.equal(average.weights["weight"], before)
