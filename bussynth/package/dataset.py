"""The images of a verified package as a map-style dataset, with or without torch."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bussynth import atomic
from bussynth.cohort.row import Row
from bussynth.errors import DataError, MissingDependencyError, UsageError
from bussynth.images import decode_image
from bussynth.package.info import PackageInfo
from bussynth.package.names import is_plain_word
from bussynth.package.shards import CohortFace
from bussynth.progress import SILENT, Progress

__all__ = ["PackageDataset", "csv_cell"]

_BOX = ("x0", "y0", "x1", "y1")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_cell(value: object) -> str:
    """Return a cell that no spreadsheet takes for a formula.

    A text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a carriage return gets an
    apostrophe in front; None becomes an empty cell. Numbers stay numbers.
    """
    if value is None:
        return ""
    text = str(value)
    guard = not isinstance(value, (int, float)) and text.startswith(_FORMULA)
    return f"'{text}" if guard else text


class PackageDataset:
    """Images and labels of a package whose signature and bytes were verified.

    Item ``i`` is a dict whose values the default collate function of torch accepts:

    ==============  ==========================================================================
    ``image``       float32 (1, H, W), 0 black to 1 white; a tensor if torch is used
    ``label``       index into :attr:`classes`, -1 if the pathology is unknown
    ``id``          name of the image in the package
    conditions      ``pathology``, ``device``, … as text, ``""`` if unknown
    ``lesion_box``  float32 (4,): x0, y0, x1, y1 in pixels, zeros if there is none
    ``has_box``     whether ``lesion_box`` is a box
    ``mask``        float32 (1, H, W), 0 or 1; only if the package has masks
    ``has_mask``    whether this image has one; only if the package has masks
    ==============  ==========================================================================

    All images are held in memory as PNG. Made by :func:`bussynth.package.load`.

    Args:
        rows: The verified rows.
        face: Image size and vocabulary.
        info: The verified manifest.
        transform: Applied to ``image``; gets and returns an array, or a tensor with torch.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        face: CohortFace,
        info: PackageInfo,
        transform: Callable[[Any], Any] | None = None,
    ) -> None:
        self._rows = list(rows)
        self._face = face
        self._info = info
        self._transform = transform
        self._labels = {name: index for index, name in enumerate(self.classes)}

    @property
    def info(self) -> PackageInfo:
        """The verified manifest of the package."""
        return self._info

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the pathologies; a label is an index into them."""
        return tuple(self._face.vocabulary["pathology"])

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of every image, in pixels."""
        return self._face.image_size

    @property
    def vocabulary(self) -> dict[str, tuple[str, ...]]:
        """The possible values of each condition."""
        return {column: tuple(words) for column, words in self._face.vocabulary.items()}

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """Labels of all images without decoding them, int64 (n,); for samplers and splits."""
        return np.array([self._label(row) for row in self._rows], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"image {index} of a dataset of {len(self)}")
        row = self._rows[index]
        image = self._tensor(self._plane(row.png, f"image {row.id}", 255.0))
        item: dict[str, Any] = {
            "image": image if self._transform is None else self._transform(image),
            "label": self._label(row),
            "id": row.id,
            **{column: row.conditions.get(column) or "" for column in self._face.vocabulary},
            "lesion_box": self._tensor(np.array(row.lesion_box or (0, 0, 0, 0), np.float32)),
            "has_box": row.lesion_box is not None,
        }
        if self._face.masks:
            item["has_mask"] = row.mask_png is not None
            item["mask"] = self._tensor(
                np.zeros((1, *self.image_size), np.float32)
                if row.mask_png is None
                else np.round(self._plane(row.mask_png, f"mask of image {row.id}", 255.0))
            )
        return item

    def __repr__(self) -> str:
        info = self._info
        height, width = self.image_size
        what = "synthetic images" if info.manifest.derived is None else "images derived from real"
        return (
            f"{type(self).__name__}({info.name} {info.version}: {len(self)} {what} of "
            f"{width}x{height}, classes {', '.join(self.classes)}; licence {info.license}; "
            f"{info.privacy_words})"
        )

    def to_pandas(self) -> Any:
        """Return everything but pixels as a ``pandas.DataFrame``, one row an image.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise MissingDependencyError(
                "to_pandas() needs pandas; install it: pip install pandas"
            ) from error
        return pd.DataFrame([self._record(row) for row in self._rows])

    def to_imagefolder(
        self, path: Path | str, *, force: bool = False, progress: Progress = SILENT
    ) -> int:
        """Write ``CLASS/ID.png`` and ``metadata.csv``, as torchvision and datasets read it.

        Masks are not part of that layout and are not written. The files carry no signature;
        keep the package beside them.

        Args:
            path: Folder to make.
            force: Replace a folder made by this method.
            progress: Where to report images done.

        Returns:
            Number of images written.

        Raises:
            UsageError: The folder exists.
            DataError: The file system refused; nothing is left behind.
        """
        table = io.StringIO(newline="")
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["file_name", *self._columns()])
        with (
            atomic.new_directory(path, force=force, markers=("metadata.csv",)) as staging,
            progress.task("Writing images", len(self)) as task,
        ):
            for row in self._rows:
                word = row.conditions.get("pathology") or "unknown"
                # Words come from the package: one that cannot name a folder gets its number.
                folder = word if is_plain_word(word) else f"class-{self._label(row)}"
                (staging / folder).mkdir(exist_ok=True)
                (staging / folder / f"{row.id}.png").write_bytes(row.png)
                record = self._record(row)
                cells = [record[column] for column in self._columns()]
                writer.writerow([f"{folder}/{row.id}.png", *map(csv_cell, cells)])
                task.advance()
            (staging / "metadata.csv").write_text(table.getvalue(), encoding="utf-8", newline="")
        return len(self)

    def _columns(self) -> list[str]:
        return ["id", "label", *self._face.vocabulary, *_BOX, "sha256"]

    def _record(self, row: Row) -> dict[str, Any]:
        box = row.lesion_box or (None,) * 4
        return {
            "id": row.id,
            "label": self._label(row),
            **{column: row.conditions.get(column) for column in self._face.vocabulary},
            **dict(zip(_BOX, box, strict=True)),
            "sha256": hashlib.sha256(row.png).hexdigest(),
        }

    def _label(self, row: Row) -> int:
        return self._labels.get(row.conditions.get("pathology") or "", -1)

    def _plane(self, png: bytes, what: str, scale: float) -> npt.NDArray[np.float32]:
        height, width = self.image_size
        pixels = decode_image(png, what=what, max_pixels=height * width)
        if pixels.shape != (height, width):
            raise DataError(f"{what} is not {width}x{height} pixels.")
        return (pixels.astype(np.float32) / np.float32(scale))[None]

    def _tensor(self, array: npt.NDArray[np.float32]) -> Any:
        """Return the array as the framework wants it; numpy here, torch in the subclass."""
        return array


def check_split(split: str | None) -> None:
    """Refuse a split that packages do not have.

    Raises:
        UsageError: ``split`` is neither None nor ``"train"``.
    """
    if split not in (None, "train"):
        raise UsageError(
            f"split={split!r}: a package has the one split 'train'; hold images out with "
            "torch.utils.data.random_split, and test on real examinations."
        )
