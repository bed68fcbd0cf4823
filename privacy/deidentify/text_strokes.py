"""Lines of text by the shape of bright strokes, without a model.

`strokes` marks what looks drawn; here marked pixels that hold together are a line of text if they
have the height of letters, are wider than high, and are as broken as letters are. A caliper is too
square, an interface of tissue too thin or too full.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privacy.deidentify.strokes import StrokeSettings, stroke_mask
from privacy.deidentify.text import TextBox, check_gray, text_box

__all__ = ["StrokesDetector"]

_SETTINGS: Final = StrokeSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class StrokesDetector:
    """Finds lines of bright text.

    Attributes:
        lowest: Height of the lowest line, in pixels, with the margin of the strokes.
        highest: Height of the highest line.
        aspect: A line is so many times wider than high, at least.
        fill: Share of the box that strokes and their margin fill, at least.
    """

    lowest: int = 11
    highest: int = 56
    aspect: float = 1.6
    fill: float = 0.6

    @property
    def name(self) -> str:
        """Engine and its settings, for the record."""
        return (
            f"strokes, height {self.lowest} to {self.highest}, aspect {self.aspect}, "
            f"fill {self.fill}"
        )

    def find(self, image: NDArray[np.uint8]) -> tuple[TextBox, ...]:
        """Find lines; see `TextDetector`."""
        from scipy import ndimage

        check_gray(image)
        labels, _ = ndimage.label(stroke_mask(image, _SETTINGS), np.ones((3, 3)))
        boxes = []
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
            height, width = rows.stop - rows.start, columns.stop - columns.start
            fill = float((labels[rows, columns] == number).mean())
            if not self.lowest <= height <= self.highest:
                continue
            if width < self.aspect * height or fill < self.fill:
                continue
            edges = (columns.start, rows.start, columns.stop, rows.stop)
            # The strokes have their margin already.
            box = text_box(edges, (0, 0), image.shape, fill)
            if box is not None:
                boxes.append(box)
        return tuple(boxes)
