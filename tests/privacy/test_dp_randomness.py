"""The sampler and the noise are what the accounting takes them to be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from privacy.dp import randomness
from privacy.dp.randomness import gaussian, poisson_sample, random_bytes, uniform

# Each test below fails by chance once in a thousand million runs.
LEAST = 1e-9


def test_nothing_repeats() -> None:
    torch.manual_seed(0)
    first = gaussian(8)
    torch.manual_seed(0)
    assert not torch.equal(first, gaussian(8))
    assert random_bytes(32) != random_bytes(32)


def test_keys_come_from_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(randomness.os, "urandom", lambda count: bytes(count))
    # RFC 8439, appendix A.1, first test vector: the key stream of zeros.
    assert random_bytes(8).hex() == "76b8e0ada0f13d90"


def test_no_key_makes_the_counter_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(randomness.os, "urandom", lambda count: b"\xff" * count)
    assert len(random_bytes(1000)) == 1000


def test_noise_is_standard_normal() -> None:
    values = gaussian(200_000).numpy()
    assert stats.kstest(values, "norm").pvalue > LEAST
    assert abs(values).max() < 7
    for lag in (1, 2, 50_000):  # the four parts of a sum lie a quarter apart
        pairs = stats.pearsonr(values[:-lag], values[lag:])
        assert pairs.pvalue > LEAST


def test_uniform_numbers() -> None:
    values = uniform(200_000)
    assert stats.kstest(values.numpy(), "uniform").pvalue > LEAST
    assert values.min() > 0
    assert values.max() < 1
    assert uniform(0).shape == gaussian(0).shape == (0,)


def test_the_largest_and_least_bits_stay_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    for byte in (0x00, 0xFF):
        monkeypatch.setattr(
            randomness, "random_bytes", lambda count, byte=byte: bytearray([byte]) * count
        )
        assert 0 < uniform(1).item() < 1
        assert torch.isfinite(gaussian(1)).all()


def test_everybody_is_drawn_at_the_rate_and_by_themselves() -> None:
    population, rate, rounds = 40, 0.15, 4000
    drawn = np.zeros((rounds, population), bool)
    for i in range(rounds):
        drawn[i, poisson_sample(population, rate)] = True
    # Rate of each patient, and the size of a draw, which would be fixed in a shuffled batch.
    for column in drawn.T:
        assert stats.binomtest(int(column.sum()), rounds, rate).pvalue > LEAST
    sizes = np.bincount(drawn.sum(1), minlength=population + 1)
    expected = rounds * stats.binom.pmf(np.arange(population + 1), population, rate)
    common = expected > 10
    observed = np.append(sizes[common], sizes[~common].sum())
    assert stats.chisquare(
        observed, np.append(expected[common], expected[~common].sum())
    ).pvalue > (LEAST)
    # Two patients, and two rounds, have nothing to do with each other.
    together = drawn.T.astype(float) @ drawn.astype(float)
    pairs = together[np.triu_indices(population, 1)]
    assert abs(pairs - rounds * rate**2).max() < 7 * np.sqrt(rounds) * rate
    later = (drawn[1:] & drawn[:-1]).sum(0)
    assert stats.binomtest(int(later.sum()), population * (rounds - 1), rate**2).pvalue > LEAST


def test_empty_draws_happen() -> None:
    assert any(not poisson_sample(5, 0.01) for _ in range(50))
    assert poisson_sample(0, 0.5) == []
    assert poisson_sample(7, 1.0) == list(range(7))
