"""The pixel half of a planted object: frames with burned-in words, stored in one of ten ways."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.deidentify.header import tag
from benchmarks.deidentify.pictures import Box, Frame, Style, Text, draw, jpeg, rle, tissue, to_ybr
from benchmarks.deidentify.raw import Element, Syntax, fragments
from benchmarks.deidentify.tokens import Planter

__all__ = ["KINDS", "Kind", "Pixels", "Surplus", "paint", "store"]

ROWS: Final = 160
COLUMNS: Final = 224
GROUP: Final = "beside pixels"

EXPLICIT: Final = Syntax("1.2.840.10008.1.2.1")
IMPLICIT: Final = Syntax("1.2.840.10008.1.2", implicit=True)
BIG: Final = Syntax("1.2.840.10008.1.2.2", little=False)
DEFLATED: Final = Syntax("1.2.840.10008.1.2.1.99", deflated=True)
RLE: Final = Syntax("1.2.840.10008.1.2.5", encapsulated=True)
JPEG: Final = Syntax("1.2.840.10008.1.2.4.50", encapsulated=True)


@dataclass(frozen=True, slots=True)
class Kind:
    """A way to store frames.

    Attributes:
        name: What to call it.
        syntax: Transfer syntax.
        photometric: Photometric Interpretation.
        frames: How many frames.
        bits: Bits stored; more than 8 means 16 allocated.
        planar: Planar Configuration.
        tolerance: How far a decoded gray may be from what was drawn.
    """

    name: str
    syntax: Syntax
    photometric: str
    frames: int = 1
    bits: int = 8
    planar: int = 0
    tolerance: int = 0

    @property
    def colour(self) -> bool:
        """Whether there are three samples a pixel."""
        return self.photometric not in ("MONOCHROME2", "PALETTE COLOR")


KINDS: Final = (
    Kind("explicit, gray", EXPLICIT, "MONOCHROME2"),
    Kind("implicit, RGB, 3 frames", IMPLICIT, "RGB", 3),
    Kind("big endian, palette", BIG, "PALETTE COLOR", tolerance=1),
    Kind("run lengths, gray, 3 frames", RLE, "MONOCHROME2", 3),
    Kind("deflated, YBR_FULL", DEFLATED, "YBR_FULL", tolerance=2),
    Kind("JPEG, gray, 3 frames", JPEG, "MONOCHROME2", 3, tolerance=16),
    Kind("big endian, RGB by plane", BIG, "RGB", planar=1),
    Kind("JPEG, YBR_FULL_422", JPEG, "YBR_FULL_422", tolerance=16),
    Kind("run lengths, RGB", RLE, "RGB"),
    Kind("explicit, palette, 3 frames", EXPLICIT, "PALETTE COLOR", 3, tolerance=1),
)
DEEP: Final = Kind("explicit, 12 of 16 bits", EXPLICIT, "MONOCHROME2", bits=12, tolerance=1)

BANNERS: Final = (
    Style(12, 0, 255),
    Style(10, 0, 140),
    Style(9, 0, 60),
    Style(11, 40, 70),
    Style(12, 255, 0),
    Style(14, 20, 230),
    Style(9, 90, 120),
)
INSIDE: Final = (
    Style(11, None, 140),
    Style(14, None, 110),
    Style(18, None, 80),
    Style(9, None, 160),
    Style(10, 0, 200),
    Style(12, 0, 110),
    Style(13, None, 60),
)


@dataclass(frozen=True, eq=False)
class Pixels:
    """Frames as they were drawn, and as they are stored.

    Attributes:
        kind: How they are stored.
        gray: uint8 (frames, H, W), as a viewer should show them.
        region: Where tissue is.
        texts: What was burned in.
        elements: The Image Pixel module.
    """

    kind: Kind
    gray: npt.NDArray[np.uint8]
    region: Box
    texts: tuple[Text, ...]
    elements: list[Element] = field(default_factory=list)


def paint(rng: np.random.Generator, planter: Planter, kind: Kind, number: int) -> Pixels:
    """Draw the frames of an object.

    Args:
        rng: For tissue and places.
        planter: For words.
        kind: How the frames will be stored.
        number: Of the object; it decides size and contrast of texts, and whether there is one in
            the region.

    Returns:
        The frames, not stored yet.
    """
    left, top = (int(one) for one in rng.integers(6, 14, 2))
    top += 26
    region = (left, top, COLUMNS - left, ROWS - 14)
    frame = np.zeros((ROWS, COLUMNS), np.uint8)
    picture = tissue(rng, region[3] - region[1], region[2] - region[0])
    frames = np.repeat(frame[None], kind.frames, axis=0)
    for shift, one in enumerate(frames):
        one[region[1] : region[3], region[0] : region[2]] = np.roll(picture, 2 * shift, 1)
    texts = []
    for line, (where, height) in enumerate((("banner, line 1", 1), ("banner, line 2", 16))):
        style = BANNERS[(number + 3 * line) % len(BANNERS)]
        frames[:, height : height + 15] = style.ground or 0
        word = planter.word(f"burned in, {where}", "burned in, banner", 8)
        texts += _everywhere(frames, word, where, 4 + 9 * line, height, style, inside=False)
    style = Style(9, 0, 180)
    word = planter.word("burned in, below the image", "burned in, banner", 9)
    texts += _everywhere(frames, word, "below the image", 30, ROWS - 12, style, inside=False)
    if number % 3 == 1:
        style = INSIDE[number // 3 % len(INSIDE)]
        word = planter.word("burned in, on tissue", "burned in, on tissue", 8)
        at = region[0] + 8 + int(rng.integers(60)), region[1] + 8 + int(rng.integers(60))
        texts += _everywhere(frames, word, "on tissue", *at, style, inside=True)
    return Pixels(kind, frames, region, tuple(texts))


def _everywhere(
    frames: npt.NDArray[np.uint8],
    word: str,
    place: str,
    left: int,
    top: int,
    style: Style,
    *,
    inside: bool,
) -> list[Text]:
    drawn = [draw(one, word, place, left, top, style, inside=inside) for one in frames]
    return drawn[:1]


@dataclass(frozen=True, slots=True)
class Surplus:
    """What a file of irregular pixels has too much of.

    Attributes:
        rle_header: In the header of a fragment of run lengths.
        rle_tail: Behind its last segment.
        fragment_tail: Behind a compressed frame.
        fragment: A fragment of its own, behind the last frame.
        table: Behind the offsets of the Basic Offset Table.
        extended: Behind those of the Extended Offset Table, which replaces the basic one.
        behind: Behind the last native frame.
        high_bits: In the bits above those stored.
    """

    rle_header: bytes = b""
    rle_tail: bytes = b""
    fragment_tail: bytes = b""
    fragment: bytes = b""
    table: bytes = b""
    extended: bytes = b""
    behind: bytes = b""
    high_bits: bytes = b""


def store(pixels: Pixels, planter: Planter, surplus: Surplus | None = None) -> list[Element]:
    """Write the Image Pixel module.

    Args:
        pixels: What was drawn.
        planter: For words in segments of JPEG and in entries of palettes that no pixel uses.
        surplus: What makes the pixels irregular.

    Returns:
        The elements.
    """
    kind, surplus = pixels.kind, surplus or Surplus()
    deep = kind.bits > 8
    elements = [
        Element(tag("SamplesPerPixel"), "US", (3 if kind.colour else 1,)),
        Element(tag("PhotometricInterpretation"), "CS", kind.photometric.encode()),
        Element(tag("Rows"), "US", (ROWS,)),
        Element(tag("Columns"), "US", (COLUMNS,)),
        Element(tag("BitsAllocated"), "US", (16 if deep else 8,)),
        Element(tag("BitsStored"), "US", (kind.bits,)),
        Element(tag("HighBit"), "US", (kind.bits - 1,)),
        Element(tag("PixelRepresentation"), "US", (0,)),
    ]
    if kind.colour:
        elements.append(Element(tag("PlanarConfiguration"), "US", (kind.planar,)))
    if kind.frames > 1:
        elements += [
            Element(tag("NumberOfFrames"), "IS", str(kind.frames).encode()),
            Element(tag("FrameIncrementPointer"), "AT", (tag("FrameTime"),)),
            Element(tag("FrameTime"), "DS", b"40"),
        ]
    if kind.photometric == "PALETTE COLOR":
        elements += _palette(planter, kind.syntax)
    frames = [_samples(one, kind) for one in pixels.gray]
    if kind.syntax.encapsulated:
        parts = [_compressed(one, kind, planter, surplus) for one in frames]
        parts[-1] += surplus.fragment_tail
        extra = [surplus.fragment] if surplus.fragment else []
        table = _offsets(parts) + surplus.table
        if surplus.extended:
            table = b""
            elements += _extended(parts, surplus.extended)
        value = fragments([*parts, *extra], table)
        elements.append(Element(tag("PixelData"), "OB", value, 0xFFFFFFFF))
    elif deep:
        words = _with_high_bits(frames[0].astype(np.uint16) << 4, surplus.high_bits)
        elements.append(Element(tag("PixelData"), "OW", words.astype("<u2").tobytes()))
    else:
        value = b"".join(one.tobytes() for one in frames) + surplus.behind
        elements.append(Element(tag("PixelData"), "OW" if kind.syntax.implicit else "OB", value))
    return elements


def _samples(gray: Frame, kind: Kind) -> Frame:
    if kind.photometric == "PALETTE COLOR":
        return gray >> 1
    if not kind.colour or kind.syntax is JPEG:
        return np.repeat(gray[..., None], 3, -1) if kind.colour else gray
    colour = np.repeat(gray[..., None], 3, -1)
    if kind.photometric.startswith("YBR"):
        colour = to_ybr(colour)
    return np.ascontiguousarray(np.moveaxis(colour, -1, 0)) if kind.planar else colour


def _palette(planter: Planter, syntax: Syntax) -> list[Element]:
    grays = np.minimum(np.arange(128) * 2, 255) * 257
    found = []
    for number, colour in enumerate(("Red", "Green", "Blue")):
        used = grays.astype("<u2" if syntax.little else ">u2").tobytes()
        word = planter.raw(f"palette, unused entries of {colour.lower()}", GROUP)
        found += [
            Element(0x00281101 + number, "US", (256, 0, 16)),
            Element(0x00281201 + number, "OW", used + word.ljust(256, b"\0")),
        ]
    return found


def _compressed(frame: Frame, kind: Kind, planter: Planter, surplus: Surplus) -> bytes:
    if kind.syntax is RLE:
        return rle(frame, header=surplus.rle_header, tail=surplus.rle_tail)
    if any(one.place.startswith("JPEG") for one in planter.canaries):
        return jpeg(frame, [])
    segments = [
        (0xFE, planter.text("JPEG, comment", GROUP)),
        (0xE1, b"Exif\0\0" + planter.raw("JPEG, APP1", GROUP)),
        (0xED, planter.raw("JPEG, APP13", GROUP)),
    ]
    return jpeg(frame, segments)


def _offsets(parts: list[bytes]) -> bytes:
    at, table = 0, []
    for part in parts:
        table.append(at.to_bytes(4, "little"))
        at += 8 + len(part) + len(part) % 2
    return b"".join(table)


def _extended(parts: list[bytes], surplus: bytes) -> list[Element]:
    at, offsets, lengths = 0, b"", b""
    for part in parts:
        offsets += at.to_bytes(8, "little")
        lengths += len(part).to_bytes(8, "little")
        at += 8 + len(part) + len(part) % 2
    surplus += bytes(-len(surplus) % 8)
    return [Element(0x7FE00001, "OV", offsets + surplus), Element(0x7FE00002, "OV", lengths)]


def _with_high_bits(words: npt.NDArray[np.uint16], data: bytes) -> npt.NDArray[np.uint16]:
    flat = words.ravel().copy()
    nibbles = np.frombuffer(data, np.uint8).repeat(2)
    nibbles[::2] >>= 4
    flat[: len(nibbles)] |= (nibbles.astype(np.uint16) & 15) << 12
    return flat
