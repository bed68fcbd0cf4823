from __future__ import annotations

import hashlib
import json
import math
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from privacy.dp import ledger as module
from privacy.dp.accounting import Spent, epsilon, filter_epsilon
from privacy.dp.errors import BudgetError, DPInputError, LedgerError
from privacy.dp.ledger import Cap, Ledger
from privacy.dp.mechanism import SampledGaussian

CAP = Cap(epsilon=1.0, delta=1e-4, patients=600)
SUBJECT = "sha256:" + "5" * 64


def gaussian(noise: float = 20.0, steps: int = 1) -> SampledGaussian:
    return SampledGaussian(noise_multiplier=noise, steps=steps)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "ledger.sqlite", subject=SUBJECT, cap=CAP)


def plan(*mechanisms: SampledGaussian) -> list[tuple[str, SampledGaussian, dict[str, Any]]]:
    return [(f"part {number}", one, {}) for number, one in enumerate(mechanisms)]


def test_a_plan_is_spent_with_its_first_step(ledger: Ledger) -> None:
    assert ledger.spent().epsilon == 0
    one = ledger.register("training", gaussian(steps=9), {"clip_norm": 1.0})
    assert ledger.spent().epsilon == 0
    assert [ledger.charge(one) for _ in range(3)] == [1, 2, 3]
    again = Ledger.open(ledger.path, subject=SUBJECT)
    assert again.spent() == epsilon([gaussian(steps=9)], CAP.delta)
    (found,) = again.registered()
    assert (found.taken, found.begun, found.closed) == (3, True, False)
    assert (found.purpose, found.public) == ("training", {"clip_norm": 1.0})
    ledger.close(one)
    (found,) = again.registered()
    assert found.spent == found.reserved == found.mechanism == gaussian(steps=9)
    assert again.spent() == epsilon([gaussian(steps=9)], CAP.delta)
    assert again.cap == CAP


def test_idle_plans_are_closed_together_and_others_are_not(ledger: Ledger) -> None:
    begun = ledger.register_plan(plan(gaussian(30.0), gaussian(30.0)))
    ledger.charge(begun[0])
    idle = ledger.register("left behind", gaussian(4.2))
    with pytest.raises(BudgetError, match="the cap"):
        ledger.check_plan([gaussian(4.2)])
    head = ledger.head
    ledger.check_plan([gaussian(60.0)])
    assert ledger.head == head, "a check writes nothing"
    assert ledger.close_idle() == ("left behind",)
    assert ledger.close_idle() == ()
    assert [one.closed for one in ledger.registered()] == [False, False, True]
    ledger.check_plan([gaussian(4.2)])
    with pytest.raises(BudgetError, match="closed"):
        ledger.charge(idle)
    assert ledger.charge(begun[1]) == 1


def test_a_plan_that_never_looked_is_given_back(ledger: Ledger) -> None:
    one = ledger.register("never run", gaussian(3.5))
    ledger.close(one)
    assert ledger.spent().epsilon == 0
    two = ledger.register("training", gaussian(3.5))
    ledger.charge(two)
    ledger.close(two)
    with pytest.raises(BudgetError):
        ledger.register("more", gaussian(3.5))


def test_the_parts_of_a_plan_are_spent_together(ledger: Ledger) -> None:
    """What the first part has shown may be why the second is left out."""
    counts, training = ledger.register_plan(plan(gaussian(9.0), gaussian(7.0)))
    ledger.charge(counts)
    ledger.close(training)
    assert ledger.spent() == epsilon([gaussian(9.0), gaussian(7.0)], CAP.delta)
    assert {one.plan for one in ledger.registered()} == {2}


def test_a_part_that_was_closed_before_its_plan_began_stays_given_back(ledger: Ledger) -> None:
    first, second = ledger.register_plan(plan(gaussian(9.0), gaussian(7.0)))
    ledger.close(second)
    assert ledger.charge(first) == 1
    assert ledger.spent() == epsilon([gaussian(9.0)], CAP.delta)


