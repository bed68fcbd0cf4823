from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bussynth.auditing.ledger import LEDGER_FILE, LedgerEntry, append_entry, read_ledger

AUDIT = LedgerEntry(
    kind="audit", time="", settings="sha256:s", train="sha256:t", control="sha256:c",
    synthetic="sha256:x", images=3, generator=None, verdict="FAIL",
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of three audits."""
    place = tmp_path / LEDGER_FILE
    for images in (1, 2, 3):
        append_entry(place, replace(AUDIT, images=images))
    return place


def test_lines_follow_each_other(path: Path) -> None:
    state = read_ledger(path)
    assert [entry.images for entry in state.entries] == [1, 2, 3]
    assert state.problems == ()
    before, written = append_entry(path, AUDIT)
    assert before == state
    assert written == read_ledger(path).entries[-1]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["previous"] == "0" * 64
    assert len({line["sha256"] for line in lines}) == 4
    assert written.time.endswith("Z")


def test_no_ledger_is_an_empty_one(tmp_path: Path) -> None:
    state = read_ledger(tmp_path / "absent")
    assert (state.entries, state.problems) == ((), ())
    (tmp_path / "empty").touch()
    assert read_ledger(tmp_path / "empty").problems == ()
    assert append_entry(tmp_path / "empty", AUDIT)[0].entries == ()
    assert read_ledger(tmp_path / "empty").problems == ()


@pytest.mark.parametrize("line", [0, 1, 2])
def test_a_changed_line_is_reported(path: Path, line: int) -> None:
    lines = path.read_text().splitlines()
    lines[line] = lines[line].replace('"FAIL"', '"NO EVIDENCE ABOVE FLOOR"')
    path.write_text("\n".join(lines) + "\n")
    state = read_ledger(path)
    assert len(state.entries) == 3
    assert f"Line {line + 1} of the ledger was changed" in state.problems[0]
    # All but the last are noticed by their successor, too.
    assert len(state.problems) == (1 if line == 2 else 2)


@pytest.mark.parametrize("line", [0, 1])
def test_a_removed_line_is_reported(path: Path, line: int) -> None:
    lines = path.read_text().splitlines()
    del lines[line]
    path.write_text("\n".join(lines) + "\n")
    problems = read_ledger(path).problems
    assert len(problems) == 1
    assert "does not follow" in problems[0]


def test_swapped_lines_are_reported(path: Path) -> None:
    first, second, third = path.read_text().splitlines()
    path.write_text("\n".join((second, first, third)) + "\n")
    assert len(read_ledger(path).problems) == 3


@pytest.mark.parametrize("kept", [1, 40, -2])
def test_a_torn_last_line_is_told_and_survived(path: Path, kept: int) -> None:
    whole = path.read_bytes()
    end = whole.rstrip(b"\n").rindex(b"\n") + 1
    path.write_bytes(whole[:end] + whole[end:][:kept])
    state = read_ledger(path)
    assert [entry.images for entry in state.entries] == [1, 2]
    assert state.problems == (
        "Line 3 of the ledger is torn: an audit was stopped while writing it.",
    )
    append_entry(path, replace(AUDIT, images=9))
    state = read_ledger(path)
    assert [entry.images for entry in state.entries] == [1, 2, 9]
    # One damaged line is one problem: the chain runs over it.
    assert state.problems == ("Line 3 of the ledger cannot be read, so it is not counted.",)


@pytest.mark.parametrize(
    "junk",
    [
        b"\xff\xfe\n", b"null\n", b"[]\n", b"{}\n", b"\n\n", b"[" * 100_000 + b"\n",
        b'{"schema":"bussynth-audit-ledger/9"}\n',
        b'{"schema":"bussynth-audit-ledger/1","kind":5}\n',
    ],
)  # fmt: skip
def test_anything_in_the_file_is_reported_not_raised(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / LEDGER_FILE
    path.write_bytes(junk)
    assert read_ledger(path).entries == ()
    assert "cannot be read" in read_ledger(path).problems[0]
    append_entry(path, AUDIT)
    assert len(read_ledger(path).entries) == 1


def test_places_that_are_no_file(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.touch()
    (tmp_path / "link").symlink_to(real)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", ""):
        with pytest.raises(OSError, match=r".+"):
            append_entry(tmp_path / name, AUDIT)
    for name in ("link", ""):
        assert "cannot be read" in read_ledger(tmp_path / name).problems[0]
    assert real.read_bytes() == b""


def test_a_full_disk_leaves_the_ledger_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        append_entry(path, AUDIT)
    assert path.read_bytes() == before


def test_several_processes_append_at_once(tmp_path: Path) -> None:
    path = tmp_path / LEDGER_FILE
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from bussynth.auditing.ledger import LedgerEntry, append_entry\n"
        "entry = LedgerEntry(kind='audit', time='', settings='s', train='t', control='c',\n"
        "    synthetic='x', images=int(sys.argv[2]), verdict='FAIL')\n"
        "for _ in range(20): append_entry(Path(sys.argv[1]), entry)\n"
    )
    workers = [
        subprocess.Popen([sys.executable, "-c", program, str(path), str(number)])
        for number in range(3)
    ]
    assert [worker.wait(60) for worker in workers] == [0, 0, 0]
    state = read_ledger(path)
    assert state.problems == ()
    assert sorted(entry.images or 0 for entry in state.entries) == sorted([0, 1, 2] * 20)
