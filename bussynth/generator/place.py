"""Where a model may be written, and what ``--force`` may replace there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from bussynth import atomic
from bussynth.errors import UsageError
from bussynth.generator.checkpoint import CHECKPOINT_FILE, LOSS_FILE, TRAINING_FILE
from bussynth.generator.storage import ADAPTER_FILE, FILES, MODEL_FILE

__all__ = ["RECORDS", "check_apart", "check_place"]

#: Records that tell an output of trainings, of whatever version, by the names of their schemas.
RECORDS: Final = {
    MODEL_FILE: "bussynth-model/",
    ADAPTER_FILE: "bussynth-adapter/",
    TRAINING_FILE: "bussynth-training/",
}
_OWN: Final = frozenset({*FILES, TRAINING_FILE, CHECKPOINT_FILE, LOSS_FILE})
# Trainings of the time when training.json named no schema have these.
_OLD_TRAINING: Final = frozenset({"architecture", "cohort", "images", "batch_size"})


def check_place(out: Path, *, force: bool) -> None:
    """Refuse a place for a model that is taken.

    With ``force``, a folder is replaced only if all that it holds was written by trainings: its
    records say so, and every other file has a name of theirs.

    Raises:
        UsageError: Something there would be lost, or no folder can be made.
    """
    atomic.check_output(out, force=force, markers=tuple(RECORDS))
    if not out.is_dir():
        return
    foreign = sorted(path.name for path in out.iterdir() if not _is_own(path))
    if foreign:
        more = f" (and {len(foreign) - 1} more)" if len(foreign) > 1 else ""
        raise UsageError(
            f"{out} holds {foreign[0]}{more}, which no training of bussynth has written, so the "
            "folder is not replaced; move that away or choose another folder."
        )


def check_apart(out: Path, base: Path) -> None:
    """Refuse a place that is, holds or lies in the folder of the base.

    Raises:
        UsageError: The base would be replaced, or get files that are not its own.
    """
    place, kept = out.resolve(), base.resolve()
    if place == kept or place in kept.parents or kept in place.parents:
        raise UsageError(f"{out} overlaps the folder of the base, {base}; choose another folder.")


def _is_own(path: Path) -> bool:
    if path.name in RECORDS:
        return _is_record(path)
    # What a kill left of an atomic write.
    original, partial, _ = path.name.removeprefix(".").partition(".partial-")
    own = original in _OWN if path.name.startswith(".") and partial else path.name in _OWN
    return own and not path.is_dir()


def _is_record(path: Path) -> bool:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    if not isinstance(record, dict):
        return False
    if "schema" not in record and path.name == TRAINING_FILE:
        return set(record) >= _OLD_TRAINING
    return str(record.get("schema")).startswith(RECORDS[path.name])
