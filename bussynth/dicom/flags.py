"""What a cohort's image is suspected of, so that shortcuts do not reach a model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bussynth.cleaning.colour import is_elastography
from bussynth.cleaning.duplicates import SIDE, near_duplicates, signature
from bussynth.cleaning.flags import Flag, find_flags
from bussynth.dicom.record import FileRecord
from bussynth.images import decode_image
from privacy.deidentify.colour import gray_bytes
from privacy.deidentify.colour_marks import ColourKind, colour_finding
from privacy.deidentify.examine import FrameFinding, View
from privacy.deidentify.text import TextBox

__all__ = ["BY_RULE", "FLAGS", "duplicate_flags", "image_flags", "of_axilla"]

BY_RULE: Final = "by-rule"
"""A rule of the site gave the region."""

FLAGS: Final = (*(flag.value for flag in Flag), BY_RULE)
"""All flags that an image of a DICOM file can carry."""

_OF_COLOUR: Final = {ColourKind.MARKS: Flag.COLOUR_MARKS, ColourKind.TINT: Flag.TINT}


def image_flags(
    frame: NDArray[np.uint8], view: View, finding: FrameFinding, *, search: bool
) -> tuple[str, ...]:
    """Find the flags of a cleaned frame, at the resolution of the machine.

    Text and coloured marks count although they are painted over: a black box in their place tells
    a model as much.

    Args:
        frame: uint8 (H, W), or (H, W, 3) where a map of colour was kept.
        view: Its region.
        finding: What was seen in it.
        search: Whether to look for more than what is known already, which takes a tenth of a
            second.

    Returns:
        Flags in the order of :data:`FLAGS`.
    """
    found = {_OF_COLOUR[finding.colour]} if finding.colour in _OF_COLOUR else set()
    found |= {Flag.TEXT} if finding.text else set()
    colour = colour_finding(frame) if frame.ndim == 3 else None
    if search:
        boxes = tuple(TextBox(rectangle=box, score=1.0) for box in view.boxes(finding))
        found |= set(find_flags(gray_bytes(frame, 8), colour=colour, text_boxes=boxes))
    elif colour is not None and colour.kind is ColourKind.OVERLAY:
        found.add(Flag.ELASTOGRAPHY if is_elastography(colour) else Flag.DOPPLER)
    return _ordered({str(flag) for flag in found} | ({BY_RULE} if view.by_rule else set()))


def of_axilla(flags: Iterable[str]) -> tuple[str, ...]:
    """Add the flag of the axilla to those of an image; a header names it, pixels do not show it."""
    return _ordered({*flags, str(Flag.AXILLA)})


def _ordered(names: set[str]) -> tuple[str, ...]:
    return tuple(flag for flag in FLAGS if flag in names)


def duplicate_flags(
    records: Sequence[FileRecord], paths: dict[str, Path], size: int
) -> dict[str, tuple[str, ...]]:
    """Find images that are nearly those of an earlier file or frame of the same patient.

    Args:
        records: What became of the files.
        paths: Where the stored image of each id is.
        size: Edge length of stored images, in pixels.

    Returns:
        The flag for every image of a group but the first, by id.
    """
    if size < SIDE:
        return {}
    by_patient: defaultdict[str, list[str]] = defaultdict(list)
    for record in records:
        by_patient[record.patient] += [image.id for image in record.images]
    found: dict[str, tuple[str, ...]] = {}
    # Patient by patient, so that no more signatures are held than one has images.
    for patient, names in by_patient.items():
        if len(names) < 2:
            continue
        rows = [
            signature(decode_image(paths[name].read_bytes(), what=f"image {name}"))
            for name in names
        ]
        for group in near_duplicates(rows, [patient] * len(rows)):
            found |= {names[row]: (str(Flag.NEAR_DUPLICATE),) for row in group[1:]}
    return found
