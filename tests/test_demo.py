from __future__ import annotations

from pathlib import Path

import pytest

from bussynth.config import RunOptions
from bussynth.demo import run_demo
from bussynth.demo_config import DemoConfig
from bussynth.errors import AuditGateError, UsageError


def test_a_demo_too_small_to_conclude_keeps_its_report(tmp_path: Path) -> None:
    said: list[str] = []
    config = DemoConfig(patients=40, minutes=0.01, n=16)
    with pytest.raises(AuditGateError, match=r"report\.html") as caught:
        run_demo(tmp_path / "demo", config, options=RunOptions(), say=said.append)
    assert any("control patients" in problem for problem in caught.value.problems)
    assert (tmp_path / "demo" / "audit" / "report.html").is_file()
    assert (tmp_path / "demo" / "samples.png").is_file()
    assert not (tmp_path / "demo" / "package").exists()
    assert [line.split()[0] for line in said] == ["1/8", "2/8", "3/8", "4/8", "5/8"]
    with pytest.raises(UsageError, match="--force"):
        run_demo(tmp_path / "demo", config, options=RunOptions())


def test_force_replaces_a_demo_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="no earlier output"):
        run_demo(tmp_path, DemoConfig(), options=RunOptions(), force=True)
    assert (tmp_path / "thesis.tex").exists()
