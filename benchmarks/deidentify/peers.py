"""bussynth, dicognito and dicom-anonymizer on the same folder, each watched while it works."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bussynth.ingest.keys import open_site_key

__all__ = [
    "Run",
    "Skipped",
    "bussynth",
    "copy",
    "dicognito",
    "dicom_anonymizer",
    "surroundings",
    "watched",
]

_HERE: Final = Path(__file__).parent
_MOST_SECONDS: Final = 1800


@dataclass(frozen=True)
class Run:
    """What a tool did.

    Attributes:
        tool: Its name.
        out: Its output.
        messages: The folder with what it printed.
        elsewhere: Folders where it may have left something: temporary files, home and state.
        made: Which file of the output a source file became, by path below the source.
        seconds: How long it took.
        code: Its exit code.
    """

    tool: str
    out: Path
    messages: Path
    elsewhere: Path
    made: dict[str, Path]
    seconds: float
    code: int


@dataclass(frozen=True)
class Skipped:
    """A tool that did not run.

    Attributes:
        tool: Its name.
        reason: Why.
    """

    tool: str
    reason: str


def surroundings(work: Path) -> dict[str, str]:
    """Make the places of a user inside of a folder.

    Args:
        work: Gets ``messages``, for what is printed, and ``elsewhere`` with home, state and
            temporary files.

    Returns:
        An environment that names them.
    """
    places = {
        "TMPDIR": "temporary",
        "HOME": "home",
        "XDG_DATA_HOME": "data",
        "XDG_STATE_HOME": "state",
        "XDG_CACHE_HOME": "cache",
        "XDG_CONFIG_HOME": "config",
        "XDG_RUNTIME_DIR": "runtime",
    }
    folders = {name: work / "elsewhere" / folder for name, folder in places.items()}
    for folder in (work / "messages", *folders.values()):
        folder.mkdir(parents=True, exist_ok=True)
    own = {name: str(folder) for name, folder in folders.items()}
    return {**os.environ, **own, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(_HERE.parents[1])}


def watched(command: Sequence[str], work: Path) -> tuple[int, float]:
    """Run a command with all places of a user inside of a folder, see :func:`surroundings`.

    Args:
        command: What to run.
        work: The folder; ``messages`` in it gets what is printed.

    Returns:
        Exit code and seconds.
    """
    environment, messages = surroundings(work), work / "messages"
    start = time.perf_counter()
    with open(messages / "stdout", "ab") as out, open(messages / "stderr", "ab") as err:
        done = subprocess.run(
            command,
            stdout=out,
            stderr=err,
            env=environment,
            cwd=work / "elsewhere",
            timeout=_MOST_SECONDS,
            check=False,
        )
    return done.returncode, time.perf_counter() - start


def bussynth(
    source: Path,
    work: Path,
    *,
    options: Sequence[str] = ("--dates", "shift", "--keep-characteristics", "--keep-device"),
    text_engine: str = "auto",
) -> Run:
    """Run ``bussynth deidentify``.

    The private list of links lies outside of what is searched: it names source files, and says so.

    Args:
        source: The objects.
        work: For output, messages and other files.
        options: What a site chooses; here all that PS3.15 has an option for.
        text_engine: Who looks for burned-in text.

    Returns:
        What it did.
    """
    out, link, key = work / "out", work / "private" / "link.csv", work / "private" / "site.key"
    key.parent.mkdir(parents=True)
    open_site_key(key, out)
    command = [sys.executable, "-m", "bussynth", "deidentify", str(source), str(out)]
    command += ["--site-key", str(key), "--link", str(link), "--text-engine", text_engine]
    code, seconds = watched([*command, *options, "--json"], work)
    made = {}
    if link.is_file():
        files = {path.stem: path for path in out.rglob("*.dcm")}
        with open(link, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for name in row["outputs"].split()[:1]:
                    made[row["path"]] = files[name]
    return Run(
        f"bussynth, {text_engine}", out, work / "messages", work / "elsewhere", made, seconds, code
    )


def copy(source: Path, work: Path) -> Run:
    """Copy the objects as they are: the control, in which every canary must be found."""
    shutil.copytree(source, work / "out")
    made = {
        str(path.relative_to(work / "out")): path
        for path in (work / "out").rglob("*")
        if path.is_file()
    }
    code, seconds = watched([sys.executable, "-c", ""], work)
    return Run(
        "untouched", work / "out", work / "messages", work / "elsewhere", made, seconds, code
    )


def dicognito(source: Path, work: Path, *, python: str) -> Run | Skipped:
    """Run dicognito under an interpreter that has it."""
    return _driven("dicognito", source, work, python)


def dicom_anonymizer(source: Path, work: Path, *, python: str = sys.executable) -> Run | Skipped:
    """Run dicom-anonymizer under an interpreter that has it."""
    return _driven("dicom-anonymizer", source, work, python)


def _driven(tool: str, source: Path, work: Path, python: str) -> Run | Skipped:
    question = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"
    try:
        asked = subprocess.run(
            [python, "-c", question, tool], capture_output=True, text=True, check=False
        )
    except OSError:
        return Skipped(tool, f"there is no {python}")
    if asked.returncode:
        return Skipped(tool, f"{tool} is not installed for {python}")
    out = work / "out"
    out.mkdir(parents=True)
    script = _HERE / f"drive_{tool.replace('-', '_')}.py"
    code, seconds = watched([python, str(script), str(source), str(out)], work)
    printed = work / "messages" / "stdout"
    lines = printed.read_text().splitlines()
    made = {}
    if lines and not code:
        made = {name: out / new for name, new in json.loads(lines[-1]).items()}
        # The list of what became what is ours.
        printed.write_text("\n".join(lines[:-1]))
    name = f"{tool} {asked.stdout.strip()}"
    return Run(name, out, work / "messages", work / "elsewhere", made, seconds, code)
