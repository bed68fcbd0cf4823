"""``bussynth evaluate`` from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from bussynth.cli import app
from bussynth.cohort import Cohort

QUICK = ("--steps", 2, "--members", 1, "--resamples", 20, "--no-fidelity", "--columns", "device")


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app.app, ["evaluate", *map(str, arguments)])


def test_table_and_json(tmp_path: Path, real: Cohort, synthetic: Cohort) -> None:
    base = (synthetic.path, "--real", real.path, "--out", tmp_path / "out")
    dry = call(*base, *QUICK, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "device, lesion box" in dry.stderr
    assert not (tmp_path / "out").exists()
    done = call(*base, *QUICK, "--quiet")
    assert done.exit_code == 0, done.output
    assert "lesion box: mean IoU" in done.stdout
    assert "formal-dp" in done.stdout
    assert call(*base, *QUICK).exit_code == 2
    again = call(*base, *QUICK, "--force", "--json")
    result = json.loads(again.stdout)["result"]
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert {key: result[key] for key in written} == written


def test_refusals_are_clear(tmp_path: Path, real: Cohort, synthetic: Cohort) -> None:
    swapped = call(real.path, "--real", synthetic.path, "--out", tmp_path / "out", *QUICK)
    assert swapped.exit_code == 3
    assert "are the arguments swapped" in swapped.stderr
    typo = call(
        synthetic.path, "--real", real.path, "--out", tmp_path / "out", "--columns", "devise"
    )
    assert typo.exit_code == 2
    assert "did you mean" in typo.stderr
    absent = call(tmp_path / "no", "--real", real.path, "--out", tmp_path / "out")
    assert absent.exit_code == 3
    assert list(tmp_path.iterdir()) == []