def test_no_step_beyond_the_plan(ledger: Ledger) -> None:
    one = ledger.register("training", gaussian(steps=2))
    ledger.charge(one)
    ledger.charge(one)
    with pytest.raises(BudgetError, match="all 2 are charged"):
        ledger.charge(one)
    two = ledger.register("training", gaussian(steps=2))
    ledger.close(two)
    ledger.close(two)
    with pytest.raises(BudgetError, match="closed"):
        ledger.charge(two)
    with pytest.raises(DPInputError, match="at least one step"):
        ledger.register("nothing", gaussian(steps=0))
    with pytest.raises(DPInputError, match="at least one step"):
        ledger.register_plan([])


def test_the_cap_holds_over_what_is_reserved(ledger: Ledger) -> None:
    first = ledger.register("one", gaussian(3.5))  # an epsilon of 0.91, and 1.58 for two
    before = ledger.head
    with pytest.raises(BudgetError, match=r"from 0\.91 to 1\.58 .* cap of these patients is 1\."):
        ledger.register("two", gaussian(3.5))
    assert ledger.head == before, "a refusal writes nothing"
    ledger.close(first)
    ledger.register("two", gaussian(3.5))


def test_a_plan_is_registered_whole_or_not_at_all(ledger: Ledger) -> None:
    with pytest.raises(BudgetError):
        ledger.register_plan(plan(gaussian(9.0), gaussian(3.0)))
    assert ledger.registered() == ()
    names = ledger.register_plan(plan(gaussian(9.0), gaussian(5.0)))
    assert tuple(one.identity for one in ledger.registered()) == names


# An epsilon of 0.95 together if both are fixed before, and 1.04 if one may follow from the other.
PAIR = (gaussian(4.8), gaussian(4.8))


def test_a_plan_that_may_follow_from_results_costs_more(ledger: Ledger, tmp_path: Path) -> None:
    together = Ledger.create(tmp_path / "together", subject=SUBJECT, cap=CAP)
    for name in together.register_plan(plan(*PAIR)):
        together.charge(name)
    assert together.spent() == epsilon(PAIR, CAP.delta)
    assert together.spent().rdp is None
    assert together.spent().epsilon < 0.96

    ledger.charge(ledger.register("one", PAIR[0]))
    with pytest.raises(BudgetError, match=r"to 1\.04 .* Plans one after another cost more"):
        ledger.register("another", PAIR[1])
    two = ledger.register("another", gaussian(7.0))
    spent = ledger.spent()
    assert spent.rdp is not None, "two plans count, though one has begun"
    ledger.charge(two)
    spent = ledger.spent()
    assert spent == epsilon([PAIR[0], gaussian(7.0)], CAP.delta, adaptive=True)
    assert spent.epsilon == spent.rdp


def test_a_plan_that_was_given_back_is_no_result(ledger: Ledger) -> None:
    ledger.charge(ledger.register("one", gaussian()))
    ledger.close(ledger.register("never run", gaussian()))
    assert ledger.spent() == epsilon([gaussian()], CAP.delta)


