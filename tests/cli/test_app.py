"""The command line as a whole."""

from __future__ import annotations

import inspect
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

import bussynth
from bussynth.cli import app
from bussynth.cli.reference import reference
from bussynth.cli.verb import VERBS

DOCS = Path(bussynth.__file__).parent.parent / "docs"


def invoke(*arguments: object):
    return CliRunner().invoke(app.app, [str(argument) for argument in arguments])


def test_every_verb_is_documented_and_in_the_reference() -> None:
    assert set(app.ORDER) == set(VERBS)
    for name, (command, _) in VERBS.items():
        assert f"Example: bussynth {name}" in (inspect.getdoc(command) or ""), name
        assert "--json" in invoke(name, "--help").stdout
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == reference()


def test_unknown_verb_and_missing_argument_are_usage_errors() -> None:
    assert invoke("trian").exit_code == 2
    assert invoke("split").exit_code == 2
    assert invoke("--version").stdout.startswith("bussynth ")


def test_phantom_split_inspect(tmp_path) -> None:
    cohort = tmp_path / "c"
    made = invoke("phantom", cohort, "--patients", 20, "--image-size", 16, "--json")
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["result"]["patients"] == 20
    assert invoke("phantom", cohort, "--patients", 20).exit_code == 2
    assert invoke("phantom", cohort, "--patients", 0, "--force").exit_code == 2
    dry = invoke("split", cohort, "--dry-run")
    assert dry.exit_code == 0
    assert "200" in dry.stderr
    assert invoke("split", cohort, "--seed", 1, "--quiet").exit_code == 0
    assert invoke("split", cohort).exit_code == 2
    seen = invoke("inspect", cohort, "--grid", tmp_path / "grid.png", "--json")
    assert json.loads(seen.stdout)["result"]["patients"] == 20
    assert (tmp_path / "grid.png").read_bytes()[:4] == b"\x89PNG"
    assert invoke("inspect", tmp_path).exit_code == 3


def test_dry_runs_write_nothing(tmp_path) -> None:
    assert invoke("phantom", tmp_path / "c", "--dry-run").exit_code == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["split", "train", "inspect", "verify", "audit", "generate"])
def test_missing_inputs_are_clear_errors(verb: str, tmp_path) -> None:
    absent = tmp_path / "absent"
    extra = {
        "train": ["--out", tmp_path / "m"],
        "verify": ["--trust", absent],
        "audit": ["--real", absent, "--out", tmp_path / "a"],
        "generate": ["--out", tmp_path / "s"],
    }.get(verb, [])
    result = invoke(verb, absent, *extra)
    assert result.exit_code in (2, 3, 5), result.output
    assert "Error: " in result.stderr
    assert "bug" not in result.stderr


def test_interrupt_leaves_no_cohort(tmp_path) -> None:
    cohort = tmp_path / "c"
    process = subprocess.Popen(
        [sys.executable, "-m", "bussynth", "phantom", str(cohort), "--patients", "200000"],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".c.partial-*/data/*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert list(tmp_path.iterdir()) == []


def test_no_output_overwrites_a_record(tmp_path) -> None:
    assert invoke("phantom", tmp_path / "c", "--patients", 2, "--image-size", 16).exit_code == 0
    record = tmp_path / "c" / "cohort.json"
    before = record.read_bytes()
    assert invoke("inspect", tmp_path / "c", "--grid", record, "--force").exit_code == 2
    assert invoke("report", record, "--out", record, "--force").exit_code == 2
    assert record.read_bytes() == before


def test_inspecting_models_in_the_box_and_adapters(tmp_path) -> None:
    seen = json.loads(invoke("inspect", "builtin:phantom-64", "--json").stdout)["result"]
    assert (seen["what"], seen["training"]["cohort"]["kind"]) == ("model", "phantom")
    assert invoke("inspect", "builtin:phantom-46").exit_code == 2
    (tmp_path / "adapter.json").write_text('{"rank": 8}')
    seen = json.loads(invoke("inspect", tmp_path, "--json").stdout)["result"]
    assert seen == {"what": "adapter", "rank": 8}


def test_inspecting_a_damaged_or_unfinished_model(tmp_path) -> None:
    (tmp_path / "training.json").write_text("{}")
    unfinished = invoke("inspect", tmp_path)
    assert unfinished.exit_code == 3
    assert "unfinished" in unfinished.stderr
    for text in ("[]", "{"):
        (tmp_path / "model.json").write_text(text)
        assert invoke("inspect", tmp_path).exit_code == 5
