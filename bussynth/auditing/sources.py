"""Where the images of an audit come from: a cohort, a folder or an array.

A source is opened light (counts, sizes, patients) and decoded later, so that a dry run checks
all that needs no decoding. Images are named by their position, files never by name.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from bussynth.cohort.cohort import Cohort
from bussynth.errors import DataError
from bussynth.images import decode_image, read_header
from bussynth.ingest.geometry import Placement
from bussynth.progress import Task

__all__ = [
    "ArrayImages",
    "CohortImages",
    "FolderImages",
    "RoleImages",
    "Size",
    "Source",
    "made_by",
    "open_source",
]

Source: TypeAlias = Cohort | Path | str | npt.NDArray[np.uint8]
"""What may be passed for a role: a cohort or its path, a folder of images, or uint8 (n, H, W)."""

Size: TypeAlias = tuple[int, int]

_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff"})


class RoleImages(Protocol):
    """The images of one role."""

    @property
    def role(self) -> str:
        """``"synthetic"``, ``"train"`` or ``"control"``."""
        ...

    @property
    def kind(self) -> str:
        """``"cohort"``, ``"folder"`` or ``"array"``."""
        ...

    @property
    def sizes(self) -> Counter[Size]:
        """Number of images of each (height, width)."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, one line each."""
        ...

    def __len__(self) -> int:
        """Number of images."""
        ...

    def load(self, size: Size, task: Task) -> npt.NDArray[np.uint8]:
        """Decode all images: uint8 (n, H, W) of the given size; advances the task by n."""
        ...

    def digest(self) -> str:
        """Return ``"sha256:…"`` of the images; computed once."""
        ...

    def attributes(self) -> dict[str, tuple[str, ...]]:
        """Return what is known of the images: by column one label an image, "" where unknown."""
        ...

    def boxes(self) -> npt.NDArray[np.float64] | None:
        """Return float64 (n, 4), lesion boxes in pixels, NaN where there is none; or None."""
        ...


def open_source(images: Source, role: str) -> RoleImages:
    """Open the images of a role without decoding them.

    Args:
        images: Cohort or its path, folder of images, or array.
        role: ``"synthetic"``, ``"train"`` or ``"control"``.

    Raises:
        DataError: There are no images, a file is damaged, or an array is none of images.
    """
    if isinstance(images, np.ndarray):
        return ArrayImages.open(images, role)
    if isinstance(images, Cohort):
        return CohortImages.open(images, role)
    path = Path(images)
    if (path / "cohort.json").is_file():
        return CohortImages.open(Cohort.open(path), role)
    return FolderImages.open(path, role)


@dataclass(frozen=True, eq=False)
class CohortImages:
    """Rows of a cohort; of a cohort that was split, those of the role's split."""

    role: str
    cohort: Cohort
    notes: tuple[str, ...] = ()
    kind: str = "cohort"

    @classmethod
    def open(cls, cohort: Cohort, role: str) -> CohortImages:
        """Take the rows of the role.

        Images derived from real ones are audited like synthetic ones: what is released must be.
        """
        if role == "synthetic" and cohort.kind != "synthetic" and cohort.derived is not None:
            _check_derived(cohort)
            return cls(role, _not_empty(cohort, role))
        if (cohort.kind == "synthetic") != (role == "synthetic"):
            raise DataError(
                f"{role}: the cohort is of kind {cohort.kind!r}; are the arguments swapped?"
            )
        if role == "synthetic" or cohort.split_record is None:
            return cls(role, _not_empty(cohort, role))
        return cls(role, _not_empty(cohort.select(split=role), role))

    def __len__(self) -> int:
        return len(self.cohort)

    @property
    def sizes(self) -> Counter[Size]:
        """Number of images of each (height, width)."""
        return Counter({self.cohort.image_size: len(self)})

    def column(self, name: str) -> list[str]:
        """Return a text column of the rows."""
        values: list[str] = self.cohort.table([name]).column(name).to_pylist()
        return values

    def load(self, size: Size, task: Task) -> npt.NDArray[np.uint8]:
        """See :class:`RoleImages`; the stored bytes are compared with their digests first."""
        self.cohort.verify()
        pixels = self.cohort.images()
        task.advance(len(pixels))
        return pixels

    def digest(self) -> str:
        """Return the digest of the whole cohort."""
        return self.cohort.digest

    def attributes(self) -> dict[str, tuple[str, ...]]:
        """Return the condition columns of the cohort's vocabulary."""
        columns = list(self.cohort.vocabulary)
        if not columns:
            return {}
        table = self.cohort.table(columns)
        return {
            column: tuple(value or "" for value in table.column(column).to_pylist())
            for column in columns
        }

    def boxes(self) -> npt.NDArray[np.float64]:
        """See :class:`RoleImages`."""
        boxes = np.full((len(self), 4), np.nan)
        found = self.cohort.table(["lesion_box"]).column("lesion_box").to_pylist()
        for row, box in enumerate(found):
            if box is not None:
                boxes[row] = box
        return boxes


def _check_derived(cohort: Cohort) -> None:
    """Refuse images derived from others than training patients: no test looks for those."""
    if set(cohort.counts.get("splits", {})) != {"train"}:
        raise DataError(
            f"synthetic: {cohort.path} was derived from another cohort, and not from its train "
            "patients alone, which are all that an audit searches for. Split that cohort before, "
            "and derive with `bussynth restyle --split train`."
        )


