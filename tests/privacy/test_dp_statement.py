from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from privacy.dp.ledger import Cap, Ledger
from privacy.dp.mechanism import SampledGaussian
from privacy.dp.statement import Statement, state


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    cap = Cap(epsilon=8.0, delta=1e-4, patients=600)
    return Ledger.create(tmp_path / "ledger.sqlite", subject="patients of a site", cap=cap)


def stated(ledger: Ledger) -> Statement:
    return state(
        ledger,
        covered=["the adapter", "all samples"],
        public_inputs={"builtin:phantom-64": "sha256:" + "a" * 64},
        tuning="on phantoms",
    )


def test_it_says_what_was_charged_and_not_what_was_planned(ledger: Ledger) -> None:
    plan = SampledGaussian(noise_multiplier=2.0, sampling_rate=0.1, steps=500)
    one = ledger.register("training", plan, {"clip_norm": 1.0})
    never = ledger.register("never run", SampledGaussian(noise_multiplier=20.0))
    for _ in range(3):
        ledger.charge(one)
    statement = stated(ledger)
    content = json.loads(json.dumps(statement.to_dict()))
    assert content["guarantee"]["epsilon"] == ledger.spent().epsilon
    assert content["guarantee"]["unit"].startswith("a patient")
    assert [m["steps"] for m in content["mechanisms"]] == [3]
    assert content["ledger"]["head"] == ledger.head
    assert content["accounting"]["epsilon_replacing"] > content["guarantee"]["epsilon"]
    power = content["interpretation"]
    assert 0.001 < power["at_0.1_percent"] < power["at_1_percent"] < 1
    text = statement.words()
    assert f"({ledger.spent().epsilon:.3g}, 0.0001)-differentially private" in text
    assert "training: noise 2, 3 steps" in text
    assert never not in text
    assert "patients of a site" not in json.dumps(content), "the subject stays in the ledger"


def test_nothing_was_looked_at(ledger: Ledger) -> None:
    text = stated(ledger).words()
    assert "(0, 0.0001)-differentially private" in text
    assert re.search(r"finds at most 1.0% .* at most 0.1%", text)
    assert "- nothing" in text
