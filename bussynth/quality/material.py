"""Images and what is known of them: what is judged, and what the judges learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from bussynth.cohort.cohort import Cohort
from bussynth.errors import DataError, UsageError
from bussynth.progress import SILENT, Progress

__all__ = ["Facts", "Material"]

_NORMAL: Final = "normal"


@dataclass(frozen=True, kw_only=True, eq=False)
class Facts:
    """What is known of n images.

    Attributes:
        conditions: By column, the value of each image, None where unknown. Of synthetic images
            it is what was requested.
        boxes: Lesion boxes, float64 (n, 4), x0 y0 x1 y1 in pixels, NaN where there is none.
        patients: int64 (n,), number of the patient. Synthetic images have none: there, each
            image counts for itself.
    """

    conditions: Mapping[str, tuple[str | None, ...]]
    boxes: npt.NDArray[np.float64]
    patients: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        """Check that all parts speak of the same images."""
        n = len(self)
        problems = [
            f"{column}: {len(values)} values for {n} images"
            for column, values in self.conditions.items()
            if len(values) != n
        ]
        if self.boxes.shape != (n, 4):
            problems.append(f"boxes: expected shape ({n}, 4). Got {self.boxes.shape}")
        if problems:
            raise UsageError("What is known of the images does not fit together.", problems)

    @classmethod
    def of(
        cls,
        n: int,
        *,
        conditions: Mapping[str, Sequence[str | None]] | None = None,
        boxes: Sequence[Sequence[float] | None] | npt.NDArray[np.float64] | None = None,
        patients: Sequence[str] | None = None,
    ) -> Facts:
        """Collect what is known from plain lists.

        Args:
            n: Images.
            conditions: By column, one value an image.
            boxes: One box an image, None or NaN where there is none.
            patients: One key an image; if not given, each image counts for itself.

        Raises:
            UsageError: There is not one entry an image.
        """
        given = [None] * n if boxes is None else boxes
        placed = np.full((len(given), 4), np.nan)
        for row, box in enumerate(given):
            if box is not None:
                placed[row] = box
        numbers = np.arange(n) if patients is None else np.unique(patients, return_inverse=True)[1]
        if len(numbers) != n:
            raise UsageError(f"patients: {len(numbers)} keys for {n} images.")
        told = {column: tuple(values) for column, values in (conditions or {}).items()}
        return cls(conditions=told, boxes=placed, patients=numbers.astype(np.int64))

    @classmethod
    def from_cohort(cls, cohort: Cohort) -> Facts:
        """Read what a cohort, or a view of one, says of its images; no pixel is decoded.

        Raises:
            DataError: There are no images.
        """
        people = [] if cohort.kind == "synthetic" else ["patient"]
        table = cohort.table([*people, *cohort.vocabulary, "lesion_box"])
        return cls.of(
            table.num_rows,
            conditions={name: table.column(name).to_pylist() for name in cohort.vocabulary},
            boxes=table.column("lesion_box").to_pylist(),
            patients=table.column("patient").to_pylist() if people else None,
        )

    def __len__(self) -> int:
        return len(self.patients)

    @property
    def has_box(self) -> npt.NDArray[np.bool_]:
        """Which images have a lesion box: bool (n,)."""
        return np.asarray(np.isfinite(self.boxes).all(axis=1))

    @property
    def is_normal(self) -> npt.NDArray[np.bool_]:
        """Which images are stated to show no lesion: bool (n,)."""
        values = self.conditions.get("pathology", (None,) * len(self))
        stated = np.array([value == _NORMAL for value in values], np.bool_)
        return np.asarray(stated & ~self.has_box)

    def labels(self, column: str, values: Sequence[str]) -> npt.NDArray[np.int64]:
        """Number the values of a column: int64 (n,), -1 for any other value."""
        numbers = {value: number for number, value in enumerate(values)}
        return np.array([numbers.get(v or "", -1) for v in self.conditions[column]], np.int64)


@dataclass(frozen=True, kw_only=True, eq=False)
class Material:
    """Images with what is known of them.

    Attributes:
        images: Grey values, uint8 (n, H, W).
        facts: Of these images, in this order.
    """

    images: npt.NDArray[np.uint8]
    facts: Facts

    def __post_init__(self) -> None:
        """Check shapes and types."""
        images = self.images
        if images.ndim != 3 or images.dtype != np.uint8 or not len(images):
            raise UsageError(
                f"images: expected uint8 (n, H, W), n >= 1. Got {images.dtype} {images.shape}."
            )
        if len(images) != len(self.facts):
            raise UsageError(f"Something is known of {len(self.facts)} of {len(images)} images.")

    @classmethod
    def from_cohort(cls, cohort: Cohort, *, progress: Progress = SILENT) -> Material:
        """Decode all images of a cohort, or a view of one; they are held in memory.

        Raises:
            DataError: There are no images, or one cannot be decoded.
            IntegrityError: Stored bytes are not those of the manifest.
        """
        if not len(cohort):
            raise DataError("The selection holds no images.")
        with progress.task("Reading", total=len(cohort)) as task:
            cohort.verify()
            images = cohort.images()
            task.advance(len(images))
        return cls(images=images, facts=Facts.from_cohort(cohort))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of every image, in pixels."""
        return self.images.shape[1], self.images.shape[2]