def made_by(images: RoleImages) -> dict[str, Any]:
    """Say what made the images, by their own record.

    Returns:
        ``generator``, the digest of the model or None if there is no record of one, and
        ``derived``, whether the images were made from those of another cohort.
    """
    if not isinstance(images, CohortImages):
        return {"generator": None, "derived": False}
    found = images.cohort.provenance.get("generator")
    return {
        "generator": found if isinstance(found, str) else None,
        "derived": images.cohort.derived is not None,
    }


def _not_empty(cohort: Cohort, role: str) -> Cohort:
    if len(cohort) == 0:
        raise DataError(f"{role}: the cohort holds no image of this role.")
    return cohort


@dataclass(frozen=True, eq=False)
class FolderImages:
    """Image files below a folder, in the order of their relative paths."""

    role: str
    root: Path = field(repr=False)
    files: tuple[str, ...] = field(repr=False)
    sizes: Counter[Size]
    notes: tuple[str, ...] = ()
    kind: str = "folder"

    @classmethod
    def open(cls, root: Path, role: str) -> FolderImages:
        """List the images and read their headers."""
        if not root.is_dir():
            raise DataError(f"{role}: {root} is neither a cohort nor a folder of images.")
        files, others = [], 0
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in names:
                path = Path(folder, name)
                if path.suffix.lower() in _SUFFIXES and path.is_file() and not path.is_symlink():
                    files.append(path.relative_to(root).as_posix())
                else:
                    others += 1
        files.sort()
        if not files:
            raise DataError(f"{role}: {root} holds no PNG, JPEG or TIFF image.")
        sizes: Counter[Size] = Counter()
        problems = []
        for number, file in enumerate(files, start=1):
            try:
                with (root / file).open("rb") as stream:
                    header = read_header(stream, what=_what(number, len(files), role))
            except DataError as error:
                problems.append(error.message)
                continue
            sizes[header.height, header.width] += 1
        if problems:
            raise DataError(
                f"{role}: images cannot be read (in the order of file names).", problems
            )
        notes = (f"{role}: {others} files of other types were not read",) if others else ()
        return cls(role, root, tuple(files), sizes, notes)

    def __len__(self) -> int:
        return len(self.files)

    def load(self, size: Size, task: Task) -> npt.NDArray[np.uint8]:
        """See :class:`RoleImages`; images of another size are letterboxed."""
        pixels = np.empty((len(self), *size), np.uint8)
        problems = []
        for position, file in enumerate(self.files):
            try:
                image = decode_image(
                    (self.root / file).read_bytes(),
                    what=_what(position + 1, len(self), self.role),
                )
            except DataError as error:
                problems.append(error.message)
                continue
            if image.shape != size:
                height, width = image.shape
                image = Placement.fit((width, height), size[0]).image(image)
            pixels[position] = image
            task.advance()
        if problems:
            raise DataError(f"{self.role}: images cannot be read.", problems)
        return pixels

    def digest(self) -> str:
        """Return the digest over the digests of the files, whatever their names and order."""
        return self._content

    @cached_property
    def _content(self) -> str:
        return _digest(
            hashlib.sha256((self.root / file).read_bytes()).hexdigest() for file in self.files
        )

    def attributes(self) -> dict[str, tuple[str, ...]]:
        """Return nothing: a folder tells nothing of its images."""
        return {}

    def boxes(self) -> None:
        """Return None: a folder knows no lesion."""
        return None


def _what(number: int, total: int, role: str) -> str:
    return f"image {number} of {total} of {role}"


@dataclass(frozen=True, eq=False)
class ArrayImages:
    """An array of images in memory."""

    role: str
    pixels: npt.NDArray[np.uint8] = field(repr=False)
    notes: tuple[str, ...] = ()
    kind: str = "array"

    @classmethod
    def open(cls, pixels: npt.NDArray[np.uint8], role: str) -> ArrayImages:
        """Check type and shape."""
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.size == 0:
            raise DataError(
                f"{role}: expected a uint8 array of shape (n, H, W) with at least one image, "
                f"got {pixels.dtype} {pixels.shape}."
            )
        return cls(role, pixels)

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def sizes(self) -> Counter[Size]:
        """Number of images of each (height, width)."""
        height, width = self.pixels.shape[1:]
        return Counter({(height, width): len(self)})

    def load(self, size: Size, task: Task) -> npt.NDArray[np.uint8]:
        """See :class:`RoleImages`."""
        task.advance(len(self))
        return self.pixels

    def digest(self) -> str:
        """Return the digest over the digests of the images' shape and pixels."""
        return self._content

    @cached_property
    def _content(self) -> str:
        shape = np.array(self.pixels.shape[1:], "<u4").tobytes()
        return _digest(
            hashlib.sha256(shape + np.ascontiguousarray(image).tobytes()).hexdigest()
            for image in self.pixels
        )

    def attributes(self) -> dict[str, tuple[str, ...]]:
        """Return nothing: an array tells nothing of its images."""
        return {}

    def boxes(self) -> None:
        """Return None: an array knows no lesion."""
        return None


def _digest(digests: Iterable[str]) -> str:
    return "sha256:" + hashlib.sha256("\n".join(sorted(digests)).encode()).hexdigest()
