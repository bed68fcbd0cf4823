"""A folder to review: what it is, which images it holds, and what its record says.

A folder is a cohort (``cohort.json``) or a set of de-identified files (``deidentification.json``).
Its digest names the images and nothing else: recording a split, or deleting the pictures that were
reviewed, leaves it as it is; another image, one more or one fewer changes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bussynth.atomic import canonical_json
from bussynth.cohort.cohort import Cohort
from bussynth.cohort.store import file_sha256
from bussynth.errors import DataError, IntegrityError
from bussynth.package.strict_json import strict_json
from bussynth.record import mapping
from bussynth.review.material import DECISIONS_FILE, PREVIEWS_FILE, REVIEW_FOLDER, Preview
from bussynth.review.material import read_previews as _read

__all__ = ["COHORT_RECORD", "FILES_RECORD", "ReviewFolder"]

COHORT_RECORD: Final = "cohort.json"
FILES_RECORD: Final = "deidentification.json"
_MAX_RECORD: Final = 64 * 2**20
_SCHEMA: Final = "bussynth-review-digest/1"
_MAX_FACTS: Final = 60
_MAX_TEXT: Final = 200


@dataclass(frozen=True, kw_only=True)
class ReviewFolder:
    """A cohort or a folder of de-identified files, with the material of its review.

    Attributes:
        path: The folder.
        cohort: The cohort, or None for a folder of files.
    """

    path: Path
    cohort: Cohort | None

    @classmethod
    def open(cls, path: Path | str) -> ReviewFolder:
        """Open a folder to review; its images are not read.

        Raises:
            DataError: It is neither a cohort nor a folder of de-identified files, or a synthetic
                cohort, which shows no patient.
        """
        path = Path(path)
        if (path / COHORT_RECORD).exists():
            cohort = Cohort.open(path)
            if cohort.kind == "synthetic":
                raise DataError(f"{path} is a synthetic cohort; there is no patient to look for.")
            return cls(path=path, cohort=cohort)
        if (path / FILES_RECORD).is_file():
            return cls(path=path, cohort=None)
        raise DataError(
            f"{path} holds neither {COHORT_RECORD} nor {FILES_RECORD}, so there is nothing to "
            "review; give the output of `bussynth ingest` or `bussynth deidentify`."
        )

    @property
    def previews_file(self) -> Path:
        """The pictures to look at."""
        return self.path / REVIEW_FOLDER / PREVIEWS_FILE

    @property
    def decisions_file(self) -> Path:
        """What was decided of each source file."""
        return self.path / REVIEW_FOLDER / DECISIONS_FILE

    def digest(self) -> str:
        """Return ``"sha256:…"`` of the images.

        Of a cohort it is taken over ids and digests of images as its shards record them, in the
        order of the ids; of files over the names and bytes of all, but the folder ``review``.

        Raises:
            IntegrityError: A shard is missing or damaged.
            DataError: A file cannot be read or is a link.
        """
        content = hashlib.sha256()
        for line in self._cohort_lines() if self.cohort is not None else self._file_lines():
            content.update(line.encode() + b"\n")
        kind = "files" if self.cohort is None else "cohort"
        summed = {"schema": _SCHEMA, "kind": kind, "content": content.hexdigest()}
        return "sha256:" + hashlib.sha256(canonical_json(summed).encode()).hexdigest()

    def previews_digest(self) -> str | None:
        """Return ``"sha256:…"`` of the file of pictures, or None if it was deleted."""
        if not self.previews_file.is_file():
            return None
        return "sha256:" + file_sha256(self.previews_file)

    def previews(self) -> list[Preview]:
        """Read all previews without their pictures and check that they are those of the folder.

        Returns:
            The previews in the order of their file, some hundred bytes each.

        Raises:
            DataError: There are no previews, or an image of the cohort has none, so that nobody
                could look at it; or a preview belongs to no image.
            IntegrityError: The file is damaged or names an id twice.
        """
        found = list(_read(self.previews_file, pictures=False))
        ids = {preview.id for preview in found}
        if len(ids) != len(found):
            raise IntegrityError(f"{self.previews_file} names an image twice.")
        if not found:
            raise DataError(f"{self.previews_file} holds no picture; there is nothing to review.")
        if self.cohort is not None:
            rows = set(self.cohort.table(["id"]).column("id").to_pylist())
            if rows != ids:
                raise DataError(
                    f"{self.path}: {len(rows - ids)} images have no picture to look at, and "
                    f"{len(ids - rows)} pictures belong to no image; de-identify the source anew."
                )
        return found

    def facts(self) -> list[tuple[str, str]]:
        """Return what the record says of the de-identification, as names and short texts.

        Of a cohort that is ``deidentification`` in its provenance, or all of that.

        Raises:
            IntegrityError: The record is not valid JSON.
        """
        if self.cohort is not None:
            record: Mapping[str, Any] = self.cohort.provenance
            record = mapping(record.get("deidentification")) or record
        else:
            file = self.path / FILES_RECORD
            with file.open("rb") as stream:
                data = stream.read(_MAX_RECORD + 1)
            record = mapping(strict_json(data, what=str(file), max_bytes=_MAX_RECORD))
        return list(_flat(record))[:_MAX_FACTS]

    def _cohort_lines(self) -> Iterator[str]:
        if self.cohort is None:
            return
        table = self.cohort.table(["id", "sha256"]).sort_by("id")
        for batch in table.to_batches(max_chunksize=65_536):
            for row in batch.to_pylist():
                yield f"{row['id']} {row['sha256']}"

    def _file_lines(self) -> Iterator[str]:
        own = self.path / REVIEW_FOLDER
        for number, file in enumerate(sorted(self.path.rglob("*")), start=1):
            if file == own or own in file.parents:
                continue
            if file.is_symlink():
                raise DataError(f"Entry {number} of {self.path} is a link; a review follows none.")
            if file.is_file():
                yield f"{file_sha256(file)} {file.relative_to(self.path).as_posix()}"


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in record.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}: ")
        elif isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
            yield name, f"{len(value)} entries"
        elif isinstance(value, list):
            yield name, _short(", ".join(map(_text, value)))
        else:
            yield name, _short(_text(value))


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _short(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
