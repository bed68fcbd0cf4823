"""What a reviewer marked: the files that the pages save.

The pages run in a browser and save where the browser likes, so a file of marks is read as one that
anybody could have written.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bussynth.errors import DataError, IntegrityError, UsageError
from bussynth.package.strict_json import strict_json

__all__ = ["MARKS_FILE", "MARKS_SCHEMA", "Marks", "read_marks"]

MARKS_SCHEMA: Final = "bussynth-review-decisions/1"
#: What the pages call the file they save.
MARKS_FILE: Final = "review-decisions.json"
_KEYS: Final = frozenset({"schema", "digest", "previews", "looked_at", "rejected", "saved"})
_MAX_BYTES: Final = 256 * 2**20
_MAX_FILES: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Marks:
    """What was looked at, and what of it was rejected.

    Attributes:
        looked_at: Ids of the images that were marked, rejected ones included.
        rejected: Ids of the images that must not stay.
    """

    looked_at: frozenset[str]
    rejected: frozenset[str]


def read_marks(
    files: Sequence[Path], *, digest: str, previews: str | None, ids: Collection[str]
) -> Marks:
    """Read files of marks and join them; what one of them rejects is rejected.

    Args:
        files: What the pages saved, one or several.
        digest: Of the folder that was reviewed.
        previews: Digest of its pictures.
        ids: Of all its images.

    Returns:
        The marks of all files together.

    Raises:
        UsageError: No file is given, or more than 1000 are.
        DataError: A file cannot be read, is malformed, or names images the folder has not. Files
            are named by number.
        IntegrityError: A file was made for another folder or other pictures.
    """
    if not 1 <= len(files) <= _MAX_FILES:
        raise UsageError(f"Give between 1 and {_MAX_FILES} files of marks.")
    known = frozenset(ids)
    looked_at: set[str] = set()
    rejected: set[str] = set()
    for number, file in enumerate(files, start=1):
        what = f"File {number} of {len(files)} with marks"
        value = _parsed(file, what)
        if (value["digest"], value["previews"]) != (digest, previews):
            raise IntegrityError(
                f"{what} was made for other images than those of this folder; make the pages anew "
                "with `bussynth review` and look again."
            )
        looked, refused = (_names(value[key], key, what) for key in ("looked_at", "rejected"))
        problems = []
        if unknown := len((looked | refused) - known):
            problems.append(f"images that the folder does not hold: {unknown}")
        if unseen := len(refused - looked):
            problems.append(f"images rejected without being looked at: {unseen}")
        if problems:
            raise DataError(f"{what} contradicts the folder or itself.", problems)
        looked_at |= looked
        rejected |= refused
    return Marks(looked_at=frozenset(looked_at), rejected=frozenset(rejected))


def _parsed(file: Path, what: str) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
        value = strict_json(data, what=what, max_bytes=_MAX_BYTES, max_depth=3)
    except OSError as error:
        raise DataError(f"{what} cannot be read: {error.strerror}.") from error
    except IntegrityError as error:
        raise DataError(error.message) from error
    if not isinstance(value, dict) or value.get("schema") != MARKS_SCHEMA:
        raise DataError(f"{what} is none that this version knows: schema {MARKS_SCHEMA!r}.")
    if set(value) != _KEYS:
        raise DataError(f"{what} lacks keys or has others than {', '.join(sorted(_KEYS))}.")
    return value


def _names(value: Any, key: str, what: str) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise DataError(f"{what}: {key} is no list of ids.")
    names = frozenset(value)
    if len(names) != len(value):
        raise DataError(f"{what}: {key} names an image twice.")
    return names