def test_the_order_of_the_filter_is_that_of_the_first_plan(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if it never looked: a choice among orders must not wait for results."""
    asked = []

    def recorded(*plans: Any, **known: Any) -> float:
        asked.append(known["first"])
        return filter_epsilon(*plans, **known)

    monkeypatch.setattr(module, "filter_epsilon", recorded)
    first = ledger.register_plan(plan(gaussian(30.0), gaussian(40.0)))
    ledger.register("second", gaussian(8.0))
    for name in first:
        ledger.close(name)
    ledger.register("third", gaussian(9.0))
    assert asked == 2 * [(gaussian(30.0), gaussian(40.0))]


def test_what_is_no_number_is_over_the_cap(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "epsilon", lambda *_, **__: Spent(delta=1e-4, pld=math.nan, prv=None))
        with pytest.raises(BudgetError, match="nan"):
            ledger.register("one", gaussian())
    ledger.register("one", gaussian())
    monkeypatch.setattr(module, "filter_epsilon", lambda *_, **__: math.nan)
    with pytest.raises(BudgetError):
        ledger.register("two", gaussian())


def test_several_at_once_stay_within_the_cap(ledger: Ledger) -> None:
    one = gaussian(5.2)  # 0.65 alone, 0.96 two, 1.2 three

    def attempt(_: int) -> bool:
        try:
            Ledger.open(ledger.path, subject=SUBJECT).register("one of many", one)
        except BudgetError:
            return False
        return True

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(attempt, range(4))) == 2
    assert [found.reserved for found in ledger.registered()] == [one, one]


def test_costs_are_computed_while_others_may_write(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And computed again if somebody registered meanwhile; steps of others change nothing."""
    monkeypatch.setattr("privacy.dp.chain._WAIT_SECONDS", 0.05)
    other = Ledger.open(ledger.path, subject=SUBJECT)
    running = other.register("running", gaussian(99.0, steps=9))
    asked: list[int] = []

    def slow(mechanisms: Sequence[SampledGaussian], delta: float, **known: Any) -> Spent:
        asked.append(len(mechanisms))
        if len(asked) == 1:
            other.charge(running)
        elif len(asked) == 3:
            with monkeypatch.context() as patch:
                patch.setattr(module, "epsilon", epsilon)
                other.register("faster", gaussian(5.0))
        return epsilon(mechanisms, delta, **known)

    monkeypatch.setattr(module, "epsilon", slow)
    ledger.close(ledger.register("one", gaussian(20.0)))
    assert asked == [2]
    asked.append(0)
    with pytest.raises(BudgetError):
        ledger.register("slower", gaussian(4.0))  # 0.88 with what runs, 1.2 with the faster one
    assert [one.purpose for one in ledger.registered()] == ["running", "one", "faster"]


CHARGER = """
import sys
from pathlib import Path
from privacy.dp.ledger import Ledger
ledger = Ledger.open(Path(sys.argv[1]), subject=sys.argv[2])
while True:
    print(ledger.charge(sys.argv[3]), flush=True)
"""


def test_killed_runs_have_paid(ledger: Ledger) -> None:
    one = ledger.register("training", gaussian(steps=100_000, noise=5000.0))
    command = [sys.executable, "-c", CHARGER, str(ledger.path), SUBJECT, one]
    seen = 0
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for _ in range(5):
            seen = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        (found,) = Ledger.open(ledger.path, subject=SUBJECT).registered()
        assert found.taken >= seen, "what may have been taken is charged"
    assert ledger.charge(one) == found.taken + 1, "and the next run goes on behind it"


def test_two_runs_of_one_mechanism_share_its_steps(ledger: Ledger) -> None:
    one = ledger.register("training", gaussian(99.0, steps=40))

    def run(_: int) -> list[int]:
        mine = Ledger.open(ledger.path, subject=SUBJECT)
        return [mine.charge(one) for _ in range(20)]

    with ThreadPoolExecutor(2) as pool:
        steps = [step for part in pool.map(run, range(2)) for step in part]
    assert sorted(steps) == list(range(1, 41))
    with pytest.raises(BudgetError):
        ledger.charge(one)


def edit(path: Path, statement: str) -> None:
    database = sqlite3.connect(path)
    database.execute(statement)
    database.commit()
    database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET body = replace(body, '\"steps\": 1', '\"steps\": 9')",
        "UPDATE entries SET body = replace(body, '1.0', '8.0') WHERE number = 1",
        "DELETE FROM entries WHERE number = 3",
    ],
)
def test_edited_ledgers_are_refused(ledger: Ledger, statement: str) -> None:
    one = ledger.register("training", gaussian(steps=10))
    ledger.charge(one)
    ledger.charge(one)
    edit(ledger.path, statement)
    with pytest.raises(LedgerError, match="edited or damaged at entry"):
        Ledger.open(ledger.path, subject=SUBJECT)


