"""Saying what a folder holds, without torch and without trusting it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bussynth.errors import DataError, IntegrityError

__all__ = ["inspect_folder"]


def inspect_folder(path: Path) -> dict[str, Any]:
    """Describe a cohort, a model or a package.

    Returns:
        Plain values; ``notes`` lists warnings for the user.

    Raises:
        DataError: The folder holds none of them.
        IntegrityError: The record of a model is damaged.
    """
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
    if (path / "model.json").is_file():
        try:
            record = json.loads((path / "model.json").read_text("utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise IntegrityError(f"{path / 'model.json'} cannot be read.") from error
        if not isinstance(record, dict):
            raise IntegrityError(f"{path / 'model.json'} is no record of a model.")
        return {"what": "model", **record}
    if (path / "training.json").is_file():
        raise DataError(f"{path} holds an unfinished training; run the same train command again.")
    raise DataError(f"{path} holds no cohort, model or package.")
