from __future__ import annotations

import sys

import pytest

from bussynth.cli import console


def work(progress: console.Progress) -> None:
    with progress.task("Training", total=None, done=4) as task:
        task.advance(2, loss=0.5)
        task.expect(8)
        task.advance(2)


def test_lines_for_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    work(console.console_progress(quiet=False))
    said = capsys.readouterr()
    assert said.out == ""
    assert "Training: 8/8 images" in said.err
    assert "loss=0.5" in said.err


def test_bars_for_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    work(console.console_progress(quiet=False))
    said = capsys.readouterr()
    assert said.out == ""
    assert "100%" in said.err


def test_silence(capsys: pytest.CaptureFixture[str]) -> None:
    work(console.console_progress(quiet=True))
    assert capsys.readouterr() == ("", "")
