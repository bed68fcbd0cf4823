"""Both verbs from outside: what they refuse, and what they say."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import bussynth.cli.deidentify
import bussynth.cli.ingest  # noqa: F401  (registers the verbs)
from bussynth.cli.verb import VERBS

CANARY = "ZZCANARY"


def call(verb: str, *arguments: object, code: int = 0) -> tuple[dict[str, Any], str]:
    """Run a verb in this process; return its answer and what it said on stderr."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command(verb)(VERBS[verb][0])
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"])
    assert result.exit_code == code, result.output
    assert CANARY not in result.output
    assert "bug in bussynth" not in result.output
    answer = json.loads(result.stdout)  # one object and nothing else
    assert set(answer) - {"result", "error"} == {"schema", "verb", "status", "exit_code"}
    return dict(answer.get("result") or answer["error"]), result.stderr


REFUSED: dict[str, tuple[list[str], int, str]] = {
    "no source": (["{root}/nothing", "{root}/new"], 2, "not a folder"),
    "a file": (["{root}/source/1", "{root}/new"], 2, "is a file"),
    "an archive": (["{root}/a.zip", "{root}/new"], 2, "archive"),
    "output in source": (["{root}/source", "{root}/source/out"], 2, "inside"),
    "output taken": (["{root}/source", "{root}/taken"], 2, "exists"),
    "output is a file": (["{root}/source", "{root}/a.zip"], 2, "is a file"),
    "output in a file": (["{root}/source", "{root}/a.zip/out"], 2, "not a folder"),
    "key in output": (
        ["{root}/source", "{root}/new", "--site-key", "{root}/new/site.key"],
        2,
        "site key",
    ),
    "no key": (["{root}/source", "{root}/new", "--site-key", "{root}/a.zip"], 2, "site key"),
    "link in output": (
        ["{root}/source", "{root}/new", "--link", "{root}/new/link.csv"],
        2,
        "link file",
    ),
    "link in source": (
        ["{root}/source", "{root}/new", "--link", "{root}/source/link.csv"],
        2,
        "link file",
    ),
    "link is the table": (["{root}/source", "{root}/new", "--link", "{root}/a.zip"], 2, "taken"),
    "link in a file": (
        ["{root}/source", "{root}/new", "--link", "{root}/a.zip/link.csv"],
        2,
        "cannot be written",
    ),
    "link is the key": (
        ["{root}/source", "{root}/new", "--site-key", "{root}/k", "--link", "{root}/k"],
        2,
        "site key",
    ),
    "link in another output": (
        ["{root}/source", "{root}/new", "--link", "{root}/earlier/link.csv"],
        2,
        "another output",
    ),
    "key in another output": (
        ["{root}/source", "{root}/new", "--site-key", "{root}/earlier/files/site.key"],
        2,
        "site key",
    ),
    "key in source": (
        ["{root}/source", "{root}/new", "--site-key", "{root}/source/site.key"],
        2,
        "site key",
    ),
    "link is a folder": (["{root}/source", "{root}/new", "--link", "{root}/taken"], 2, "link"),
    "rules missing": (
        ["{root}/source", "{root}/new", "--site-rules", "{root}/none.toml"],
        2,
        "site rules",
    ),
    "key frames": (["{root}/source", "{root}/new", "--frames", "key"], 2, "--most-frames"),
    "nowhere": (["{root}/source", "/proc/nowhere/out"], 3, "written"),
}


@pytest.mark.parametrize(
    ("verb", "dry"), [("deidentify", True), ("deidentify", False), ("ingest", True)]
)
@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_start_is_said_before_any_work(
    hospital: Any, inline: None, verb: str, name: str, dry: bool
) -> None:
    words, code, match = REFUSED[name]
    if name == "key frames" and verb == "ingest":
        pytest.skip("there it has a default")
    if name == "nowhere" and (dry or sys.platform != "linux"):
        pytest.skip("shows only when it is tried, and on Linux")
    hospital.add("1", number=1)
    hospital.add(f"{CANARY}/2", number=2)
    (hospital.root / "a.zip").write_bytes(b"PK\x03\x04" + bytes(40))
    (hospital.root / "taken").mkdir()
    (hospital.root / "taken" / "mine.txt").write_text("x")
    (hospital.root / "earlier").mkdir()
    (hospital.root / "earlier" / "deidentification.json").write_text("{}")
    (hospital.root / "map.toml").write_text(
        '[dicom]\n[conditions]\npathology = { constant = "benign" }\ndevice = { constant = "x" }\n'
    )
    arguments = [word.format(root=hospital.root) for word in words]
    if "--site-key" not in arguments:
        arguments += ["--site-key", str(hospital.key)]
    if verb == "ingest":
        arguments += ["--map", str(hospital.root / "map.toml")]
    before = {path for path in hospital.root.rglob("*") if path != hospital.key}
    arguments += ["--text-engine", "none", *(["--dry-run"] if dry else [])]
    error, _ = call(verb, *arguments, code=code)
    assert match in " ".join([error["message"], *error["problems"]])
    after = {path for path in hospital.root.rglob("*") if path != hospital.key}
    assert after - before <= {hospital.key.parent}
    assert not dry or not hospital.key.exists()