def test_a_record_finds_a_ledger_that_was_cut(ledger: Ledger) -> None:
    one = ledger.register("training", gaussian(steps=3))
    ledger.charge(one)
    head = ledger.head
    edit(ledger.path, "DELETE FROM entries WHERE number > 2")
    with pytest.raises(LedgerError, match="cut, written anew"):
        Ledger.open(ledger.path, subject=SUBJECT).check_head(head)


def test_missing_foreign_and_broken_ledgers(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="There is no ledger"):
        Ledger.open(tmp_path / "none", subject=SUBJECT)
    with pytest.raises(LedgerError, match="other patients"):
        Ledger.open(ledger.path, subject="sha256:" + "6" * 64)
    with pytest.raises(LedgerError, match="never replaced"):
        Ledger.create(ledger.path, subject=SUBJECT, cap=CAP)
    with pytest.raises(LedgerError, match="belongs to another one"):
        ledger.charge("f" * 16)


def test_a_ledger_without_salt_is_refused(tmp_path: Path) -> None:
    """The chain holds, but a digest without salt would let anybody try out who is in the data."""
    first = {"kind": "open", "schema": "bussynth-ledger/1", "subject": SUBJECT, "cap": {}}
    body = json.dumps(first)
    database = sqlite3.connect(tmp_path / "l")
    database.execute("CREATE TABLE entries (number INTEGER PRIMARY KEY, body, digest)")
    digest = hashlib.sha256(f"{'0' * 64}\n{body}".encode()).hexdigest()
    database.execute("INSERT INTO entries VALUES (1, ?, ?)", (body, digest))
    database.commit()
    database.close()
    with pytest.raises(LedgerError, match="no salt"):
        Ledger.open(tmp_path / "l", subject=SUBJECT)


def test_a_newer_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "SCHEMA", "bussynth-ledger/9")
        Ledger.create(tmp_path / "l", subject=SUBJECT, cap=CAP)
    with pytest.raises(LedgerError, match="bussynth-ledger/9"):
        Ledger.open(tmp_path / "l", subject=SUBJECT)


def test_the_cap_stays(ledger: Ledger, tmp_path: Path) -> None:
    same = Ledger.create_or_open(ledger.path, subject=SUBJECT, cap=CAP)
    assert same.head == ledger.head
    with pytest.raises(LedgerError, match="stays so"):
        Ledger.create_or_open(ledger.path, subject=SUBJECT, cap=replace(CAP, epsilon=2.0))
    (tmp_path / "file").touch()
    with pytest.raises(LedgerError, match="cannot be made"):
        Ledger.create_or_open(tmp_path / "file" / "ledger", subject=SUBJECT, cap=CAP)


def test_caps_out_of_range() -> None:
    for epsilon_, delta, patients in ((0.0, 1e-4, 600), (8.0, 0.1, 600), (float("inf"), 1e-4, 600)):
        with pytest.raises(DPInputError):
            Cap(epsilon=epsilon_, delta=delta, patients=patients)


def test_a_dump_tells_all_that_was_done(ledger: Ledger) -> None:
    one = ledger.register("training", gaussian(steps=5))
    ledger.charge(one)
    dump = json.loads(json.dumps(ledger.to_dict()))
    assert dump["cap"] == {"epsilon": 1.0, "delta": 1e-4, "patients": 600}
    (found,) = dump["mechanisms"]
    assert (found["steps"], found["taken"], found["begun"], found["closed"]) == (5, 1, True, False)
    assert dump["spent"]["epsilon"] == ledger.spent().epsilon
    assert dump["head"] == ledger.head
