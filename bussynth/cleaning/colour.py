"""Doppler and elastography, by the colour that lies over an image.

`privacy.deidentify.colour_marks` finds coherent colour; here it is told apart. A map of stiffness
fills the rectangle it was measured in, flow fills vessels only. **It is a rule of thumb**: flow
that fills its box is taken for stiffness, and a map of stiffness with many holes for flow. Power
and directional Doppler are not told apart.

Once a frame was turned gray, neither can be seen any more: PNG folders of gray images cannot be
checked for this.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from privacy.deidentify.colour_marks import ColourFinding, ColourKind

__all__ = ["is_doppler", "is_elastography"]

# The largest coloured piece of a map of stiffness fills its box to this share, takes this share of
# the image and of all colour. A disc fills 0.79 of its box, but vessels bend and branch.
_FILLED: Final = 0.85
_LEAST_SHARE: Final = 0.04
_LARGEST_PIECE: Final = 0.5


def is_elastography(finding: ColourFinding) -> bool:
    """Say whether colour fills a rectangle, as a map of stiffness does.

    Args:
        finding: The colour of the frame, before it was turned gray.
    """
    from scipy import ndimage

    if finding.kind is not ColourKind.OVERLAY:
        return False
    # A map is gray where its colours cross; holes of a few pixels are closed.
    closed = ndimage.binary_closing(np.pad(finding.mask, 4), np.ones((5, 5)))[4:-4, 4:-4]
    labels, _ = ndimage.label(closed)
    sizes = np.bincount(labels.ravel())[1:]
    largest = int(np.argmax(sizes))
    rows, columns = ndimage.find_objects(labels)[largest]
    box = (rows.stop - rows.start) * (columns.stop - columns.start)
    return bool(
        sizes[largest] >= _FILLED * box
        and sizes[largest] >= _LEAST_SHARE * closed.size
        and sizes[largest] >= _LARGEST_PIECE * sizes.sum()
    )


def is_doppler(finding: ColourFinding) -> bool:
    """Say whether there is coherent colour that fills no rectangle, as flow does.

    Args:
        finding: The colour of the frame, before it was turned gray.
    """
    return finding.kind is ColourKind.OVERLAY and not is_elastography(finding)
