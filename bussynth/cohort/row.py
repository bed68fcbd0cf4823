"""One row of a cohort: an image and what is known of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from bussynth.errors import DataError
from bussynth.images import decode_image, encode_png

__all__ = ["SPLITS", "Box", "Row"]

Box: TypeAlias = tuple[float, float, float, float]

SPLITS = ("train", "control", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One image of a cohort.

    Attributes:
        id: Unique name of the image; tells nothing of the patient.
        png: The image as 8-bit grey PNG bytes.
        patient: Keyed pseudonym of the patient; None in synthetic cohorts.
        split: ``"train"``, ``"control"``, ``"test"`` or None.
        conditions: Value of each condition (``pathology``, ``device``, …), None if unknown.
        lesion_box: ``(x0, y0, x1, y1)`` in pixels of the stored image, edges half-open.
        mask_png: Lesion mask as PNG bytes with values 0 and 255, or None.
    """

    id: str
    png: bytes = field(repr=False)
    patient: str | None = None
    split: str | None = None
    conditions: Mapping[str, str | None] = field(default_factory=dict)
    lesion_box: Box | None = None
    mask_png: bytes | None = field(default=None, repr=False)

    @classmethod
    def from_arrays(
        cls,
        *,
        id: str,
        image: npt.NDArray[np.uint8],
        mask: npt.NDArray[np.bool_] | None = None,
        patient: str | None = None,
        split: str | None = None,
        conditions: Mapping[str, str | None] | None = None,
        lesion_box: Sequence[float] | None = None,
    ) -> Row:
        """Make a row from pixels.

        Args:
            id: See the class.
            image: Grey values, shape (H, W), uint8.
            mask: Lesion mask, shape (H, W), bool.
            patient: See the class.
            split: See the class.
            conditions: See the class.
            lesion_box: Four numbers; see the class.
        """
        box: Box | None = None
        if lesion_box is not None:
            x0, y0, x1, y1 = (float(edge) for edge in lesion_box)
            box = (x0, y0, x1, y1)
        return cls(
            id=id,
            png=encode_png(image),
            patient=patient,
            split=split,
            conditions=dict(conditions or {}),
            lesion_box=box,
            mask_png=None if mask is None else encode_png(mask.astype(np.uint8) * np.uint8(255)),
        )

    @property
    def image(self) -> npt.NDArray[np.uint8]:
        """Grey values, shape (H, W), uint8, decoded from :attr:`png`."""
        return decode_image(self.png, what=f"image {self.id}")

    @property
    def mask(self) -> npt.NDArray[np.bool_] | None:
        """Lesion mask, shape (H, W), bool, or None."""
        if self.mask_png is None:
            return None
        return np.asarray(decode_image(self.mask_png, what=f"mask of image {self.id}") > 127)

    def check(
        self, image_size: tuple[int, int], vocabulary: Mapping[str, Sequence[str]]
    ) -> list[str]:
        """Return what is wrong with the row, one line each, without echoing its values."""
        problems = []
        height, width = image_size
        if not self.id:
            problems.append("has no id")
        if png_size(self.png) != image_size:
            problems.append(f"image is not {width}x{height} pixels")
        if self.mask_png is not None and png_size(self.mask_png) != image_size:
            problems.append(f"mask is not {width}x{height} pixels")
        if self.split is not None and self.split not in SPLITS:
            problems.append(f"split is none of {', '.join(SPLITS)}")
        for column, value in self.conditions.items():
            if column not in vocabulary:
                problems.append(f"has a condition {column!r} that the vocabulary lacks")
            elif value is not None and value not in vocabulary[column]:
                problems.append(f"{column} is none of {', '.join(vocabulary[column])}")
        if self.lesion_box is not None:
            x0, y0, x1, y1 = self.lesion_box
            if not all(math.isfinite(edge) for edge in self.lesion_box):
                problems.append("lesion box holds a value that is not finite")
            elif not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
                problems.append(
                    f"lesion box is empty, inverted or outside the {width}x{height} image"
                )
        return problems


def png_size(png: bytes) -> tuple[int, int]:
    """Read (height, width) from the header of a PNG without decoding it.

    Raises:
        DataError: The bytes are no PNG.
    """
    if len(png) < 24 or png[:8] != b"\x89PNG\r\n\x1a\n" or png[12:16] != b"IHDR":
        raise DataError("A row's image is not a PNG.")
    return int.from_bytes(png[20:24], "big"), int.from_bytes(png[16:20], "big")
