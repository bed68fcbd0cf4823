from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from privacy.dp.accounting import epsilon
from privacy.dp.errors import BudgetError, DPInputError, LedgerError
from privacy.dp.ledger import Cap, Ledger
from privacy.dp.mechanism import SampledGaussian

CAP = Cap(epsilon=8.0, delta=1e-4, patients=600)
SUBJECT = "sha256:" + "5" * 64


def gaussian(noise: float = 4.0, rate: float = 0.1, steps: int = 100) -> SampledGaussian:
    return SampledGaussian(noise_multiplier=noise, sampling_rate=rate, steps=steps)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger.create(tmp_path / "ledger.sqlite", subject=SUBJECT, cap=CAP)


def edit(path: Path, statement: str) -> None:
    database = sqlite3.connect(path)
    database.execute(statement)
    database.commit()
    database.close()


def test_what_is_charged_is_spent(ledger: Ledger) -> None:
    assert ledger.spent().epsilon == 0
    one = ledger.register("training", gaussian(), {"clip_norm": 1.0})
    assert [ledger.charge(one) for _ in range(3)] == [1, 2, 3]
    again = Ledger.open(ledger.path, subject=SUBJECT)
    assert again.spent() == epsilon([gaussian(steps=3)], CAP.delta)
    (found,) = again.registered()
    assert (found.taken, found.closed, found.purpose) == (3, False, "training")
    assert found.public == {"clip_norm": 1.0}
    assert again.cap == CAP
    assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o600
    assert [path.name for path in ledger.path.parent.iterdir()] == ["ledger.sqlite"]


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


def test_the_cap_holds_over_what_is_reserved(ledger: Ledger) -> None:
    first = ledger.register("one", gaussian(1.6, 0.2))  # an epsilon of about 6, and 9 for two
    before = ledger.head
    with pytest.raises(BudgetError, match=r"cap of these patients is 8") as caught:
        ledger.register("two", gaussian(1.6, 0.2))
    assert "bring epsilon from" in str(caught.value)
    assert ledger.head == before, "a refusal writes nothing"
    ledger.charge(first)
    ledger.close(first)  # 99 steps are given back
    ledger.register("two", gaussian(1.6, 0.2))


def test_several_at_once_stay_within_the_cap(ledger: Ledger) -> None:
    one = gaussian(2.0, 0.2)  # 4.3 alone, 6.4 two, 8.2 three

    def attempt(_: int) -> bool:
        try:
            Ledger.open(ledger.path, subject=SUBJECT).register("one of many", one)
        except BudgetError:
            return False
        return True

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(attempt, range(4))) == 2
    reserved = [found.reserved for found in ledger.registered()]
    assert epsilon(reserved, CAP.delta).epsilon <= CAP.epsilon
    assert epsilon([*reserved, one], CAP.delta).epsilon > CAP.epsilon


CHARGER = """
import sys
from pathlib import Path
from privacy.dp.ledger import Ledger
ledger = Ledger.open(Path(sys.argv[1]), subject=sys.argv[2])
while True:
    print(ledger.charge(sys.argv[3]), flush=True)
"""


def test_killed_runs_have_paid(ledger: Ledger) -> None:
    one = ledger.register("training", gaussian(steps=100_000, noise=100.0))
    command = [sys.executable, "-c", CHARGER, str(ledger.path), SUBJECT, one]
    seen = 0
    for _ in range(3):
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
    one = ledger.register("training", gaussian(steps=40))

    def run(_: int) -> list[int]:
        mine = Ledger.open(ledger.path, subject=SUBJECT)
        return [mine.charge(one) for _ in range(20)]

    with ThreadPoolExecutor(2) as pool:
        steps = [step for part in pool.map(run, range(2)) for step in part]
    assert sorted(steps) == list(range(1, 41))
    with pytest.raises(BudgetError):
        ledger.charge(one)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET body = replace(body, '\"steps\": 100', '\"steps\": 900')",
        "UPDATE entries SET body = replace(body, '8.0', '80.0') WHERE number = 1",
        "DELETE FROM entries WHERE number = 3",
        "UPDATE entries SET number = 9 WHERE number = 4",
        "UPDATE entries SET digest = upper(digest) WHERE number = 2",
        "UPDATE entries SET body = x'00' WHERE number = 2",
    ],
)
def test_edited_ledgers_are_refused(ledger: Ledger, statement: str) -> None:
    one = ledger.register("training", gaussian())
    ledger.charge(one)
    ledger.charge(one)
    edit(ledger.path, statement)
    with pytest.raises(LedgerError, match="edited or damaged at entry"):
        Ledger.open(ledger.path, subject=SUBJECT)


