from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bussynth.cli import app

Marks = Callable[..., Path]


def invoke(*arguments: object) -> Any:
    return CliRunner().invoke(app.app, ["review", *map(str, arguments), "--json", "--quiet"])


def answer(*arguments: object) -> dict[str, Any]:
    done = invoke(*arguments)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["result"]


def test_from_pages_to_a_clean_cohort(cohort: Path, marks: Marks, tmp_path: Path) -> None:
    assert answer(cohort, "--dry-run")["images"] == 8
    assert not (cohort / "review" / "pages").exists()
    assert answer(cohort, "--per-page", 5)["pages"] == 2
    assert answer(cohort, "--status")["state"] == "none"
    file = marks(cohort, rejected=["row-0004"])
    recorded = answer(cohort, "--record", file, "--reviewer", "A")
    assert (recorded["complete"], recorded["files"]) == (True, [f"{4:032x}"])
    assert answer(cohort, "--status")["state"] == "rejected-left"
    clean = tmp_path / "clean"
    assert answer(cohort, "--drop-rejected", clean)["approval"]["images"] == 7
    assert answer(clean, "--status")["state"] == "approved"


@pytest.mark.parametrize(
    "flags",
    [
        ["--reviewer", "A"],
        ["--record", "m.json"],
        ["--status", "--drop-rejected", "x"],
        ["--status", "--out", "x"],
        ["--status", "--dry-run"],
        ["--per-page", 0],
    ],
)
def test_flags_that_contradict_each_other(cohort: Path, flags: list[object]) -> None:
    assert invoke(cohort, *flags).exit_code == 2