def test_source_in_output(hospital: Any, inline: None) -> None:
    hospital.add("1", number=1)
    out = hospital.root
    call("deidentify", hospital.src, out, "--text-engine", "none", "--force", code=2)
    assert hospital.src.joinpath("1").exists()


@pytest.mark.parametrize("verb", ["deidentify", "ingest"])
def test_a_dry_run_writes_nothing(hospital: Any, verb: str) -> None:
    hospital.add("1", number=1)
    (hospital.root / "map.toml").write_text(
        '[dicom]\n[conditions]\npathology = { constant = "benign" }\n'
        'device = { from = "equipment" }\n'
    )
    before = set(hospital.root.rglob("*"))
    arguments = [hospital.src, hospital.root / "out", "--site-key", hospital.key, "--dry-run"]
    arguments += ["--map", hospital.root / "map.toml"] if verb == "ingest" else []
    call(verb, *arguments, "--text-engine", "none")
    assert set(hospital.root.rglob("*")) == before


@pytest.mark.parametrize(
    ("table", "match"),
    [(None, "--table"), ("none.csv", "cannot be read"), ("bad.csv", "no column 'sop'")],
)
def test_a_table_that_does_not_fit_is_found_before_a_key_is_drawn(
    hospital: Any, table: str | None, match: str
) -> None:
    hospital.add("1", number=1)
    (hospital.root / "bad.csv").write_text(f"{CANARY},dx\n{CANARY},benign\n")
    (hospital.root / "map.toml").write_text(
        '[dicom]\nkey = "SOPInstanceUID"\ncolumn = "sop"\n[conditions]\n'
        'pathology = { column = "dx" }\ndevice = { from = "equipment" }\n'
    )
    arguments = [hospital.src, hospital.root / "out", "--map", hospital.root / "map.toml"]
    arguments += ["--site-key", hospital.key, "--text-engine", "none"]
    arguments += [] if table is None else ["--table", hospital.root / table]
    for dry in ([], ["--dry-run"]):
        error, _ = call("ingest", *arguments, *dry, code=2 if table is None else 3)
        assert match in " ".join([error["message"], *error["problems"]])
    assert not hospital.key.exists()


def test_no_flag_is_left_out_that_is_never_found(hospital: Any) -> None:
    hospital.add("1", number=1)
    (hospital.root / "map.toml").write_text(
        '[dicom]\n[conditions]\npathology = { constant = "benign" }\ndevice = { constant = "x" }\n'
    )
    arguments = [hospital.src, hospital.root / "out", "--map", hospital.root / "map.toml"]
    arguments += ["--site-key", hospital.key, "--text-engine", "none", "--leave-out", "shadow"]
    error, _ = call("ingest", *arguments, code=2)
    assert "no flag 'shadow'" in " ".join(error["problems"])


def test_an_engine_that_is_not_there_is_missed_at_once(
    hospital: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital.add("1", number=1)
    monkeypatch.setattr("privacy.deidentify.text.available", lambda: ("strokes", "none"))
    arguments = [hospital.src, hospital.root / "out", "--site-key", hospital.key, "--dry-run"]
    for engine, match in (("auto", "No text engine"), ("letters+rapidocr", "rapidocr")):
        error, _ = call("deidentify", *arguments, "--text-engine", engine, code=2)
        assert match in error["message"]


def test_n114_n115_no_control_character_reaches_the_terminal(hospital: Any, inline: None) -> None:
    hospital.add("\x1b[31m\nError: all is well", number=1, PatientName="\x1b]0;x\x07\nError: fine")
    out = hospital.root / "o\x1b[2Jut"
    _, spoken = call("deidentify", hospital.src, out, "--text-engine", "none", "--quiet")
    assert "\x1b" not in spoken
    assert "all is well" not in spoken
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("deidentify")(VERBS["deidentify"][0])
    arguments = [str(hospital.src), str(out), "--text-engine", "none", "--force"]
    result = CliRunner().invoke(app, [*arguments, "--site-key", str(hospital.key)])
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert not any(line.startswith("Error") for line in result.output.splitlines())
