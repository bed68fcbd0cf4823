"""Saying what a folder holds, without torch and without trusting it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bussynth.builtin import model_folder
from bussynth.errors import DataError, IntegrityError
from bussynth.record import digest, mapping, number, whole

__all__ = ["inspect_folder"]

_NAMES: Final = frozenset(
    {"restyle", "export", "rejection", "cpsample", "both", "formal-dp"}
    | {"images", "diffusers", "torchscript", "onnx"}
)
"""Verbs that derive, guards, the claim that these void, and sources of a wrap."""


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
    path = model_folder(str(path))
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
            **_origin(cohort.provenance),
            **cohort.statistics(),
            "notes": _notes(cohort.kind, cohort.provenance),
        }
    for what in ("model", "adapter"):
        if (path / f"{what}.json").is_file():
            return {"what": what, **_record(path / f"{what}.json")}
    if (path / "training.json").is_file():
        raise DataError(f"{path} holds an unfinished training; run the same command again.")
    raise DataError(f"{path} holds no cohort, model, adapter or package.")


def _origin(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What the record of a cohort says of where its images come from.

    Only digests, counts and plain names are repeated: nothing stops a record from holding paths
    or patients.
    """
    made, guard = mapping(provenance.get("derived")), mapping(provenance.get("guard"))
    derived = {
        "by": _name(made.get("by")),
        "from": digest(made.get("source")),
        "trained_on": digest(made.get("trained_on")),
    }
    guarded = {
        "kind": _name(guard.get("kind")),
        **{key: whole(guard.get(key)) for key in ("asked", "rejected", "left_out")},
        "voids": _name(guard.get("voids")),
    }
    privacy = mapping(provenance.get("privacy"))
    claimed = {
        "claim": _name(privacy.get("claim")),
        **{key: number(privacy.get(key)) for key in ("epsilon", "delta")},
    }
    said = {
        "generator": digest(provenance.get("generator")),
        "wrapped": _name(provenance.get("source")) if provenance.get("verb") == "wrap" else None,
        "trained_on": digest(provenance.get("trained_on")),
        "derived": _said(derived) if made else None,
        "guard": _said(guarded) if guard else None,
        "privacy": _said(claimed) if privacy else None,
    }
    return _said(said)


def _notes(kind: str, provenance: Mapping[str, Any]) -> list[str]:
    """What whoever looks at a cohort must know before using it."""
    notes = []
    if mapping(provenance.get("derived")):
        if kind == "phantom":
            notes.append("derived from phantoms: no patient is shown; export refuses it")
        else:
            notes.append(
                "derived from patients: personal data; export refuses it, unless somebody declares "
                "on what grounds it may leave (--declare-derived)"
            )
    if mapping(provenance.get("guard")):
        notes.append(
            "guarded: training images were looked at while these were made, which voids a "
            "formal-dp claim; an audit decides whether they may leave"
        )
    return notes


def _said(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


def _name(value: Any) -> str | None:
    """A name that bussynth gives, such as that of a verb; None in place of any other text."""
    return value if isinstance(value, str) and value in _NAMES else None


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise IntegrityError(f"{path} cannot be read.") from error
    if not isinstance(record, dict):
        raise IntegrityError(f"{path} is no record of a model.")
    return record
