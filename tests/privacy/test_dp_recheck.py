"""Statements that are asked again: by their own mechanisms, and by a ledger."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from privacy.dp.errors import LedgerError
from privacy.dp.ledger import Cap, Ledger
from privacy.dp.mechanism import SampledGaussian
from privacy.dp.recheck import contradictions, ledger_contradictions, stated_now
from privacy.dp.statement import NOT_COVERED, state

COUNTS = SampledGaussian(noise_multiplier=9.0)
STEPS = SampledGaussian(noise_multiplier=2.0, sampling_rate=0.2, steps=5)


def make(path: Path, *plans: list[SampledGaussian]) -> Ledger:
    ledger = Ledger.create(path, subject="patients", cap=Cap(epsilon=8.0, delta=0.001, patients=50))
    for plan in plans:
        for identity in ledger.register_plan([("look", one, {}) for one in plan]):
            ledger.charge(identity)
    return ledger


def stated(ledger: Ledger) -> dict[str, Any]:
    found = state(
        ledger, covered=["images"], public_inputs={}, tuning="none", not_covered=["the lottery"]
    )
    return dict(json.loads(json.dumps(found.to_dict())))


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return make(tmp_path_factory.mktemp("ledger") / "l", [COUNTS, STEPS])


@pytest.fixture
def content(ledger: Ledger) -> dict[str, Any]:
    return stated(ledger)


def test_what_a_ledger_writes_follows_from_its_mechanisms(
    ledger: Ledger, content: dict[str, Any], tmp_path: Path
) -> None:
    assert contradictions(content) == []
    assert ledger_contradictions(content, ledger) == []
    several = make(tmp_path / "l", [COUNTS], [STEPS])
    assert contradictions(stated(several)) == []


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda s: s["accounting"].update(pld=0.7), ["accounting.pld"]),
        (lambda s: s["accounting"].update(pld=0.8), ["accounting.pld"]),
        (
            lambda s: s["mechanisms"].pop(0),
            ["accounting.pld", "accounting.epsilon_replacing", "at_1_percent", "at_0.1_percent"],
        ),
        (lambda s: s["interpretation"].update({"at_1_percent": 0.011}), ["at_1_percent"]),
        (
            lambda s: s["accounting"].update(epsilon_replacing=0.9),
            ["accounting.epsilon_replacing"],
        ),
    ],
)
def test_numbers_that_were_typed(
    content: dict[str, Any], change: Callable[[dict[str, Any]], object], names: list[str]
) -> None:
    change(content)
    assert [line.partition(":")[0] for line in contradictions(content)] == names


def test_numbers_of_several_plans_that_were_typed(tmp_path: Path) -> None:
    content = stated(make(tmp_path / "l", [COUNTS], [STEPS]))
    content["accounting"]["rdp"] *= 0.9
    (line,) = contradictions(content)
    assert line.startswith("accounting.rdp")


def test_a_ledger_that_knows_other_things(
    ledger: Ledger, content: dict[str, Any], tmp_path: Path
) -> None:
    other = make(tmp_path / "l", [COUNTS, STEPS])
    (line,) = ledger_contradictions(content, other)
    assert "does not hold entry" in line, "the digests of two ledgers differ, like their salts"
    for change in (
        {"noise_multiplier": 3.0},
        {"purpose": "another look"},
        {"plan": 1},
        {"taken": 4},
    ):
        edited = copy.deepcopy(content)
        edited["mechanisms"][1] |= change
        (line,) = ledger_contradictions(edited, ledger)
        assert "mechanism 2" in line, change
    content["ledger"]["cap"]["epsilon"] = 3.0
    (line,) = ledger_contradictions(content, ledger)
    assert "cap" in line


def test_a_plan_that_nobody_began_counts_for_no_statement(tmp_path: Path) -> None:
    ledger = make(tmp_path / "l", [COUNTS])
    content = stated(ledger)
    ledger.register("look", STEPS)
    content["mechanisms"].append(
        content["mechanisms"][0]
        | {"plan": 4, "sampling_rate": 0.2, "steps": 5, "taken": 0}
        | {"noise_multiplier": 2.0}
    )
    content["mechanisms"][1]["plan"] = ledger.registered()[1].plan
    (line,) = ledger_contradictions(content, ledger)
    assert "mechanism 2" in line


def test_a_damaged_ledger_is_no_question_of_the_statement(
    content: dict[str, Any], tmp_path: Path
) -> None:
    ledger = make(tmp_path / "l", [COUNTS])
    ledger.path.write_bytes(b"x" * 4096)
    with pytest.raises(LedgerError):
        ledger_contradictions(content, ledger)


def test_what_is_stated_now(tmp_path: Path) -> None:
    ledger = make(tmp_path / "l", [COUNTS])
    before = stated(ledger)
    assert (
        stated_now(before, ledger).to_dict()
        == state(
            ledger, covered=["images"], public_inputs={}, tuning="none", not_covered=["the lottery"]
        ).to_dict()
    )
    ledger.charge(ledger.register("look", STEPS))
    after = stated_now(before, ledger).to_dict()
    assert after["guarantee"]["epsilon"] == 8.0 > before["guarantee"]["epsilon"]
    assert len(after["mechanisms"]) == 2
    assert after["scope"]["not_covered"] == [*NOT_COVERED, "the lottery"]
    assert ledger_contradictions(before, ledger) == [], "the old one is an ancestor"
