"""Replay: what an evolution releases on patients that differ in one, round by round.

Noise is fixed and the candidates follow a script, as in the replay of the training; and once they
follow the votes, noise and all, towards the patients.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from privacy.dp import evolution, histogram
from privacy.dp.accounting import epsilon
from privacy.dp.errors import BudgetError, DPInputError
from privacy.dp.evolution import EvolutionPlan, Patient, Round, Selection, evolve, select
from privacy.dp.ledger import Cap, Ledger
from privacy.dp.mechanism import SampledGaussian

Numbers = npt.NDArray[np.float64]
Classes = npt.NDArray[np.int64]
PLAN = EvolutionPlan(rounds=3, candidates=(5, 7), noise_multiplier=50.0)
NONE = np.zeros((0, 3))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    cap = Cap(epsilon=50.0, delta=1e-5, patients=1000)
    return Ledger.create(tmp_path / "ledger.sqlite", subject="s", cap=cap)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histogram, "gaussian", lambda n: torch.zeros(n, dtype=torch.float64))


def scripted(number: int) -> Numbers:
    """Candidates of a round: on a grid, so that patients are often as near to several."""
    random = np.random.default_rng(number)
    return random.integers(-2, 3, (len(PLAN.classes), 3)).astype(np.float64)


def ordinary() -> list[Patient]:
    random = np.random.default_rng(1)
    counts = [(1, 0), (0, 2), (3, 3), (0, 0), (0, 1), (4, 0), (1, 1)]
    return [[random.integers(-4, 5, (n, 3)) / 2.0 for n in classes] for classes in counts]


def run(
    private: Sequence[Patient], ledger: Ledger, plan: EvolutionPlan = PLAN
) -> list[Round[Numbers]]:
    """All rounds, on candidates by a script."""
    return list(
        evolve(
            private,
            lambda classes: scripted(1),
            lambda candidates, selection, number: scripted(number),
            lambda candidates: candidates,
            plan=plan,
            ledger=ledger,
            identity=ledger.register("votes", plan.mechanism),
        )
    )


def rows(count: int, value: float) -> Numbers:
    return np.full((count, 3), value)


EACH = np.random.default_rng(2).normal(0, 2, (1000, 3))
ADVERSARIES: dict[str, Patient] = {
    "usual": [rows(1, 0.5), NONE],
    "no image": [NONE, NONE],
    "a thousand images": [EACH, EACH],
    "as near to all": [rows(2, 0.0), rows(2, 0.0)],
    "huge": [rows(2, 1e150), rows(1, -1e150)],
    "beyond float": [rows(2, 1.7e308), rows(1, -1.7e308)],
    "half precision": [rows(2, 6e4).astype(np.float16), NONE.astype(np.float16)],
    "not a number": [rows(2, math.nan), NONE],
    "infinite": [NONE, rows(2, math.inf)],
    "one bad image": [rows(9, 0.5), np.concatenate([rows(9, 0.5), rows(1, math.nan)])],
}


def check_adding_one(adversary: Patient, ledger: Ledger) -> float:
    """Everything released, with and without one patient; returns the largest change."""
    without = run(ordinary(), ledger)
    changes = []
    for others in ([adversary, *ordinary()], [*ordinary(), adversary]):
        found = run(others, ledger)
        assert len(found) == len(without) == PLAN.rounds
        for a, b in zip(without, found, strict=True):
            assert np.isfinite(b.votes).all()
            changes.append(float(np.linalg.norm(a.votes - b.votes)))
            assert changes[-1] <= 1, "a patient changes more than by 1"
    assert all(one.taken == PLAN.rounds for one in ledger.registered())
    return max(changes)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("name", ADVERSARIES)
def test_adding_a_patient_changes_each_round_by_one_at_most(name: str, ledger: Ledger) -> None:
    change = check_adding_one(ADVERSARIES[name], ledger)
    silenced = ("no image", "beyond float", "not a number", "infinite", "one bad image")
    assert change == pytest.approx(0 if name in silenced else 1, abs=1e-6)


@pytest.mark.usefixtures("silent")
def test_the_replay_notices_a_vote_for_each_image(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(histogram, "_bounded", lambda vector: vector)
    with pytest.raises(AssertionError, match="more than by 1"):
        check_adding_one(ADVERSARIES["a thousand images"], ledger)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("at_once", [1, 2**22])
def test_images_vote_for_the_nearest_of_their_class(
    at_once: int, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evolution, "_AT_ONCE", at_once)
    first = run(ordinary(), ledger)[0]
    expected = np.zeros(12)
    for patient in ordinary():
        own = np.zeros(12)
        for images, begin, end in zip(patient, (0, 5), (5, 12), strict=True):
            for image in images:
                distances = ((scripted(1)[begin:end] - image) ** 2).sum(axis=1)
                own[begin + int(distances.argmin())] += 1
        expected += own / max(1.0, float(np.linalg.norm(own)))
    assert first.votes == pytest.approx(expected, abs=1e-6)
    assert first.votes.sum() > 6


@pytest.mark.usefixtures("silent")
def test_nobody_votes(ledger: Ledger) -> None:
    for private in ([], [[NONE, NONE]]):
        assert [one.votes.tolist() for one in run(private, ledger)] == 3 * [[0.0] * 12]


def test_noise_is_there(ledger: Ledger) -> None:
    found = [one.votes for one in run([], ledger)]
    assert 20 < np.std(found) < 80
    assert not np.allclose(found[0], found[1])


def copied(classes: Classes) -> list[str]:
    return [f"{one}" for one in classes]


def varied(candidates: list[str], selection: Selection, number: int) -> list[str]:
    return [
        candidates[parent] + f"/{number}" * int(fresh)
        for parent, fresh in zip(selection.parents, selection.fresh, strict=True)
    ]


def embedded(candidates: list[str]) -> Numbers:
    """A random place for each word."""
    seeds = [[ord(letter) for letter in one] for one in candidates]
    return np.array([np.random.default_rng(seed).normal(size=3) for seed in seeds])


def fail(*_: Any) -> Any:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("silent")
def test_a_round_is_charged_before_it_is_counted_and_the_next_run_goes_on_behind_it(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = EvolutionPlan(rounds=5, candidates=(5, 7), noise_multiplier=50.0, threshold=0.0)
    identity = ledger.register("votes", plan.mechanism)
    known: dict[str, Any] = {"plan": plan, "ledger": ledger, "identity": identity}

    def taken() -> int:
        return ledger.registered()[0].taken

    with pytest.raises(KeyboardInterrupt):
        next(evolve(ordinary(), copied, varied, fail, **known))
    assert taken() == 0, "nothing was looked at"
    rounds = evolve(ordinary(), copied, varied, embedded, **known)
    kept = list(itertools.islice(rounds, 2))[-1]
    with monkeypatch.context() as patch:
        patch.setattr(evolution._Election, "vote", fail)
        with pytest.raises(KeyboardInterrupt):
            next(rounds)
    assert taken() == 3
    rest = list(evolve(ordinary(), fail, varied, embedded, **known, last=kept))
    assert [one.number for one in rest] == [4, 5]
    assert rest[0].candidates == varied(kept.candidates, select(kept.votes, plan, (5, 7)), 4)
    assert all(word.startswith("0") for word in rest[1].candidates[:5]), "classes stay"
    assert any(word.endswith("/5") for word in rest[1].candidates)
    assert list(evolve(ordinary(), fail, fail, fail, **known, last=rest[1])) == []
    with pytest.raises(BudgetError):
        ledger.charge(identity)


def test_what_does_not_fit_is_refused_before_it_is_charged(ledger: Ledger) -> None:
    identity = ledger.register("votes", PLAN.mechanism)

    def first(private: Sequence[Patient] = (), **changed: Any) -> None:
        given: dict[str, Any] = {"embed": lambda _: scripted(1), "plan": PLAN, "identity": identity}
        next(evolve(private, copied, varied, ledger=ledger, **given | changed))

    for patient in ([NONE], [NONE, np.zeros((1, 2))], [NONE, np.zeros(3)]):
        with pytest.raises(DPInputError, match=r"2 arrays \(images, 3\)"):
            first([patient])
    for shape in ((11, 3), (12,)):
        with pytest.raises(DPInputError, match=r"embed: expected shape \(12, features\)"):
            first(embed=lambda _, shape=shape: np.zeros(shape))
    for value in (math.nan, math.inf, 1e200):
        with pytest.raises(DPInputError, match="finite"):
            first(embed=lambda _, value=value: np.diag([value] * 12))
    less = EvolutionPlan(rounds=3, candidates=(5, 7), noise_multiplier=1.0)
    for changed in ({"plan": less}, {"identity": "f" * 16}):
        with pytest.raises(DPInputError, match="no such mechanism"):
            first(**changed)
    with pytest.raises(DPInputError, match="one vote each"):
        first(last=Round(number=1, candidates=["0"], votes=np.zeros(1)))
    assert ledger.registered()[0].taken == 0


def test_candidates_are_selected_in_proportion() -> None:
    plan = EvolutionPlan(rounds=1, candidates=(4, 3, 2), noise_multiplier=4.0, threshold=0.5)
    votes = np.array([-3.0, 8.0, 1.9, 4.0, 2.0, 2.0, 2.0, 5.0, 5.0])
    found = select(votes, plan, (8, 3, 0))
    assert found.parents.tolist() == [1, 1, 1, 1, 1, 1, 3, 3, 4, 5, 6]
    assert found.fresh.tolist() == [False, *5 * [True], False, True, *3 * [False]]
    many = select(np.arange(9.0), plan, (0, 0, 1000))
    shares = np.bincount(many.parents, minlength=9)
    assert shares[7:].tolist() == [455, 545]  # (7 - 2) to (8 - 2)
    assert (~many.fresh).sum() == 2


def test_plans_out_of_range() -> None:
    for wrong in (
        {"rounds": 0}, {"candidates": ()}, {"candidates": (3, 0)}, {"candidates": (True,)},
        {"threshold": -1.0}, {"threshold": math.nan}, {"noise_multiplier": 0.0},
    ):  # fmt: skip
        fields: dict[str, Any] = {"rounds": 3, "candidates": (3,), "noise_multiplier": 1.0} | wrong
        with pytest.raises(DPInputError, match=next(iter(wrong))):
            EvolutionPlan(**fields)


def test_noise_is_for_all_rounds_together() -> None:
    before = SampledGaussian(noise_multiplier=5.0)
    plan = EvolutionPlan.calibrated(
        epsilon=3.0, delta=1e-4, rounds=10, candidates=(50,), spent=[before]
    )
    assert plan.mechanism.steps == 10
    assert plan.mechanism.sampling_rate == 1.0
    assert plan.epsilon(1e-4) == epsilon([plan.mechanism], 1e-4).epsilon
    assert 2.98 < epsilon([before, plan.mechanism], 1e-4).epsilon <= 3.0
    # All rounds, and the look before, are one Gaussian mechanism of this noise.
    together = (10 / plan.noise_multiplier**2 + 1 / 5.0**2) ** -0.5
    assert together == pytest.approx(3.868 / 10**0.5, rel=0.01)  # the analytic Gaussian's


def energy_distance(a: Numbers, b: Numbers) -> float:
    def mean(x: Numbers, y: Numbers) -> float:
        return float(np.linalg.norm(x[:, None] - y, axis=2).mean())

    return 2 * mean(a, b) - mean(a, a) - mean(b, b)


def test_candidates_move_to_the_patients(ledger: Ledger) -> None:
    random = np.random.default_rng(0)
    centres = np.array([[3.0, 0.0], [0.0, 3.0], [-2.0, -2.0]])
    private = [[centre + 0.4 * random.normal(size=(2, 2))] for centre in np.repeat(centres, 100, 0)]
    plan = EvolutionPlan(rounds=8, candidates=(80,), noise_multiplier=3.5)  # epsilon 3 at 1e-4

    def vary(candidates: Numbers, selection: Selection, number: int) -> Numbers:
        steps = 0.8**number * np.random.default_rng(number).normal(size=(80, 2))
        return candidates[selection.parents] + selection.fresh[:, None] * steps

    rounds = list(
        evolve(
            private,
            lambda classes: 3 * np.random.default_rng(9).normal(size=(len(classes), 2)),
            vary,
            lambda candidates: candidates,
            plan=plan,
            ledger=ledger,
            identity=ledger.register("votes", plan.mechanism),
        )
    )
    images = np.concatenate([images for patient in private for images in patient])
    released = select(rounds[-1].votes, plan, plan.candidates).parents
    before = energy_distance(rounds[0].candidates, images)
    after = energy_distance(rounds[-1].candidates[released], images)
    assert after < 0.5 * before
