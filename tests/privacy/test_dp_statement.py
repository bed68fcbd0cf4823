from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from privacy.dp.accounting import attacker_power
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


def gaussian(noise: float, steps: int = 1) -> SampledGaussian:
    return SampledGaussian(noise_multiplier=noise, steps=steps)


def test_it_says_what_was_begun_and_not_what_was_only_registered(ledger: Ledger) -> None:
    plan = SampledGaussian(noise_multiplier=6.0, sampling_rate=0.1, steps=50)
    one = ledger.register("training", plan, {"clip_norm": 1.0})
    never = ledger.register("never run", gaussian(20.0))
    for _ in range(3):
        ledger.charge(one)
    ledger.close(never)
    statement = stated(ledger)
    content = json.loads(json.dumps(statement.to_dict()))
    assert content["guarantee"]["epsilon"] == ledger.spent().epsilon
    assert content["guarantee"]["unit"].startswith("a patient")
    assert [(m["steps"], m["taken"]) for m in content["mechanisms"]] == [(50, 3)]
    assert content["ledger"]["head"] == ledger.head
    assert content["accounting"]["rdp"] is None
    assert content["accounting"]["epsilon_replacing"] > content["guarantee"]["epsilon"]
    power = content["interpretation"]
    assert 0.001 < power["at_0.1_percent"] < power["at_1_percent"] < 1
    text = statement.words()
    assert "training: noise 6, 50 steps planned and counted, 3 taken" in text
    assert "never run" not in text
    assert "keeps everything together within (8, 0.0001)" in text
    assert "the same patients in another cohort, or in another copy of this one" in text
    assert "patients of a site" not in json.dumps(content), "the subject stays in the ledger"


def test_words_never_round_down(ledger: Ledger) -> None:
    ledger.charge(ledger.register("training", gaussian(9.0)))
    content = dict(stated(ledger).to_dict())
    content["guarantee"] |= {"epsilon": 3.0001, "delta": 1.0001e-5}
    content["interpretation"] = {"at_1_percent": 0.12301, "at_0.1_percent": 0.010001}
    content["accounting"] |= {"pld": 2.9901, "prv": 3.0001, "epsilon_replacing": 5.551}
    text = Statement(content=content).words()
    assert "(3.01, 1.01e-05)-differentially private" in text
    assert "finds at most 12.4 % of" in text
    assert "at most 1.01 % while accusing 0.1 %" in text
    assert "say 3; PRV says 3.01; the larger is stated" in text
    assert "epsilon would be 5.56." in text


def test_plans_that_may_follow_from_results(ledger: Ledger) -> None:
    for noise in (9.0, 8.0):
        ledger.charge(ledger.register(f"noise of {noise}", gaussian(noise)))
    content = stated(ledger).to_dict()
    assert content["guarantee"]["epsilon"] == ledger.cap.epsilon > content["accounting"]["rdp"]
    assert content["accounting"]["stated"] == "the cap of all plans"
    assert content["accounting"]["epsilon_replacing"] is None, "nothing is proved of it"
    assert [m["plan"] for m in content["mechanisms"]] == [2, 4]
    fixed = attacker_power([gaussian(9.0), gaussian(8.0)], 0.01)
    assert content["interpretation"]["at_1_percent"] > fixed
    text = stated(ledger).words()
    assert "Renyi divergences were added up" in text
    assert "the cap is stated" in text
    assert "replaced by another" not in text


def test_nothing_was_looked_at(ledger: Ledger) -> None:
    text = stated(ledger).words()
    assert "(0, 0.0001)-differentially private" in text
    assert re.search(r"finds at most 1 % .* at most 0.1 %", text)
    assert "- nothing" in text
