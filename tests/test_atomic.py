from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from bussynth import atomic
from bussynth.errors import DataError, UsageError


def test_directory_appears_only_when_whole(tmp_path) -> None:
    with atomic.new_directory(tmp_path / "out") as staging:
        (staging / "cohort.json").write_text("{}")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "cohort.json").read_text() == "{}"
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_exception_leaves_nothing(tmp_path) -> None:
    def fail() -> None:
        with atomic.new_directory(tmp_path / "out") as staging:
            (staging / "x").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_existing_output_needs_force_and_must_be_ours(tmp_path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("years of work")
    for force in (False, True):
        with pytest.raises(UsageError), atomic.new_directory(out, force=force):
            pass
    assert (out / "thesis.tex").exists()
    (out / "cohort.json").write_text("old")
    with pytest.raises(UsageError, match="--force"), atomic.new_directory(out):
        pass
    with atomic.new_directory(out, force=True) as staging:
        (staging / "cohort.json").write_text("new")
    assert sorted(path.name for path in out.iterdir()) == ["cohort.json"]
    assert (out / "cohort.json").read_text() == "new"


def test_replacement_without_help_of_the_kernel(tmp_path, monkeypatch) -> None:
    out = tmp_path / "out"
    for exchange in (atomic._exchange, lambda *_: False):
        monkeypatch.setattr(atomic, "_exchange", exchange)
        for content in ("old", "new"):
            with atomic.new_directory(out, force=True) as staging:
                (staging / "cohort.json").write_text(content)
            assert (out / "cohort.json").read_text() == content
            assert list(tmp_path.iterdir()) == [out]


def test_failed_replacement_keeps_the_old_output(tmp_path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "cohort.json").write_text("old")
    with pytest.raises(RuntimeError), atomic.new_directory(out, force=True):
        raise RuntimeError
    assert (out / "cohort.json").read_text() == "old"


def test_file_or_link_in_the_way(tmp_path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        atomic.check_output(tmp_path / "file", force=True)
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="symbolic link"):
        atomic.check_output(tmp_path / "link", force=True)
    with pytest.raises(UsageError, match="not a folder"):
        atomic.check_output(tmp_path / "file" / "below")


def test_kill_leaves_no_output(tmp_path) -> None:
    program = (
        "import os, signal, sys\n"
        "from bussynth import atomic\n"
        "with atomic.new_directory(sys.argv[1]) as staging:\n"
        "    (staging / 'cohort.json').write_text('{}')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "out")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    with atomic.new_directory(tmp_path / "out") as staging:
        (staging / "cohort.json").write_text("{}")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_full_disk_is_a_data_error_and_keeps_the_old_file(tmp_path, monkeypatch) -> None:
    file = tmp_path / "file"
    atomic.write_text(file, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        atomic.write_text(file, "new")
    with pytest.raises(DataError, match="No space left"), atomic.new_directory(tmp_path / "d") as s:
        (s / "x").write_text("x")
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_canonical_json_refuses_nan() -> None:
    assert atomic.canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'
    with pytest.raises(ValueError, match="JSON"):
        atomic.canonical_json(float("nan"))


def test_a_name_with_brackets_sweeps_nobody_elses_leftovers(tmp_path) -> None:
    for name in (".a.partial-1", ".[ab].partial-1"):
        (tmp_path / name).mkdir()
    with atomic.new_directory(tmp_path / "[ab]") as staging:
        (staging / "file").write_text("x")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".a.partial-1", "[ab]"]
