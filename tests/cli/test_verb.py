"""The machinery that turns a function and a configuration into a command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from bussynth.cli import verb as machinery
from bussynth.cli.verb import Outcome, Run, verb
from bussynth.config import Config, option
from bussynth.errors import AuditGateError, DataError, IntegrityError, UsageError
from bussynth.progress import Progress

CANARY = "ZZCANARY^JANE"


@dataclass(frozen=True, kw_only=True)
class SampleConfig(Config):
    size: int = option(64, "Edge.", min=8)
    names: tuple[str, ...] = option(("x",), "Names.")
    fixed: dict[str, str] = option({}, "Fixed.", flags=("--fix",))
    deep: bool = option(False, "Deep.")


@pytest.fixture
def call(monkeypatch) -> Callable[..., Any]:
    """Run a body as the verb ``sample`` and return the result of the runner."""
    monkeypatch.setattr(machinery, "VERBS", {})

    def run(body: Callable[..., Outcome], *arguments: str) -> Any:
        @verb("sample", config=SampleConfig, dry_run=True, force=True, speed=["workers"])
        def sample(
            out: Annotated[Path, typer.Argument(help="Out.")], config: SampleConfig, run: Run
        ) -> Outcome:
            """Sample."""
            return body(out, config, run)

        app = typer.Typer(pretty_exceptions_enable=False)
        app.command("sample")(machinery.VERBS["sample"][0])
        return CliRunner().invoke(app, ["out", *arguments])

    return run


def echo(out: Path, config: SampleConfig, run: Run) -> Outcome:
    data = {"out": str(out), **config.to_dict(), "workers": run.options.workers}
    return Outcome(data=data | {"dry": run.dry_run, "force": run.force}, text="done")


def test_flags_win_over_the_file_and_the_file_over_defaults(call, tmp_path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('[sample]\nsize = 32\nnames = ["a", "b"]\n')
    result = call(echo, "--config", str(file), "--size", "16", "--json", "--deep", "--workers", "2")
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    assert answer["status"] == "ok"
    assert answer["result"]["size"] == 16
    assert answer["result"]["names"] == ["a", "b"]
    assert answer["result"]["deep"] is True
    assert answer["result"]["workers"] == 2


def test_lists_and_pairs_come_from_repeated_flags(call) -> None:
    result = call(echo, "--names", "u", "--names", "v", "--fix", "a=b=c", "--json")
    assert json.loads(result.stdout)["result"]["names"] == ["u", "v"]
    assert json.loads(result.stdout)["result"]["fixed"] == {"a": "b=c"}
    wrong = call(echo, "--fix", "nothing")
    assert wrong.exit_code == 2
    assert "--fix 'nothing'" in wrong.stderr


def test_text_goes_to_stdout_and_nothing_else_does(call) -> None:
    assert call(echo).stdout == "done\n"


def test_unknown_key_in_the_file_is_an_error_with_a_suggestion(call, tmp_path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[sample]\nsise = 32\n")
    result = call(echo, "--config", str(file))
    assert result.exit_code == 2
    assert 'did you mean "size"' in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("u"), 2),
        (DataError("d", ["row 1: bad"]), 3),
        (AuditGateError("a"), 4),
        (IntegrityError("i"), 5),
        (OSError(28, "No space left on device", CANARY), 3),
        (KeyboardInterrupt(), 130),
        (RuntimeError(f"cannot parse {CANARY}"), 1),
    ],
)
def test_exit_codes_without_traceback_or_data(call, error: BaseException, code: int) -> None:
    patient_name = CANARY

    def fail(*_: object) -> Outcome:
        if patient_name:
            raise error
        raise AssertionError

    for arguments in ([], ["--json"]):
        result = call(fail, *arguments)
        assert result.exit_code == code
        assert "Traceback" not in result.output
        assert CANARY not in result.output
    if code != 130:
        answer = json.loads(result.stdout)
        assert answer["exit_code"] == code
        assert answer["status"] == "error"
        assert set(answer["error"]) == {"type", "message", "problems"}


def test_an_outcome_may_refuse(call) -> None:
    refused = Outcome(data={}, text="FAIL", exit_code=4)
    result = call(lambda *_: refused, "--json")
    assert result.exit_code == 4
    assert json.loads(result.stdout)["status"] == "refused"


def test_control_characters_do_not_reach_the_terminal(call) -> None:
    result = call(lambda *_: Outcome(data={}, text="a\x1b[31mb\nc"))
    assert "\x1b" not in result.stdout
    assert "b\nc" in result.stdout


@pytest.mark.parametrize(
    ("size", "rank", "speaks"), [("2", "0", True), ("2", "1", False), ("1", "1", True)]
)
def test_of_several_processes_the_first_one_speaks(
    call, monkeypatch: pytest.MonkeyPatch, size: str, rank: str, speaks: bool
) -> None:
    monkeypatch.setenv("WORLD_SIZE", size)
    monkeypatch.setenv("RANK", rank)
    seen = []

    def body(out: Path, config: SampleConfig, run: Run) -> Outcome:
        seen.append(type(run.progress) is Progress)  # the silent one
        return Outcome(data={}, text="done", notes=("mind this",))

    result = call(body)
    assert result.exit_code == 0
    assert (result.stdout, "mind this" in result.stderr) == (
        ("done\n", True) if speaks else ("", False)
    )
    assert seen == [not speaks]
    assert bool(call(body, "--json").stdout) is speaks

    def fail(*_: object) -> Outcome:
        raise DataError("refused")

    for flags in ([], ["--json"]):
        result = call(fail, *flags)
        assert result.exit_code == 3
        assert "refused" in result.stderr
        assert bool(result.stdout) is (speaks and bool(flags))
