"""Where an audit may write: never over, into or around what it reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from bussynth import atomic
from bussynth.auditing.record import MARKERS
from bussynth.auditing.sources import Source
from bussynth.cohort.cohort import Cohort
from bussynth.errors import UsageError

__all__ = ["check_place", "place_of", "refuse_overlap"]

_MAX_BYTES = 64 * 2**20


def place_of(source: Source | None) -> Path | None:
    """Return the folder of a source, or None for an array or nothing."""
    if isinstance(source, Cohort):
        return source.path
    return Path(source) if isinstance(source, (str, Path)) else None


def check_place(out: Path, *, force: bool) -> None:
    """Refuse a place that an audit must not take.

    Args:
        out: The folder to make.
        force: Replace an earlier audit, of whatever version, and nothing else.

    Raises:
        UsageError: The place is taken.
    """
    atomic.check_output(out, force=force, markers=MARKERS)
    report = out / MARKERS[0]
    if not report.is_file():
        return
    try:
        small = report.stat().st_size <= _MAX_BYTES
        content = json.loads(report.read_text(encoding="utf-8")) if small else None
    except (OSError, ValueError, RecursionError):
        content = None
    schema = content.get("schema") if isinstance(content, dict) else None
    if not isinstance(schema, str) or not schema.startswith("bussynth-audit/"):
        raise UsageError(
            f"{out} holds a {MARKERS[0]} that no audit of bussynth wrote, so it is not replaced; "
            "choose another name."
        )


def refuse_overlap(out: Path | str, inputs: Mapping[str, Path | None]) -> None:
    """Refuse an output that is, lies in, or holds an input.

    A report inside a folder of images would be counted among them the next time, and replacing
    a folder with --force would take the inputs in it along.

    Args:
        out: The place to write.
        inputs: Files and folders that are read, by the name of their argument.

    Raises:
        UsageError: The places overlap; all such inputs are named.
    """
    target = Path(out).resolve()
    problems = []
    for name, given in inputs.items():
        if given is None:
            continue
        place = given.resolve()
        if target == place:
            problems.append(f"{name}: the same place")
        elif place in target.parents:
            problems.append(f"{name}: {out} lies inside it")
        elif target in place.parents:
            problems.append(f"{name}: lies inside {out}")
    if problems:
        raise UsageError(
            f"{out} overlaps with what is read; choose a place of its own for the output.", problems
        )
