"""What becomes of text that is found inside the region that is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from privacy.deidentify.regions import Rectangle

__all__ = ["blank", "clear_part", "covered_share"]


def blank(image: NDArray[np.uint8], boxes: Iterable[Rectangle]) -> NDArray[np.uint8]:
    """Return a copy with boxes painted black.

    PS3.15 E.3.1 asks that the pixels change; a shutter or overlay on top would not do.

    Args:
        image: uint8 (H, W) or (H, W, 3).
        boxes: Inside of the image.

    Returns:
        An array of its own.
    """
    out = np.array(image)
    for box in boxes:
        out[box.top : box.bottom, box.left : box.right] = 0
    return out


def covered_share(boxes: Sequence[Rectangle], rows: int, columns: int) -> float:
    """Return the share of an image that boxes cover, 0 to 1; overlaps count once."""
    mask = np.zeros((rows, columns), np.bool_)
    for box in boxes:
        mask[box.top : box.bottom, box.left : box.right] = True
    return float(mask.mean())


def clear_part(boxes: Sequence[Rectangle], rows: int, columns: int) -> Rectangle | None:
    """Cut strips off the edges of an image until no box is left in it.

    Box by box, in reading order, the cut is taken that loses least; so it is not the largest
    clear rectangle there is, but nearly so for text near the edges.

    Args:
        boxes: Where text is.
        rows: Height of the image.
        columns: Width of the image.

    Returns:
        The clear part, or None if nothing is left.
    """
    part = Rectangle(0, 0, columns, rows)
    for box in sorted(boxes, key=lambda one: (one.top, one.left)):
        if not part.overlaps(box):
            continue
        sides = (
            (part.left, box.bottom, part.right, part.bottom),
            (part.left, part.top, part.right, box.top),
            (box.right, part.top, part.right, part.bottom),
            (part.left, part.top, box.left, part.bottom),
        )
        cuts = [Rectangle(*side) for side in sides if side[0] < side[2] and side[1] < side[3]]
        if not cuts:
            return None
        part = max(cuts, key=lambda one: one.width * one.height)
    return part
