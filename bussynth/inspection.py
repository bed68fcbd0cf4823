"""Saying what a folder holds, without torch and without trusting it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bussynth.builtin import BUILTIN, builtin_folder
from bussynth.errors import DataError, IntegrityError

__all__ = ["inspect_folder"]


def inspect_folder(path: Path) -> dict[str, Any]:
    """Describe a cohort, a model, an adapter or a package.

    Args:
        path: Its folder, or ``builtin:NAME``.

    Returns:
        Plain values; ``notes`` lists warnings for the user.

    Raises:
        DataError: The folder holds none of them.
        IntegrityError: The record of a model is damaged.
        UsageError: There is no built-in model of this name.
    """
    if str(path).startswith(BUILTIN):
        path = builtin_folder(str(path))
    from bussynth.cohort.cohort import Cohort
    from bussynth.package.verify import inspect_package

    if (path / "bussynth.statement.dsse.json").is_file():
        info = inspect_package(path)
        return {"what": "package", **info.to_dict(), "notes": info.warnings}
    if (path / "cohort.json").is_file():
        cohort = Cohort.open(path)
        height, width = cohort.image_size
        return {
            "what": "cohort",
            "kind": cohort.kind,
            "image_size": f"{width}x{height}",
            "digest": cohort.digest,
            "shards": len(cohort.shards),
            "split": cohort.split_record,
            **cohort.statistics(),
        }
    for what in ("model", "adapter"):
        if (path / f"{what}.json").is_file():
            return {"what": what, **_record(path / f"{what}.json")}
    if (path / "training.json").is_file():
        raise DataError(f"{path} holds an unfinished training; run the same command again.")
    raise DataError(f"{path} holds no cohort, model, adapter or package.")


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} cannot be read.") from error
    if not isinstance(record, dict):
        raise IntegrityError(f"{path} is no record of a model.")
    return record
