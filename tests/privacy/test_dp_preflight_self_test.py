"""Self-tests pass, and fail for every part that is broken."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from privacy.dp import accounting, clipping, randomness, self_test
from privacy.dp.check import Check, timed
from privacy.dp.clipping import PatientSum
from privacy.dp.self_test import (
    check_accounting,
    check_clipping,
    check_noise,
    check_randomness,
)

PARAMETERS = [nn.Parameter(torch.zeros(3, 4)), nn.Parameter(torch.zeros(5))]
PATIENTS: dict[str, Sequence[Tensor | None]] = {
    "ordinary": [torch.ones(3, 4), None],
    "huge": [torch.full((3, 4), 1e30), torch.full((5,), -1e30)],
    "no number": [torch.ones(3, 4), torch.full((5,), math.nan)],
    "infinite": [torch.full((3, 4), math.inf), torch.zeros(5)],
    "nothing": [None, None],
}


def test_all_pass() -> None:
    for check in (
        check_randomness(),
        check_accounting(),
        check_noise(PARAMETERS, 0.3),
        check_clipping(PARAMETERS, 0.3, PATIENTS),
    ):
        assert check.state == "ok", check
        assert check.text
    assert all(one.grad is None for one in PARAMETERS)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda count: bytes(count), "repeats"),
        (lambda count: b"\xff" * count, "two streams are the same"),
    ],
)
def test_a_system_without_randomness_is_found(
    draw: Callable[[int], bytes], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(randomness.os, "urandom", draw)
    assert any(message in problem for problem in check_randomness().problems)


def test_bits_that_are_not_even_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = randomness.random_bytes
    monkeypatch.setattr(
        randomness,
        "random_bytes",
        lambda n: bytearray(byte | (i % 8 == 0) for i, byte in enumerate(usual(n))),
    )
    (problem,) = check_randomness().problems
    assert "of the bits are ones" in problem


def test_a_source_that_is_not_ready_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(count: int, flags: int) -> bytes:
        raise BlockingIOError

    monkeypatch.setattr(self_test.os, "getrandom", wait)
    assert "not collected enough" in check_randomness().problems[0]


class Scaled(PatientSum):
    """Clips to another norm than it is told."""

    def __init__(self, parameters: Sequence[nn.Parameter], clip_norm: float) -> None:
        super().__init__(parameters, self.factor * clip_norm)

    factor = 1.0


class Loose(Scaled):
    factor = 1.001


class Tight(Scaled):
    factor = 0.5


class Blind(PatientSum):
    """Takes no numbers for some."""

    def add(self, gradients: Sequence[Tensor | None]) -> None:
        super().add([None if one is None else one.nan_to_num() for one in gradients])


@pytest.mark.parametrize(
    ("broken", "message"),
    [(Loose, "times the clipping norm"), (Tight, "expected"), (Blind, "expected 0 ")],
)
def test_clipping_that_does_not_is_found(
    broken: type[PatientSum], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_test, "PatientSum", broken)
    found = check_clipping(PARAMETERS, 0.3, PATIENTS)
    assert any(message in problem for problem in found.problems), found


def same_again() -> Callable[[int], Tensor]:
    made: dict[int, Tensor] = {}
    return lambda count: made.setdefault(count, randomness.gaussian(count))


@pytest.mark.parametrize(
    ("gaussian", "message"),
    [
        (lambda count: 0.98 * randomness.gaussian(count), "the deviation is 0.9"),
        (lambda count: 1.02 * randomness.gaussian(count), "the deviation is 1.0"),
        (lambda count: 0.1 + randomness.gaussian(count), "the mean is"),
        (lambda count: torch.full((count,), math.nan, dtype=torch.float64), "the mean is nan"),
        (same_again(), "a correlation of"),
    ],
)
def test_noise_that_is_another_is_found(
    gaussian: Callable[[int], Tensor], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clipping, "gaussian", gaussian)
    found = check_noise([nn.Parameter(torch.zeros(300_000))], 0.3)
    assert any(message in problem for problem in found.problems), found


def test_noise_of_few_parameters_is_found_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clipping, "gaussian", lambda n: torch.zeros(n, dtype=torch.float64))
    found = check_noise(PARAMETERS, 0.3)
    assert found.measured["draws"] >= 2**14
    assert "the deviation is 0.0" in found.problems[0]


def test_accountants_that_disagree_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    right = accounting.epsilon([self_test._SETTING], 1e-5)
    for wrong, count in (
        (replace(right, pld=1.7, prv=1.7), 1),
        (replace(right, prv=1.5), 1),
        (replace(right, prv=None), 1),
        (replace(right, pld=math.nan, prv=math.nan), 2),
        (replace(right, pld=9.0), 2),
    ):
        monkeypatch.setattr(accounting, "epsilon", lambda *_, wrong=wrong: wrong)
        assert len(check_accounting().problems) == count, wrong


def test_an_error_in_a_check_is_a_problem() -> None:
    def fail() -> Check:
        raise ValueError("two\nlines")

    found = timed("name", fail)
    assert (found.name, found.state, found.problems) == (
        "name",
        "problem",
        ("ValueError: two lines",),
    )
    assert Check(name="a", text="b", warnings=("c",)).state == "warning"