def test_a_ledger_cut_at_the_end_is_found_by_its_head(ledger: Ledger) -> None:
    one = ledger.register("training", gaussian())
    ledger.charge(one)
    head = ledger.head
    assert re.fullmatch(r"3:[0-9a-f]{64}", head)
    ledger.charge(one)
    ledger.check_head(head)
    late = ledger.head
    edit(ledger.path, "DELETE FROM entries WHERE number > 3")
    cut = Ledger.open(ledger.path, subject=SUBJECT)
    cut.check_head(head)
    with pytest.raises(LedgerError, match="cut, written anew"):
        cut.check_head(late)
    with pytest.raises(LedgerError, match="edited or damaged"):
        ledger.charge(one)  # an open one notices as well
    other = Ledger.create(ledger.path.parent / "other.sqlite", subject=SUBJECT, cap=CAP)
    with pytest.raises(LedgerError, match="written anew"):
        other.check_head(head)


def test_missing_foreign_and_broken_ledgers(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="There is no ledger"):
        Ledger.open(tmp_path / "none", subject=SUBJECT)
    with pytest.raises(LedgerError, match="other patients"):
        Ledger.open(ledger.path, subject="sha256:" + "6" * 64)
    with pytest.raises(LedgerError, match="never replaced"):
        Ledger.create(ledger.path, subject=SUBJECT, cap=CAP)
    (tmp_path / "text").write_text("no database")
    (tmp_path / "empty").touch()
    for name in ("text", "empty"):
        with pytest.raises(LedgerError):
            Ledger.open(tmp_path / name, subject=SUBJECT)
    with pytest.raises(LedgerError, match="belongs to another one"):
        ledger.charge("f" * 16)


def test_a_newer_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("privacy.dp.ledger.SCHEMA", "bussynth-ledger/9")
        Ledger.create(tmp_path / "l", subject=SUBJECT, cap=CAP)
    with pytest.raises(LedgerError, match="bussynth-ledger/9"):
        Ledger.open(tmp_path / "l", subject=SUBJECT)


def test_the_cap_stays(ledger: Ledger) -> None:
    same = Ledger.create_or_open(ledger.path, subject=SUBJECT, cap=CAP)
    assert same.head == ledger.head
    with pytest.raises(LedgerError, match="stays so"):
        Ledger.create_or_open(
            ledger.path, subject=SUBJECT, cap=Cap(epsilon=9.0, delta=1e-4, patients=600)
        )


def test_caps_out_of_range() -> None:
    for epsilon_, delta, patients in ((0.0, 1e-4, 600), (8.0, 0.1, 600), (float("inf"), 1e-4, 600)):
        with pytest.raises(DPInputError):
            Cap(epsilon=epsilon_, delta=delta, patients=patients)


def test_a_dump_tells_all_that_was_done(ledger: Ledger) -> None:
    one = ledger.register("training", gaussian())
    ledger.charge(one)
    dump = json.loads(json.dumps(ledger.to_dict()))
    assert dump["cap"] == {"epsilon": 8.0, "delta": 1e-4, "patients": 600}
    assert dump["mechanisms"][0]["taken"] == 1
    assert dump["spent"]["epsilon"] == ledger.spent().epsilon
    assert dump["head"] == ledger.head


def test_a_locked_ledger_stops_the_run(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    one = ledger.register("training", gaussian())
    monkeypatch.setattr("privacy.dp.ledger._WAIT_SECONDS", 0.05)
    database = sqlite3.connect(ledger.path, isolation_level=None)
    database.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerError, match="nothing may be computed"):
        ledger.charge(one)
    database.close()
    assert ledger.charge(one) == 1


def test_read_only_ledgers_stop_the_run(ledger: Ledger) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    one = ledger.register("training", gaussian())
    ledger.path.chmod(0o400)
    with pytest.raises(LedgerError):
        ledger.charge(one)
