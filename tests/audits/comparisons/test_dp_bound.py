from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom

from audits.comparisons.dp_bound import (
    EpsilonBound,
    epsilon_bound,
    guess_p_value,
    one_run_bound,
)
from audits.errors import AuditInputError
from audits.images import Patients

OPTIONS: dict[str, Any] = {"delta": 0.0, "confidence": 0.95}


def _patients(*cells: tuple[int, int]) -> Patients:
    member = np.concatenate([np.arange(t + c) < t for t, c in cells])
    stratum = np.repeat(np.arange(len(cells)), [t + c for t, c in cells])
    return Patients(np.arange(len(member)), member, stratum, True)


def _bound(
    scores: npt.NDArray[np.floating] | dict[str, Any], patients: Patients, seed: int, **options: Any
) -> EpsilonBound:
    named = scores if isinstance(scores, dict) else {"x": scores}
    rng = np.random.default_rng(seed)
    return one_run_bound(named, patients, **{**OPTIONS, **options}, rng=rng)


def _answers(
    truth: npt.NDArray[np.bool_], epsilon: float, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Randomised response: the truth with odds exp(epsilon)."""
    return truth ^ (rng.random(truth.shape) > 1.0 / (1.0 + math.exp(-epsilon)))


@pytest.mark.parametrize(
    ("guesses", "best"), [(20, 1.8), (50, 2.8), (100, 3.5), (500, 5.1), (1000, 5.8)]
)
def test_best_possible_values(guesses: int, best: float) -> None:
    for delta in (0.0, 1e-9):
        found = epsilon_bound(guesses, guesses, guesses, delta=delta, confidence=0.95)
        assert round(found, 1) == best
    # All right has probability q^r, so q = 0.05^(1/r).
    rate = 0.05 ** (1 / guesses)
    found = epsilon_bound(guesses, guesses, guesses, delta=0.0, confidence=0.95)
    assert found == pytest.approx(math.log(rate / (1 - rate)))


@pytest.mark.parametrize("delta", [0.0, 1e-6, 1e-3])
@pytest.mark.parametrize("epsilon", [0.0, 0.7, 3.0])
def test_p_value_equals_the_naive_formula(epsilon: float, delta: float) -> None:
    for bits, guesses, correct in [(1, 1, 1), (5, 3, 0), (12, 12, 9), (400, 60, 55), (90, 40, 20)]:
        q = 1 / (1 + math.exp(-epsilon))
        pmf = [math.comb(guesses, k) * q**k * (1 - q) ** (guesses - k) for k in range(guesses + 1)]
        slack = max(
            (sum(pmf[max(0, correct - i) : correct]) / i for i in range(1, bits + 1)), default=0.0
        )
        expected = min(1.0, sum(pmf[correct:]) + 2 * bits * delta * slack)
        assert guess_p_value(bits, guesses, correct, epsilon, delta) == pytest.approx(expected)
    with pytest.raises(ValueError, match="correct"):
        guess_p_value(5, 3, 4, epsilon, delta)
    with pytest.raises(ValueError, match="delta"):
        guess_p_value(5, 3, 2, -0.1, delta)


def test_bound_is_monotone() -> None:
    def of(**changed: Any) -> float:
        given: dict[str, Any] = {"bits": 200, "guesses": 100, "correct": 90, **OPTIONS, **changed}
        return epsilon_bound(**given)

    by_correct = [of(correct=v) for v in range(101)]
    assert by_correct == sorted(by_correct)
    assert by_correct[50] == 0.0
    by_delta = [of(delta=d) for d in (0.0, 1e-8, 1e-5, 1e-4, 1e-2, 1.0)]
    assert by_delta == sorted(by_delta, reverse=True)
    assert by_delta[-1] == 0.0
    assert of(confidence=0.99) < of(confidence=0.9)
    assert of(replace_for_add_remove=True) == pytest.approx(of() / 2)
    assert of(delta=1e-4, replace_for_add_remove=True) < of(delta=1e-4) / 2


@pytest.mark.parametrize("epsilon", [0.0, 1.0, 3.0])
def test_replace_bound_covers_randomised_response(epsilon: float) -> None:
    # One noisy bit a pair is exactly epsilon-DP for replacing one patient by the other.
    rng = np.random.default_rng(2)
    runs, above, bounds = 500, 0, []
    for _ in range(runs):
        answers = _answers(np.ones(120, np.bool_), epsilon, rng)
        correct = int(answers.sum())
        bounds.append(epsilon_bound(120, 120, correct, **OPTIONS))
        above += bounds[-1] > epsilon
    assert above <= binom.ppf(0.9995, runs, 0.05)
    # Not valid by being empty.
    assert np.mean(bounds) > 0.55 * epsilon


@pytest.mark.parametrize("delta", [0.0, 0.01])
def test_paired_design_covers_a_noisy_release_of_who_was_in(delta: float) -> None:
    # A noisy bit for every patient is epsilon-DP for add/remove, 2 epsilon for replace. With
    # probability delta a patient's bit comes without noise.
    epsilon, runs, wrong, nulls = 0.8, 500, 0, 0
    rng = np.random.default_rng(4)
    patients = _patients((40, 30), (15, 40), (5, 0))
    for run in range(runs):
        member = patients.member.copy()
        for cell in (0, 1):
            inside = patients.stratum == cell
            member[inside] = rng.permutation(member[inside])
        drawn = Patients(patients.of_image, member, patients.stratum, True)
        revealed = rng.random(len(member)) < delta
        scores = np.where(revealed, 3.0 * member - 1.0, _answers(member, epsilon, rng))
        bound = _bound(scores, drawn, run, delta=delta, fractions=(1.0, 0.4))
        assert bound.bits == 45
        assert bound.epsilon_replace is not None
        assert bound.epsilon_add_remove is not None
        wrong += bound.epsilon_add_remove > epsilon
        if not delta:
            assert bound.epsilon_replace == pytest.approx(2 * bound.epsilon_add_remove)
        nulls += (_bound(rng.random(len(member)), drawn, run).p_value or 0.0) <= 0.05
    assert wrong <= binom.ppf(0.9995, runs, 0.05)
    assert nulls <= binom.ppf(0.9995, runs, 0.05)


def test_independent_design_covers_coin_flips() -> None:
    epsilon, runs, wrong, bounds = 1.5, 500, 0, []
    rng = np.random.default_rng(5)
    for run in range(runs):
        member = rng.random(150) < 0.5
        patients = Patients(np.arange(150), member, np.zeros(150, np.int64), True)
        scores = _answers(member, epsilon, rng).astype(np.float64)
        bound = _bound(scores, patients, run, independent=True)
        assert bound.epsilon_replace is None
        assert bound.epsilon_add_remove is not None
        bounds.append(bound.epsilon_add_remove)
        wrong += bounds[-1] > epsilon
    assert wrong <= binom.ppf(0.9995, runs, 0.05)
    assert np.mean(bounds) > 0.4 * epsilon


def test_order_of_a_pair_is_a_fair_coin_even_where_scores_differ_by_stratum() -> None:
    rng = np.random.default_rng(6)
    stratum = np.repeat([0, 1], [30, 30])
    scores = stratum + rng.random(60)
    right = np.zeros(400)
    for run in range(400):
        # Stratum 1 is mostly train: pairs across strata would be guessed well.
        member = np.r_[rng.permutation(np.arange(30) < 5), rng.permutation(np.arange(30) < 25)]
        bound = _bound(scores, Patients(np.arange(60), member, stratum, True), run, fractions=(1,))
        right[run] = bound.attacks[0].correct
    assert bound.bits == 10
    assert abs(right.mean() - 5.0) < 4 * math.sqrt(10 * 0.25 / 400)
    assert 0.8 < right.var() / 2.5 < 1.25


def test_perfect_scores_ties_and_nothing() -> None:
    patients = _patients((60, 60), (60, 40))
    perfect = _bound(np.where(patients.member, 14.0, 0.0), patients, 0, fractions=(1.0,))
    assert (perfect.bits, perfect.attacks[0].correct) == (100, 100)
    assert perfect.epsilon_replace == pytest.approx(3.49, abs=0.01)
    assert perfect.epsilon_add_remove == pytest.approx(1.75, abs=0.01)
    for independent in (False, True):
        tied = _bound(np.zeros(220), patients, 0, independent=independent)
        assert (tied.epsilon_add_remove, tied.p_value) == (0.0, 1.0)
        none = _bound(np.empty(0), _patients((0, 0)), 0, independent=independent)
        assert (none.epsilon_add_remove, none.p_value, none.bits) == (None, None, 0)
        assert none.reason
        json.dumps(asdict(tied), allow_nan=False)
    assert _bound(np.zeros(3), _patients((3, 0)), 0).reason == "no pair"
    assert _bound({}, patients, 0).reason == "no score"
    one = _bound(np.array([1.0, 0.0]), _patients((1, 1)), 0)
    assert (one.bits, one.epsilon_replace) == (1, 0.0)
    for wrong in (np.full(220, np.nan), np.zeros(3)):
        with pytest.raises(ValueError, match="220 finite"):
            _bound(wrong, patients, 0)
    with pytest.raises(ValueError, match="fractions"):
        _bound(np.zeros(220), patients, 0, fractions=(0.0,))


def test_more_scores_and_sizes_cost_confidence() -> None:
    patients = _patients((50, 50))
    perfect = np.where(patients.member, 1.0, 0.0)
    alone = _bound(perfect, patients, 0, fractions=(1.0,)).epsilon_replace
    shared = _bound({"a": perfect, "b": np.zeros(100)}, patients, 0).epsilon_replace
    assert alone is not None
    assert shared is not None
    assert shared < alone


def test_contradiction_needs_the_same_unit_adjacency_and_delta() -> None:
    patients = _patients((60, 60))
    bound = _bound(np.where(patients.member, 1.0, 0.0), patients, 0, delta=1e-5)
    claim: dict[str, Any] = {"delta": 1e-6, "unit": "patient", "adjacency": "add-remove"}
    assert bound.epsilon_add_remove is not None
    assert bound.contradicts(1.0, **claim)
    assert not bound.contradicts(8.0, **claim)
    assert not bound.contradicts(bound.epsilon_add_remove, **claim)
    assert bound.contradicts(2.0, **{**claim, "adjacency": "replace"})
    for change, message in [
        ({"unit": "image"}, "'image'"),
        ({"adjacency": "zero-out"}, "adjacency"),
        ({"delta": 1e-4}, "delta"),
    ]:
        with pytest.raises(AuditInputError, match=message):
            bound.contradicts(1.0, **{**claim, **change})
    coins = _bound(np.zeros(120), patients, 0, independent=True)
    with pytest.raises(AuditInputError, match="independent"):
        coins.contradicts(1.0, delta=0.0, unit="patient", adjacency="replace")
