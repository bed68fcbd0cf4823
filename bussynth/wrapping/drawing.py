"""Draw images from a model in pieces that survive a kill.

The work is cut into chunks; finished ones wait in a hidden folder beside the output, named after
the request, and the same command finds them there and goes on.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from bussynth import atomic
from bussynth.cohort import Row
from bussynth.errors import IntegrityError
from bussynth.ingest.geometry import Placement
from bussynth.ingest.notes import Note
from bussynth.progress import Progress
from bussynth.wrapping.conditions import cohort_vocabulary, requested

__all__ = ["Drawer", "Drawing", "draw_chunks", "drawn_rows", "remove_leftovers"]

_CHUNK: Final = 64
_BATCH: Final = 32


class Drawer(Protocol):
    """A model that is open."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Versions of the libraries that run it."""
        ...

    @property
    def notes(self) -> tuple[Note, ...]:
        """What the user should know."""
        ...

    def draw(
        self, rows: Sequence[int], conditions: Sequence[Mapping[str, str | None]]
    ) -> npt.NDArray[np.uint8]:
        """Draw images by number: uint8 (n, H, W).

        Args:
            rows: Numbers of the images; each depends on its number and conditions alone.
            conditions: What each is asked to be.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What is drawn, and where the pieces wait.

    Attributes:
        out: The cohort to be.
        digest: Of the model.
        request: All that changes an image, as plain values.
        n: Number of images.
        seed: Of the conditions.
        size: Edge length of the stored images.
        vocabulary: Values that the model is asked for, by column; may be empty.
        asked: Values held fixed.
        declared: Conditions of all images that the model was not asked for.
    """

    out: Path
    digest: str
    request: Mapping[str, Any]
    n: int
    seed: int
    size: int
    vocabulary: Mapping[str, Sequence[str]]
    asked: Mapping[str, str | None]
    declared: Mapping[str, str]

    @property
    def folder(self) -> Path:
        """Where the pieces wait; not ``.NAME.partial-*``, which another run would sweep."""
        key = atomic.canonical_json([self.digest, dict(self.request)]).encode()
        name = f".{self.out.name}.wrapping-{hashlib.sha256(key).hexdigest()[:16]}"
        return self.out.absolute().parent / name

    @property
    def chunks(self) -> range:
        """Numbers of the pieces."""
        return range(-(-self.n // _CHUNK))

    def rows(self, chunk: int) -> range:
        """Numbers of the images of a piece."""
        return range(chunk * _CHUNK, min((chunk + 1) * _CHUNK, self.n))

    def path(self, chunk: int) -> Path:
        """File of a piece."""
        return self.folder / f"chunk-{chunk:06d}.npy"

    def conditions(self, row: int) -> dict[str, str | None]:
        """What the model is asked to make image ``row``."""
        return requested(self.vocabulary, self.asked, self.seed, row)


def draw_chunks(
    drawer: Drawer, drawing: Drawing, *, batch_size: int | None, progress: Progress
) -> None:
    """Draw the pieces that are missing.

    Args:
        drawer: The model.
        drawing: What to draw.
        batch_size: Images computed at once.
        progress: Where to report.

    Raises:
        DataError: The model breaks its contract.
    """
    drawing.folder.mkdir(parents=True, exist_ok=True)
    missing = [chunk for chunk in drawing.chunks if not drawing.path(chunk).exists()]
    done = drawing.n - sum(len(drawing.rows(chunk)) for chunk in missing)
    step = batch_size or _BATCH
    with progress.task("Drawing images", total=drawing.n, done=done) as task:
        for chunk in missing:
            rows = drawing.rows(chunk)
            stored = np.empty((len(rows), drawing.size, drawing.size), np.uint8)
            for start in range(0, len(rows), step):
                part = rows[start : start + step]
                made = drawer.draw(part, [drawing.conditions(row) for row in part])
                height, width = made.shape[1:]
                placement = Placement.fit((width, height), drawing.size)
                for i, pixels in enumerate(made, start):
                    stored[i] = placement.image(pixels)
                task.advance(len(part))
            stream = io.BytesIO()
            np.save(stream, stored, allow_pickle=False)
            atomic.write_bytes(drawing.path(chunk), stream.getvalue())


def drawn_rows(drawing: Drawing) -> Iterator[Row]:
    """Yield the rows of the cohort, read back piece by piece.

    Raises:
        IntegrityError: A piece is damaged.
    """
    columns = cohort_vocabulary(drawing.vocabulary)
    for chunk in drawing.chunks:
        rows, path = drawing.rows(chunk), drawing.path(chunk)
        try:
            images: npt.NDArray[np.uint8] = np.load(path, allow_pickle=False)
        except (ValueError, EOFError):
            images = np.empty(0, np.uint8)
        if images.shape != (len(rows), drawing.size, drawing.size) or images.dtype != np.uint8:
            raise IntegrityError(f"{path} is damaged; delete it and run the same command again.")
        for row, image in zip(rows, images, strict=True):
            conditions = dict.fromkeys(columns) | drawing.conditions(row) | dict(drawing.declared)
            yield Row.from_arrays(id=f"synthetic-{row:08d}", image=image, conditions=conditions)


def remove_leftovers(out: Path) -> None:
    """Delete the pieces of all requests for a cohort that is now written."""
    for leftover in out.absolute().parent.glob(f".{out.name}.wrapping-*"):
        shutil.rmtree(leftover, ignore_errors=True)
