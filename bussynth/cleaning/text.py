"""Burned-in text, as the text gate of de-identification finds it.

The gate has several engines (`privacy.deidentify.text`); the caller opens one and gives it here.
Without one, lines of bright strokes are taken for text: no model is needed, letters over bright
tissue are missed, and some tissue is marked. Numbers beside calipers and on scales are text too.
What a text says is never read here; see `bussynth.cleaning.axilla`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from privacy.deidentify.regions import Rectangle
    from privacy.deidentify.text import TextBox, TextDetector

__all__ = ["TextSettings", "find_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSettings:
    """What counts as text.

    Attributes:
        least_score: Boxes of which the engine is less sure are left out; engines differ.
        least_height: Lower boxes are left out, in pixels: a letter of 5 pixels cannot be read.
    """

    least_score: float = 0.0
    least_height: int = 6

    def __post_init__(self) -> None:
        if not 0 <= self.least_score <= 1 or self.least_height < 1:
            raise ValueError("least_score is within 0 to 1, and least_height at least 1.")


def find_text(
    gray: NDArray[np.uint8],
    *,
    detector: TextDetector | None = None,
    boxes: tuple[TextBox, ...] | None = None,
    settings: TextSettings | None = None,
) -> tuple[Rectangle, ...]:
    """Say where text is.

    Args:
        gray: Image (H, W) at the resolution of the machine.
        detector: An opened engine; lines of strokes unless told.
        boxes: What an engine has found in this image already; nothing is searched then.
        settings: What counts as text.

    Returns:
        Boxes, from top to bottom.

    Raises:
        ValueError: The image is of another kind.
        TextEngineError: The engine failed; nothing is known about the image.

    Example:
        >>> find_text(np.full((40, 60), 90, np.uint8))
        ()
    """
    settings = settings or TextSettings()
    if boxes is None:
        if detector is None:
            from privacy.deidentify.text_strokes import StrokesDetector

            detector = StrokesDetector()
        boxes = detector.find(gray)
    return tuple(
        box.rectangle
        for box in boxes
        if box.score >= settings.least_score and box.rectangle.height >= settings.least_height
    )
