"""The privacy statement in a package: every field that is wrong is an error."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bussynth.errors import IntegrityError
from bussynth.generator.private_record import privacy_record
from bussynth.package.dp_statement import parse_dp_statement
from privacy.dp.mechanism import SampledGaussian

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def statement(claim: dict[str, Any]) -> dict[str, Any]:
    return dict(claim["statement"])


def problems(statement: Any) -> str:
    with pytest.raises(IntegrityError) as caught:
        parse_dp_statement(statement, what="The statement")
    assert caught.value.problems
    return "\n".join(caught.value.problems)


def test_a_statement_as_it_is_written(statement: dict[str, Any]) -> None:
    parsed = parse_dp_statement(statement, what="The statement")
    assert (parsed.epsilon, parsed.delta) == (statement["guarantee"]["epsilon"], 0.001)
    assert parsed.head == statement["ledger"]["head"]
    assert parsed.power[0] > parsed.power[1]
    assert "differentially private" in parsed.words()


def test_a_statement_of_several_plans(tmp_path: Path, new_hospital: Callable[..., Any]) -> None:
    _, ledger = new_hospital(tmp_path / "h")
    ledger.charge(ledger.register("votes", SampledGaussian(noise_multiplier=9.0)))
    record = json.loads(json.dumps(privacy_record(ledger, ("images",), {})))
    assert parse_dp_statement(record["statement"], what="S").epsilon == 8.0
    changes: list[tuple[Change, str]] = [
        (lambda s: s["guarantee"].update(epsilon=7.0), "is not the cap"),
        (lambda s: s["interpretation"].update({"at_1_percent": 1.0}), "does not follow"),
        (lambda s: s["ledger"]["cap"].update(epsilon=0.5), "larger than the cap"),
        (
            lambda s: (s["guarantee"].update(epsilon=0.5), s["ledger"]["cap"].update(epsilon=0.5)),
            "less than what the accountants say",
        ),
        (lambda s: s["accounting"].update(epsilon_replacing=1.0), "is not proved"),
        (lambda s: s["accounting"].update(rdp=None), "accounting.rdp"),
        (lambda s: s["accounting"].update(stated="the larger"), "epsilon_replacing"),
    ]
    for change, reason in changes:
        statement = copy.deepcopy(record["statement"])
        change(statement)
        assert reason in problems(statement)


def test_several_plans_need_the_cap(statement: dict[str, Any]) -> None:
    statement["mechanisms"][1]["plan"] = 7
    assert "of several plans the cap must be stated" in problems(statement)


CHANGES: dict[str, tuple[Change, str]] = {
    "schema": (lambda s: s.update(schema="bussynth-dp-statement/2"), "schema"),
    "more": (lambda s: s.update(fid=3.2), "'fid': is not known"),
    "no guarantee": (lambda s: s.pop("guarantee"), "guarantee: is missing"),
    "no epsilon": (lambda s: s["guarantee"].pop("epsilon"), "guarantee.epsilon"),
    "text": (lambda s: s["guarantee"].update(epsilon="1"), "guarantee.epsilon"),
    "true": (lambda s: s["guarantee"].update(epsilon=True), "guarantee.epsilon"),
    "nan": (lambda s: s["guarantee"].update(epsilon=float("nan")), "guarantee.epsilon"),
    "infinite": (lambda s: s["guarantee"].update(epsilon=float("inf")), "guarantee.epsilon"),
    "zero": (lambda s: s["guarantee"].update(epsilon=0), "guarantee.epsilon"),
    "huge": (lambda s: s["guarantee"].update(epsilon=10**400), "guarantee.epsilon"),
    "smaller": (lambda s: s["guarantee"].update(epsilon=0.1), "not the larger"),
    "larger than the cap": (lambda s: s["guarantee"].update(epsilon=9.0), "larger than the cap"),
    "delta 1": (lambda s: s["guarantee"].update(delta=1.0), "guarantee.delta"),
    "delta 0": (lambda s: s["guarantee"].update(delta=0.0), "guarantee.delta"),
    "other delta": (lambda s: s["guarantee"].update(delta=1e-6), "another one than that of"),
    "delta of a tenth": (
        lambda s: (
            s["guarantee"].update(delta=0.01),
            s["ledger"]["cap"].update(delta=0.01),
        ),
        "a tenth of one in 50 patients",
    ),
    "unit": (lambda s: s["guarantee"].update(unit="an image"), "guarantee.unit"),
    "adjacency": (lambda s: s["guarantee"].update(adjacency="replace"), "guarantee.adjacency"),
    "model": (lambda s: s["guarantee"].update(model="local"), "guarantee.model"),
    "count": (lambda s: s["guarantee"].update(patients=31), "'patients': is not known"),
    "nothing looked": (lambda s: s.update(mechanisms=[]), "mechanisms"),
    "no list": (lambda s: s.update(mechanisms={"a": 1}), "mechanisms"),
    "no mechanism": (lambda s: s["mechanisms"].append(3), "mechanisms[3]"),
    "no noise": (
        lambda s: s["mechanisms"][0].update(noise_multiplier=0.0),
        "noise_multiplier: expected",
    ),
    "rate": (lambda s: s["mechanisms"][0].update(sampling_rate=1.5), "sampling_rate: expected"),
    "steps": (lambda s: s["mechanisms"][0].update(steps=2.5), "mechanisms[1].steps"),
    "taken": (lambda s: s["mechanisms"][0].update(taken=2), "more steps than were planned"),
    "sampling": (lambda s: s["mechanisms"][0].update(sampling="shuffled"), ".sampling"),
    "purpose": (lambda s: s["mechanisms"][0].update(purpose="a\nb"), ".purpose"),
    "loss": (lambda s: s["mechanisms"][0].update(loss=0.3), "'loss': is not known"),
    "settings": (lambda s: s["mechanisms"][0].update(public=[1]), "mechanisms[1].public"),
    "setting": (
        lambda s: s["mechanisms"][0]["public"].update(per={"patient": 1}),
        "mechanisms[1].public.per",
    ),
    "setting name": (lambda s: s["mechanisms"][0]["public"].update({"a b": 1}), "plain names"),
    "setting text": (
        lambda s: s["mechanisms"][0]["public"].update(run="a\x1b[2J"),
        "mechanisms[1].public.run",
    ),
    "setting list": (
        lambda s: s["mechanisms"][0]["public"].update(run=list(range(101))),
        "mechanisms[1].public.run",
    ),
    "pld": (lambda s: s["accounting"].update(pld=None), "accounting.pld"),
    "prv": (lambda s: s["accounting"].update(prv=None), "accounting.prv"),
    "rdp": (lambda s: s["accounting"].update(rdp=1.0), "the cap must be stated"),
    "stated": (lambda s: s["accounting"].update(stated="the least"), "accounting.stated"),
    "replacing": (
        lambda s: s["accounting"].update(epsilon_replacing=-1),
        "accounting.epsilon_replacing",
    ),
    "libraries": (lambda s: s["accounting"].update(libraries=[]), "accounting.libraries"),
    "library": (lambda s: s["accounting"]["libraries"].update({"x": 1}), "libraries.x"),
    "covered": (lambda s: s["scope"].update(covered=[]), "scope.covered: names nothing"),
    "not covered": (lambda s: s["scope"].update(not_covered=[]), "not_covered: names nothing"),
    "lines": (lambda s: s["scope"].update(covered=["a\u202eb"]), "scope.covered"),
    "input": (lambda s: s["public_inputs"].update(base="/home/x"), "public_inputs.base"),
    "short digest": (lambda s: s["public_inputs"].update(base="sha256:ab"), "public_inputs.base"),
    "input name": (lambda s: s["public_inputs"].update({"a/b": "x"}), "plain names"),
    "tuning": (lambda s: s.update(tuning=""), "tuning: is empty"),
    "seed": (lambda s: s["randomness"].update(seed=42), "randomness.seed"),
    "no seed": (lambda s: s["randomness"].pop("seed"), "randomness.seed"),
    "independence": (lambda s: s.pop("independence"), "independence"),
    "power": (lambda s: s["interpretation"].update({"at_1_percent": 1.1}), "at_1_percent"),
    "less than by lot": (
        lambda s: s["interpretation"].update({"at_0.1_percent": 0.0001}),
        "at_0.1_percent",
    ),
    "crossed": (
        lambda s: s["interpretation"].update({"at_0.1_percent": 0.9}),
        "larger than at_1_percent",
    ),
    "head": (lambda s: s["ledger"].update(head="0:" + "a" * 64), "ledger.head"),
    "head short": (lambda s: s["ledger"].update(head="4:abc"), "ledger.head"),
    "no cap": (lambda s: s["ledger"].pop("cap"), "ledger.cap"),
    "no patients": (lambda s: s["ledger"]["cap"].update(patients=0), "1 or more"),
    "path": (lambda s: s["ledger"].update(path="/home/x"), "'path': is not known"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_malformed_statement(statement: dict[str, Any], name: str) -> None:
    change, reason = CHANGES[name]
    change(statement)
    found = problems(statement)
    assert reason in found
    assert "\x1b" not in found


@pytest.mark.parametrize("value", [None, [], "x", 3, {}])
def test_no_statement(value: Any) -> None:
    problems(value)


def test_every_problem_is_reported(statement: dict[str, Any]) -> None:
    statement["guarantee"] = {"unit": "an image"}
    statement["mechanisms"][0]["taken"] = 9
    statement["ledger"] = None
    found = problems(statement)
    for word in ("guarantee.unit", "guarantee.epsilon", "taken", "ledger"):
        assert word in found
