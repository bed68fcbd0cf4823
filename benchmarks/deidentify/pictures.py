"""Frames with text burned in: simulated tissue in a region, banners around it, words in both."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

__all__ = ["Box", "Style", "Text", "draw", "jpeg", "legible", "rle", "tissue", "to_ybr"]

Frame = npt.NDArray[np.uint8]
Ink = npt.NDArray[np.bool_]
Box = tuple[int, int, int, int]
"""Left, top, right and bottom; the last two lie outside."""

BRIGHTEST: Final = 199
"""Tissue is not brighter, so that a palette has entries that no pixel uses."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a text is drawn.

    Attributes:
        size: Height of the font.
        ground: Gray behind the text; None leaves what is there.
        ink: Gray of the letters; above ``ground`` or, without it, added to what is there.
    """

    size: int
    ground: int | None
    ink: int

    def __str__(self) -> str:
        if self.ground is None:
            return f"{self.size} pixels, {self.ink} above tissue"
        return f"{self.size} pixels, {self.ink} on {self.ground}"


@dataclass(frozen=True, eq=False)
class Text:
    """A text in the pixels.

    Attributes:
        place: Which text of the object.
        inside: Whether it stands in the region of tissue.
        style: How it is drawn.
        left: Leftmost column of its box.
        top: Topmost row.
        mask: (H, W) where its letters are.
    """

    place: str
    inside: bool
    style: Style
    left: int
    top: int
    mask: Ink

    @property
    def box(self) -> Box:
        """Where it stands in the frame."""
        rows, columns = self.mask.shape
        return self.left, self.top, self.left + columns, self.top + rows


@cache
def _letters(text: str, size: int) -> Ink:
    font = ImageFont.load_default(size)
    left, top, right, bottom = (round(one) for one in font.getbbox(text))
    image = Image.new("L", (right - left + 2, bottom - top + 2))
    ImageDraw.Draw(image).text((1 - left, 1 - top), text, fill=255, font=font)
    return np.asarray(image) > 110


def draw(
    frame: Frame, text: str, place: str, left: int, top: int, style: Style, *, inside: bool
) -> Text:
    """Burn a text into a gray frame, in place.

    Args:
        frame: uint8 (H, W).
        text: What to write; cut off at the right edge.
        place: What to call it.
        left: Where it begins.
        top: Where it begins.
        style: Size and grays.
        inside: Whether it stands in the region of tissue.

    Returns:
        What was drawn.
    """
    mask = _letters(text, style.size)[: frame.shape[0] - top, : frame.shape[1] - left]
    part = frame[top : top + mask.shape[0], left : left + mask.shape[1]]
    if style.ground is None:
        part[mask] = np.minimum(part[mask].astype(int) + style.ink, 255)
    else:
        part[...] = np.where(mask, style.ink, style.ground)
    return Text(place, inside, style, left, top, mask)


def legible(frame: Frame, text: Text, *, offset: tuple[int, int] = (0, 0), slack: int = 2) -> float:
    """Say how clearly a text stands in a frame, near its place.

    Args:
        frame: Gray (H, W).
        text: Which text.
        offset: Columns and rows that were cropped away at the left and at the top.
        slack: How far the text may have moved.

    Returns:
        The largest correlation, without its sign, of the letters with the grays around them:
        1 for a flat ground, near 0 when nothing is left.
    """
    best = 0.0
    rows, columns = text.mask.shape
    mask = text.mask - text.mask.mean()
    for down in range(-slack, slack + 1):
        for along in range(-slack, slack + 1):
            top, left = text.top - offset[1] + down, text.left - offset[0] + along
            if top < 0 or left < 0:
                continue
            part = frame[top : top + rows, left : left + columns].astype(np.float64)
            if part.shape != mask.shape or part.std() < 1e-6:
                continue
            part = part - part.mean()
            scale = np.sqrt((mask**2).sum() * (part**2).sum())
            best = max(best, abs(float((mask * part).sum() / scale)))
    return best


def tissue(rng: np.random.Generator, rows: int, columns: int) -> Frame:
    """Simulate log-compressed speckle over layers.

    The envelope of fully developed speckle has a Rayleigh distribution; shown over 60 dB, its
    logarithm spreads by some 24 grays, towards the dark.

    Args:
        rng: Where it comes from.
        rows: Height.
        columns: Width.

    Returns:
        uint8 (rows, columns), at most 199.
    """
    echoes = rng.normal(size=(2, rows, columns))
    # Echoes of neighbours are alike over three rows and five columns.
    for axis, weights in ((1, (1, 2, 1)), (2, (1, 2, 3, 2, 1))):
        middle = len(weights) // 2
        shifted = [w * np.roll(echoes, at - middle, axis) for at, w in enumerate(weights)]
        echoes = np.sum(shifted, axis=0)
    envelope = np.hypot(*echoes)
    decibels = 20 * np.log10(envelope / envelope.mean() + 1e-3)
    depth = np.linspace(0, 3 * np.pi, rows)[:, None] + rng.uniform(0, 6)
    layers = 85 + 20 * np.sin(depth + np.linspace(0, rng.uniform(0.5, 2), columns)[None, :])
    picture: Frame = np.clip(layers + 255 / 60 * decibels, 0, BRIGHTEST).astype(np.uint8)
    return picture


def to_ybr(rgb: Frame) -> Frame:
    """Convert RGB (H, W, 3) to YBR_FULL (PS3.3 C.7.6.3.1.2)."""
    red, green, blue = np.moveaxis(rgb.astype(np.float64), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    parts = [luma, (blue - luma) / 1.772 + 128, (red - luma) / 1.402 + 128]
    ybr: Frame = np.clip(np.rint(np.stack(parts, -1)), 0, 255).astype(np.uint8)
    return ybr


def jpeg(frame: Frame, segments: list[tuple[int, bytes]]) -> bytes:
    """Compress a frame by baseline JPEG, with segments of one's own behind its start.

    Args:
        frame: uint8 (H, W) or RGB (H, W, 3), which is stored as YCbCr 4:2:2.
        segments: Markers (0xFE for a comment, 0xE0 and up for applications) and what they hold.

    Returns:
        The stream.
    """
    buffer = io.BytesIO()
    # Pillow: 1 is 4:2:2.
    Image.fromarray(frame).save(buffer, "JPEG", quality=92, subsampling=1)
    data = buffer.getvalue()
    own = b"".join(
        bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body
        for marker, body in segments
    )
    # Behind the JFIF header, which has to be the first segment.
    first = 4 + int.from_bytes(data[4:6], "big")
    return data[:first] + own + data[first:]


def rle(frame: Frame, *, header: bytes = b"", tail: bytes = b"") -> bytes:
    """Compress a frame by run lengths (PS3.5 annex G), by literal runs only.

    Args:
        frame: uint8 (H, W) or (H, W, 3).
        header: What stands in the header where offsets of further segments would be.
        tail: What stands behind the last segment's pixels.

    Returns:
        The fragment.
    """
    planes = [frame] if frame.ndim == 2 else list(np.moveaxis(frame, -1, 0))
    segments = []
    for plane in planes:
        data = plane.tobytes()
        runs = (data[at : at + 128] for at in range(0, len(data), 128))
        packed = b"".join(bytes((len(run) - 1,)) + run for run in runs)
        segments.append(packed + b"\x80" * (len(packed) % 2))
    segments[-1] += tail
    offsets, at = [], 64
    for segment in segments:
        offsets.append(at)
        at += len(segment)
    head = b"".join(one.to_bytes(4, "little") for one in (len(segments), *offsets))
    return (head + header).ljust(64, b"\0")[:64] + b"".join(segments)
