"""Where each frame lies among the pixels: one index, built without reading the pixels.

Uncompressed frames follow each other. Compressed ones are cut into fragments (PS3.5 A.4), and only
a table in front of them, or one fragment a frame, says which fragments belong together. Where the
fragments, the table and Number of Frames do not agree nobody knows which image is which, so that
is an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO, Final

from pydicom.uid import RLELossless

from privacy.deidentify.limits import ImagePixels, Limits
from privacy.deidentify.pixel_errors import LimitError, PixelDataError, StructureError
from privacy.deidentify.structure import UNDEFINED, Element, Encoding, read_element

__all__ = ["FrameIndex", "index_frames"]

_ITEM: Final = 0xFFFEE000
_END: Final = 0xFFFEE0DD
_LITTLE: Final = Encoding(implicit=True, little=True)
_STARTS: Final = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """The byte ranges of each frame, in order: (position, length) of one or more pieces."""

    pieces: tuple[tuple[tuple[int, int], ...], ...]

    def read(self, file: BinaryIO, frame: int) -> bytes:
        """Read the bytes of one frame as they are stored, padding included.

        Raises:
            StructureError: The file became shorter than it was.
        """
        parts = []
        for start, length in self.pieces[frame]:
            file.seek(start)
            part = file.read(length)
            if len(part) != length:
                raise StructureError(f"Frame {frame + 1} is cut short.")
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def index_frames(
    file: BinaryIO,
    element: Element,
    end: int,
    pixels: ImagePixels,
    syntax: str,
    limits: Limits,
    *,
    compressed: bool,
) -> FrameIndex:
    """Find the frames.

    Args:
        file: The open file.
        element: Where its pixels are.
        end: Where the file ends.
        pixels: The checked Image Pixel module.
        syntax: Transfer Syntax UID.
        limits: How much may be asked for.
        compressed: Whether the syntax stores pixels in fragments.

    Returns:
        The index of exactly Number of Frames frames.

    Raises:
        StructureError: Fragments or values are truncated or malformed.
        PixelDataError: Frames are missing, or there are more than the header says.
        LimitError: There are too many fragments, or one is larger than any frame can need.
    """
    if not compressed:
        return _native(element, pixels)
    if element.length != UNDEFINED:
        raise StructureError("Compressed pixels are stored with a length, not in fragments.")
    table, fragments = _fragments(file, element.start, end, limits)
    groups = _group(file, table, fragments, pixels.frames, rle=syntax == RLELossless)
    largest = _largest(pixels, rle=syntax == RLELossless)
    for number, group in enumerate(groups, 1):
        size = sum(length for _, length in group)
        if size > largest:
            raise LimitError(
                f"Frame {number} has {size} bytes compressed; no frame of its size needs more "
                f"than {largest}."
            )
    return FrameIndex(tuple(tuple(group) for group in groups))


def _native(element: Element, pixels: ImagePixels) -> FrameIndex:
    size = pixels.native_frame_bytes
    needed = size * pixels.frames
    if element.length == UNDEFINED:
        raise StructureError("Uncompressed pixels are stored without a length.")
    if element.length < needed:
        raise PixelDataError(
            f"The pixels are truncated: {element.length} bytes, where the header asks for {needed}."
        )
    if element.length > needed + needed % 2:
        # What lies behind the last frame was never described, so nobody can say what it shows.
        raise PixelDataError(
            f"The pixels have {element.length} bytes, where the header asks for {needed}."
        )
    return FrameIndex(
        tuple(((element.start + frame * size, size),) for frame in range(pixels.frames))
    )


def _fragments(
    file: BinaryIO, start: int, end: int, limits: Limits
) -> tuple[bytes, list[tuple[int, int]]]:
    """Read the offset table and the place of each fragment."""
    file.seek(start)
    table: bytes | None = None
    fragments: list[tuple[int, int]] = []
    while True:
        item = read_element(file, _LITTLE, end)
        if item.tag == _END:
            if item.length:
                raise StructureError("The delimiter behind the pixels has a length.")
            break
        if item.tag != _ITEM or item.length == UNDEFINED or item.start + item.length > end:
            raise StructureError(f"Fragment {len(fragments)} of the pixels is malformed or cut.")
        if table is None:
            if item.length > 4 * limits.frames:
                raise LimitError("The table of frames is longer than any number of frames needs.")
            table = file.read(item.length)
            continue
        if len(fragments) >= limits.fragments:
            raise LimitError(f"The pixels have more than {limits.fragments} fragments.")
        fragments.append((item.start, item.length))
        file.seek(item.start + item.length)
    if table is None or not fragments:
        raise PixelDataError("The pixels are empty.")
    return table, fragments


def _group(
    file: BinaryIO, table: bytes, fragments: list[tuple[int, int]], frames: int, *, rle: bool
) -> list[list[tuple[int, int]]]:
    """Put the fragments of each frame together (PS3.5 A.4)."""
    if rle or len(fragments) == frames:
        # PS3.5 A.4.2: each frame compressed by run lengths is one fragment.
        starts = list(range(len(fragments)))
    elif frames == 1:
        starts = [0]
    elif table:
        starts = _by_table(table, fragments)
    else:
        starts = _by_marker(file, fragments)
    if len(starts) != frames:
        raise PixelDataError(
            f"The pixels hold {len(starts)} frames in {len(fragments)} fragments, where the header "
            f"speaks of {frames}."
        )
    stops = [*starts[1:], len(fragments)]
    return [fragments[start:stop] for start, stop in zip(starts, stops, strict=True)]


def _by_table(table: bytes, fragments: list[tuple[int, int]]) -> list[int]:
    # Offsets count from the first item behind the table to the item in which a frame begins.
    first = fragments[0][0] - 8
    places = {start - 8 - first: number for number, (start, _) in enumerate(fragments)}
    offsets = [int.from_bytes(table[at : at + 4], "little") for at in range(0, len(table), 4)]
    starts = [places.get(offset, -1) for offset in offsets]
    if starts[0] != 0 or any(a >= b for a, b in pairwise(starts)):
        raise PixelDataError("The table of frames points between fragments or backwards.")
    return starts


def _by_marker(file: BinaryIO, fragments: list[tuple[int, int]]) -> list[int]:
    starts = []
    for number, (start, _) in enumerate(fragments):
        file.seek(start)
        if file.read(4).startswith(_STARTS):
            starts.append(number)
    if not starts or starts[0] != 0:
        raise PixelDataError("Nothing says which fragments belong to which frame.")
    return starts


def _largest(pixels: ImagePixels, *, rle: bool) -> int:
    """Bound the size of a compressed frame: what does not compress grows by a little only."""
    if not rle:
        return 2 * pixels.frame_bytes + (1 << 16)
    # PS3.5 G.3: 64 bytes of header; a row that does not repeat costs one byte in 128.
    segments = pixels.samples * (pixels.allocated // 8)
    row = pixels.columns + -(-pixels.columns // 128) + 2
    return 64 + segments * (pixels.rows * row + 2)
