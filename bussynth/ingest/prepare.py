"""The heavy half of an ingest: decode, place, encode. A pure function of its inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bussynth.errors import DataError
from bussynth.images import encode_png
from bussynth.ingest.boxes import boxes_differ, mask_box
from bussynth.ingest.geometry import Box, Placement
from bussynth.ingest.source import SourceImage

__all__ = ["Prepared", "Recipe", "prepare", "prepare_chunk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How images become rows.

    Attributes:
        size: Edge length of the stored images.
        geometry: See :class:`bussynth.ingest.geometry.Placement`.
        box_from_mask: Take lesion boxes from the masks.
        leave_out: Images with one of these flags are left out; see
            :mod:`bussynth.cleaning.flags`.
        text_engine: Who looks for text, where flags are looked for.
    """

    size: int
    geometry: str
    box_from_mask: bool = False
    leave_out: tuple[str, ...] = ()
    text_engine: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """One image ready to be written, or the reason why it is not.

    Attributes:
        problem: Why the image cannot be used; the other fields are then empty.
        left_out: The flag for which it is left out; the other fields are then empty.
        png: The stored image.
        mask_png: The stored mask, if there is one.
        box: The lesion box in pixels of the stored image.
        source_digest: SHA-256 of the source pixels; equal pixels in two files show here.
        flags: What is worth counting: ``"enlarged"``, ``"empty-mask"``, ``"box-mask"``.
    """

    problem: str | None = None
    left_out: str | None = None
    png: bytes = field(default=b"", repr=False)
    mask_png: bytes | None = field(default=None, repr=False)
    box: Box | None = None
    source_digest: bytes = field(default=b"", repr=False)
    flags: tuple[str, ...] = ()


def prepare_chunk(images: Sequence[SourceImage], recipe: Recipe) -> list[Prepared]:
    """Prepare several images in order; see :func:`prepare`."""
    return [prepare(image, recipe) for image in images]


def prepare(image: SourceImage, recipe: Recipe) -> Prepared:
    """Decode one image, bring it to the cohort's size and encode it.

    Args:
        image: The record; its name and patient are not used.
        recipe: What to do.

    Returns:
        The result. Data that cannot be used do not raise: they are reported in ``problem``, so
        that one run finds them all.
    """
    try:
        return _prepare(image, recipe)
    except DataError as error:
        return Prepared(problem=error.message)


def _prepare(image: SourceImage, recipe: Recipe) -> Prepared:
    where = image.where
    pixels = image.pixels.image(where)
    height, width = pixels.shape
    if (width, height) != image.size:
        raise DataError(f"{where}: the image has another size than its header said before.")
    left_out = _flag(pixels, recipe)
    if left_out is not None:
        return Prepared(left_out=left_out)
    placement = Placement.fit(image.size, recipe.size, recipe.geometry)
    flags = ["enlarged"] if placement.enlarges else []

    mask = image.pixels.mask(where)
    around = None
    mask_png = None
    if mask is not None:
        if mask.shape != pixels.shape:
            raise DataError(f"{where}: the mask has another size than the image.")
        around = mask_box(mask)
        if around is None:
            flags.append("empty-mask")
        mask_png = encode_png(placement.mask(mask).astype(np.uint8) * np.uint8(255))

    box = around if recipe.box_from_mask else image.box
    if image.box is not None and around is not None and boxes_differ(image.box, around):
        flags.append("box-mask")
    stored_box = None
    if box is not None:
        stored_box = placement.box(box)
        if stored_box is None:
            raise DataError(
                f"{where}: the crop leaves nothing of the lesion; use the geometry letterbox."
            )
    digest = hashlib.sha256(f"{width}x{height}:".encode())
    digest.update(pixels.tobytes())
    return Prepared(
        png=encode_png(placement.image(pixels)),
        mask_png=mask_png,
        box=stored_box,
        source_digest=digest.digest(),
        flags=tuple(flags),
    )


def _flag(pixels: NDArray[np.uint8], recipe: Recipe) -> str | None:
    """Return the first flag of an image that the site leaves out."""
    if not recipe.leave_out:
        return None
    from bussynth.cleaning.engine import open_engine
    from bussynth.cleaning.flags import find_flags

    boxes = open_engine(recipe.text_engine).find(pixels)
    found = find_flags(pixels, text_boxes=boxes)
    return next((str(flag) for flag in found if flag in recipe.leave_out), None)
