"""A folder of finished images: checked by header, then decoded and placed as ingest does.

Images come in the order of their names. The names themselves may tell of patients, so no message
and no output holds one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

from bussynth.cohort import Row
from bussynth.cohort.store import file_sha256
from bussynth.errors import DataError, UsageError
from bussynth.images import MAX_PIXELS
from bussynth.ingest.files import FileId, SourceFolder, header_of, images_in
from bussynth.ingest.geometry import Box
from bussynth.ingest.notes import Note
from bussynth.ingest.pool import map_ordered
from bussynth.ingest.prepare import Recipe, prepare_chunk
from bussynth.ingest.source import FilePixels, SourceImage
from bussynth.progress import SILENT, Progress
from bussynth.wrapping.conditions import cohort_vocabulary
from bussynth.wrapping.digest import source_digest
from bussynth.wrapping.labels import Labels, find_labels, read_labels

__all__ = ["ImagesPlan", "check_images", "image_rows"]

_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff"})
_CHUNK: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ImagesPlan:
    """A checked folder of images.

    Attributes:
        images: The records, in the order of the names.
        files: Their files.
        table: The file of the labels, or None.
        columns: Values of the condition columns of the labels.
    """

    images: tuple[SourceImage, ...] = field(repr=False)
    files: tuple[Path, ...] = field(repr=False)
    table: Path | None = field(repr=False)
    columns: Mapping[str, Sequence[str]]

    def digest(self, progress: Progress = SILENT) -> str:
        """Return ``"sha256:…"`` of the images in order and of the labels; names do not count."""
        parts = []
        with progress.task("Hashing", total=len(self.files)) as task:
            for number, file in enumerate(self.files):
                parts.append((f"image {number}", file_sha256(file)))
                task.advance()
        if self.table is not None:
            parts.append(("labels", file_sha256(self.table)))
        return source_digest("images", parts)


def check_images(
    folder: Path,
    labels: Path | None = None,
    columns: Sequence[str] = (),
    *,
    progress: Progress = SILENT,
) -> ImagesPlan:
    """Check a folder of images and its labels without decoding pixels.

    Args:
        folder: The folder.
        labels: Table of labels; a metadata file in the folder if None and there is one.
        columns: Columns that become conditions; all if empty.
        progress: Where to report.

    Raises:
        UsageError: A column does not exist, or there are no labels.
        DataError: Labels and files do not fit each other; all problems are listed, by row number.
    """
    table = labels if labels is not None else find_labels(folder)
    checker = _Checker(SourceFolder(folder.resolve()))
    if table is None:
        if columns:
            raise UsageError("--column names columns of labels, but there are no labels.")
        found = checker.all_images(progress)
        vocabulary: dict[str, list[str]] = {}
    else:
        read = read_labels(table, columns)
        found = checker.listed_images(read, progress)
        vocabulary = read.vocabulary
    if checker.problems:
        count = len(checker.problems)
        raise DataError(
            f"The folder cannot be wrapped: {count} {'problem' if count == 1 else 'problems'}; "
            "nothing was written.",
            checker.problems,
        )
    found.sort(key=lambda pair: pair[0].name)
    return ImagesPlan(
        images=tuple(image for image, _ in found),
        files=tuple(file for _, file in found),
        table=table,
        columns=vocabulary,
    )


class _Checker:
    """Goes through the images once, keeping every problem and what has been seen."""

    def __init__(self, folder: SourceFolder) -> None:
        self.problems: list[str] = []
        self._folder = folder
        self._owners: dict[FileId, str] = {}

    def all_images(self, progress: Progress) -> list[tuple[SourceImage, Path]]:
        names = _names_below(self._folder.root)
        if not names:
            self.problems.append("there is no PNG, JPEG or TIFF file in it")
        found = []
        with progress.task("Checking headers", total=len(names)) as task:
            for number, name in enumerate(names, 1):
                where = f"image {number} of the folder (by name)"
                try:
                    found.append(self._image(name, self._file(name, where), number, where))
                except DataError as error:
                    self.problems.append(error.message)
                task.advance()
        return found

    def listed_images(self, labels: Labels, progress: Progress) -> list[tuple[SourceImage, Path]]:
        rows = labels.table.rows
        found = []
        with progress.task("Checking headers", total=len(rows)) as task:
            for number, cells in enumerate(rows, 1):
                where = f"row {number} of the table"
                conditions = labels.conditions(number - 1)
                try:
                    name = labels.file.fill(cells, what=where)
                    # First, so that an image whose box is wrong counts as listed.
                    path = self._file(name, where)
                    box = labels.box(number - 1, what=where)
                    found.append(self._image(name, path, number, where, conditions, box))
                except DataError as error:
                    self.problems.append(error.message)
                task.advance()
        self._check_unlisted()
        return found

    def _file(self, name: str, where: str) -> Path:
        """Find a file and keep in mind who named it."""
        found = self._folder.find(name, what=where)
        if found is None:
            raise DataError(f"{where}: the image does not exist.")
        path, identity = found
        owner = self._owners.setdefault(identity, where)
        if owner != where:
            raise DataError(f"{where}: the same file as {owner}.")
        return path

    def _image(
        self,
        name: str,
        path: Path,
        number: int,
        where: str,
        conditions: Mapping[str, str | None] | None = None,
        box: Box | None = None,
    ) -> tuple[SourceImage, Path]:
        header = header_of(path, what=where, max_pixels=MAX_PIXELS)
        size = (header.width, header.height)
        if box is not None:
            _check_box(box, size, conditions or {}, where)
        image = SourceImage(
            number=number,
            where=where,
            name=name,
            patient="",
            conditions=conditions or {},
            size=size,
            box=box,
            pixels=FilePixels(image_path=path, max_pixels=MAX_PIXELS),
        )
        return image, path

    def _check_unlisted(self) -> None:
        files = list(images_in([self._folder.root]))
        places = [place for place, file in enumerate(files, 1) if file not in self._owners]
        if not places:
            return
        shown = ", ".join(str(place) for place in places[:10])
        more = ", …" if len(places) > 10 else ""
        self.problems.append(
            f"{len(places)} of {len(files)} images in the folder are not in the table (by name, "
            f"number {shown}{more}); list them, or take them out of the folder."
        )


def _names_below(root: Path) -> list[str]:
    """Relative paths of the image files, in order; links to folders are not followed."""

    def refuse(error: OSError) -> NoReturn:
        raise DataError(f"A folder below the source cannot be read: {error.strerror}.") from None

    return sorted(
        Path(base, name).relative_to(root).as_posix()
        for base, _, names in os.walk(root, onerror=refuse)
        for name in names
        if Path(name).suffix.lower() in _SUFFIXES
    )


def _check_box(
    box: Box, size: tuple[int, int], conditions: Mapping[str, str | None], where: str
) -> None:
    x0, y0, x1, y1 = box
    width, height = size
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise DataError(
            f"{where}: the box is empty, inverted or outside the {width} x {height} image; it "
            "must be x0, y0, x1, y1 in pixels of the file."
        )
    if conditions.get("pathology") == "normal":
        raise DataError(f"{where}: a normal image has no lesion box.")


def image_rows(
    plan: ImagesPlan,
    size: int,
    declared: Mapping[str, Any],
    notes: list[Note],
    *,
    workers: int = 1,
    progress: Progress = SILENT,
) -> Iterator[Row]:
    """Yield the rows of the cohort.

    Args:
        plan: The checked folder.
        size: Edge length of the stored images.
        declared: Conditions of all images.
        notes: Gets what only the pixels tell, when the last row was taken.
        workers: Processes that decode.
        progress: Where to report.

    Raises:
        DataError: Pixels cannot be used; all such images are listed, when the last was looked at.
    """
    images, problems, enlarged = plan.images, [], 0
    columns = cohort_vocabulary(plan.columns)
    chunks = (images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK))
    work = partial(prepare_chunk, recipe=Recipe(size=size, geometry="letterbox"))
    position = 0
    with progress.task("Decoding images", total=len(images)) as task:
        for chunk in map_ordered(work, chunks, workers=workers):
            for prepared in chunk:
                image = images[position]
                if prepared.problem is not None:
                    problems.append(prepared.problem)
                enlarged += "enlarged" in prepared.flags
                # After a problem, go on only to find the others.
                if not problems:
                    yield Row(
                        id=f"synthetic-{position:08d}",
                        png=prepared.png,
                        conditions=dict.fromkeys(columns) | dict(image.conditions) | dict(declared),
                        lesion_box=prepared.box,
                    )
                position += 1
            task.advance(len(chunk))
    if problems:
        raise DataError(
            f"{len(problems)} of {len(images)} images cannot be used, so nothing was written; "
            "repair them, or take them out.",
            problems,
        )
    if enlarged:
        notes.append(Note("enlarged", "smaller than the stored size, enlarged", enlarged))
