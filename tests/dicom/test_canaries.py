"""From files on disk to every byte that comes out: no planted identifier, whatever happens."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

# Opacus installs a top-level package of the same name, which would be found first.
sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.deidentify.__main__ import measure, planted_places
from benchmarks.deidentify.canaries import Planted, write_objects
from benchmarks.deidentify.peers import bussynth, copy, surroundings, watched
from benchmarks.deidentify.search import Leak, search_bytes
from benchmarks.deidentify.tokens import Canary
from benchmarks.deidentify.unreadable import Unreadable, write_unreadable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="workers are forked")

OBJECTS = 9
MAP = """
[dicom]
[conditions.device]
from = "equipment"
[conditions.pathology]
constant = "benign"
"""


@dataclass(frozen=True)
class Hospital:
    """A folder of planted objects, with files that nobody can read among them."""

    source: Path
    planted: list[Planted]
    unreadable: list[Unreadable]

    @property
    def canaries(self) -> set[Canary]:
        return {one for each in (*self.planted, *self.unreadable) for one in each.canaries}


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Hospital:
    source = tmp_path_factory.mktemp("hospital") / "source"
    return Hospital(source, write_objects(source, OBJECTS, 7), write_unreadable(source, 7))


def command(verb: str, source: Path, work: Path, *options: str) -> list[str]:
    private = work / "private"
    private.mkdir(parents=True)
    return [
        *(sys.executable, "-m", "bussynth", verb, str(source), str(work / "out")),
        *("--site-key", str(private / "site.key"), "--link", str(private / "link.csv")),
        *("--text-engine", "none", "--json", *options),
    ]


def everything_but_the_private(work: Path) -> list[Path]:
    """Return all folders of a run; the key and the link file are private and named so."""
    return [one for one in work.iterdir() if one.is_dir() and one.name != "private"]


def told(leaks: Sequence[Leak]) -> set[str]:
    return {f"{leak.canary.place} in {leak.file}" for leak in leaks}


def test_an_untouched_copy_shows_every_place(hospital: Hospital, tmp_path: Path) -> None:
    result = measure(copy(hospital.source, tmp_path), hospital.planted, hospital.unreadable)
    places = planted_places(hospital.planted, hospital.unreadable)
    assert result.leaks == places
    assert sum(map(len, places.values())) >= 200
    assert result.score.done["text_removed"] == result.score.done["pixels_hidden"] == 0


def test_nothing_planted_comes_out_of_deidentify(hospital: Hospital, tmp_path: Path) -> None:
    run = bussynth(hospital.source, tmp_path, text_engine="strokes")
    assert run.code == 0
    result = measure(run, hospital.planted, hospital.unreadable)
    # Text on the tissue is left to the text gate, which the benchmark measures.
    found = {group for group, some in result.leaks.items() if some}
    assert found <= {"burned in, on tissue"}, result.leaks
    assert not result.elsewhere
    assert result.delivered >= OBJECTS // 2
    leaks = search_bytes(everything_but_the_private(tmp_path), hospital.canaries)
    assert not told(leaks)
    for action in ("text_removed", "uid_changed"):
        assert result.score.done[action] == result.score.required[action] > 0
    part = result.of_delivered
    for action in ("uid_consistent", "patid_consistent", "text_notnull", "date_shifted"):
        assert part.done[action] == part.required[action] > 0, part.missed[action]


def test_nothing_planted_comes_out_of_ingest(hospital: Hospital, tmp_path: Path) -> None:
    (tmp_path / "map.toml").write_text(MAP)
    options = ("--map", str(tmp_path / "map.toml"), "--image-size", "64")
    code, _ = watched(command("ingest", hospital.source, tmp_path, *options), tmp_path)
    assert code == 0, (tmp_path / "messages" / "stderr").read_text()
    assert json.loads((tmp_path / "messages" / "stdout").read_text())["result"]["images"] > 0
    assert not told(search_bytes(everything_but_the_private(tmp_path), hospital.canaries))


def test_a_run_that_fails_tells_nothing(tmp_path: Path) -> None:
    unreadable = write_unreadable(tmp_path / "source", 8)
    work = tmp_path / "work"
    work.mkdir()
    (work / "map.toml").write_text(MAP)
    options = ("--map", str(work / "map.toml"), "--image-size", "64")
    code, _ = watched(command("ingest", tmp_path / "source", work, *options), work)
    assert code == 3
    assert not (work / "out").exists()
    canaries = [one for each in unreadable for one in each.canaries]
    assert not told(search_bytes(everything_but_the_private(work), canaries))
    assert told(search_bytes([tmp_path / "source"], canaries))


def test_a_run_that_is_killed_leaves_nothing(hospital: Hospital, tmp_path: Path) -> None:
    for attempt in range(5):  # a fast machine may be done before it is killed
        work = tmp_path / str(attempt)
        killed(command("deidentify", hospital.source, work), work)
        left = [one for one in work.iterdir() if one.name.startswith(".out.")]
        if any(any(one.rglob("*.dcm")) for one in left):
            break
    else:
        pytest.fail("it could not be killed at work")
    assert not (work / "out").exists()
    assert not told(search_bytes(everything_but_the_private(work), hospital.canaries))


def killed(run: list[str], work: Path) -> None:
    """Start a command and kill it as soon as it has written an object."""
    environment = surroundings(work)
    with open(work / "messages" / "stderr", "wb") as messages:
        process = subprocess.Popen(
            run, env=environment, cwd=work / "elsewhere", stdout=messages, stderr=messages
        )
        try:
            until = time.monotonic() + 60
            while process.poll() is None and not any(work.glob(".out.*/**/*.dcm")):
                assert time.monotonic() < until, "nothing was written"
                time.sleep(0.02)
        finally:
            process.kill()
            process.wait()
