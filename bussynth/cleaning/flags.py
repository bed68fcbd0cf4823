"""All flags of one image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from bussynth.cleaning.axilla import names_axilla
from bussynth.cleaning.body_marks import find_body_marks, find_logos
from bussynth.cleaning.calipers import find_calipers
from bussynth.cleaning.colour import is_doppler, is_elastography
from bussynth.cleaning.dual_view import find_seam
from bussynth.cleaning.invalid import find_invalidity
from bussynth.cleaning.text import find_text
from privacy.deidentify.colour_marks import ColourFinding, ColourKind

if TYPE_CHECKING:
    from privacy.deidentify.text import TextBox

__all__ = ["SENTENCES", "Flag", "find_flags"]


class Flag(StrEnum):
    """What is wrong with an image; `SENTENCES` says it in words.

    The codes and their order are kept; new ones are added at the end.
    """

    INVALID = "invalid"
    DUAL_VIEW = "dual-view"
    DOPPLER = "doppler"
    ELASTOGRAPHY = "elastography"
    COLOUR_MARKS = "colour-marks"
    TINT = "tint"
    CALIPERS = "calipers"
    TEXT = "text"
    BODY_MARK = "body-mark"
    AXILLA = "axilla"
    NEAR_DUPLICATE = "near-duplicate"

    @property
    def sentence(self) -> str:
        """What the flag says."""
        return SENTENCES[self]


SENTENCES: Final = {
    Flag.INVALID: "The frame is black, constant or smooth, and shows no tissue.",
    Flag.DUAL_VIEW: "Two views stand side by side.",
    Flag.DOPPLER: "Colour lies over the image as it does over flow.",
    Flag.ELASTOGRAPHY: "Colour fills a rectangle as a map of stiffness does.",
    Flag.COLOUR_MARKS: "Marks are drawn in colour.",
    Flag.TINT: "The gray scale is coloured.",
    Flag.CALIPERS: "Measurement marks are drawn over the tissue.",
    Flag.TEXT: "Letters or numbers are written over the image.",
    Flag.BODY_MARK: "A pictogram or a logo is drawn over the image.",
    Flag.AXILLA: "A text names the axilla.",
    Flag.NEAR_DUPLICATE: "Another image of the patient is nearly the same.",
}
"""What each flag says, in one sentence."""


def find_flags(
    gray: NDArray[np.uint8],
    *,
    colour: ColourFinding | None = None,
    text_boxes: Sequence[TextBox] | None = None,
    texts: Iterable[str] = (),
) -> tuple[Flag, ...]:
    """Find what is wrong with an image.

    Near-duplicates need all images of a patient and are found by
    `bussynth.cleaning.duplicates.near_duplicates`.

    Args:
        gray: Image (H, W) at the resolution of the machine.
        colour: The colour of the frame before it was turned gray. Without it, Doppler,
            elastography and colour are not looked for: in gray they cannot be seen.
        text_boxes: What a text engine found; lines of strokes are searched without it. Marks are
            told from letters by these boxes.
        texts: What is known to be written in the image or about it, for the axilla only.

    Returns:
        Flags in the order of `Flag`. An invalid frame has that flag and those of its colour.

    Raises:
        ValueError: The image is of another kind, or its colour is of another size.

    Example:
        >>> find_flags(np.zeros((40, 60), np.uint8))
        (<Flag.INVALID: 'invalid'>,)
    """
    if colour is not None and colour.mask.shape != gray.shape:
        raise ValueError("The colour was found in an image of another size.")
    found = set() if colour is None else _colour_flags(colour)
    if find_invalidity(gray) is not None:
        found.add(Flag.INVALID)
    else:
        boxes = find_text(gray, boxes=None if text_boxes is None else tuple(text_boxes))
        if boxes:
            found.add(Flag.TEXT)
        if find_seam(gray) is not None:
            found.add(Flag.DUAL_VIEW)
        if find_calipers(gray, text_boxes=boxes):
            found.add(Flag.CALIPERS)
        if find_body_marks(gray) or find_logos(gray, text_boxes=boxes):
            found.add(Flag.BODY_MARK)
    if names_axilla(texts):
        found.add(Flag.AXILLA)
    return tuple(flag for flag in Flag if flag in found)


def _colour_flags(colour: ColourFinding) -> set[Flag]:
    if colour.kind is ColourKind.MARKS:
        return {Flag.COLOUR_MARKS}
    if colour.kind is ColourKind.TINT:
        return {Flag.TINT}
    if is_elastography(colour):
        return {Flag.ELASTOGRAPHY}
    return {Flag.DOPPLER} if is_doppler(colour) else set()
