"""One screen of a machine: the image in its place, and around it and in it what machines draw.

Text is drawn in Pillow's own scalable font, in ASCII, as most machines do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bussynth.cohort.phantom.hospital.machines import Colour, Machine

__all__ = ["Burned", "Canvas", "Picture", "flow_colours", "place_pictures", "velocity_map"]

Box = tuple[float, float, float, float]
Rectangle = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Burned:
    """Text in the pixels.

    Attributes:
        text: What it says.
        box: Where, in pixels of the screen: ``(x0, y0, x1, y1)``, edges half-open.
        where: ``"logo"``, ``"banner"``, ``"panel"``, ``"scale"``, ``"result"`` or ``"image"``.
    """

    text: str
    box: Rectangle
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A field of view in its place on a screen.

    Attributes:
        pixels: Grey values, shape (height, width), uint8.
        place: Where it lies on the screen: ``(left, top, right, bottom)``, edges half-open.
        delta_cm: Width and height of its pixels.
        lesion_box: In pixels of the screen; None if there is no lesion.
    """

    pixels: NDArray[np.uint8]
    place: Rectangle
    delta_cm: tuple[float, float]
    lesion_box: Box | None


def place_pictures(
    images: Sequence[NDArray[np.uint8]],
    boxes: Sequence[Box | None],
    pixel_mm: Sequence[float],
    machine: Machine,
) -> list[Picture]:
    """Scale fields of view to a machine's screen, side by side if there are two.

    Args:
        images: Fields of view, uint8.
        boxes: Lesion of each, in its pixels.
        pixel_mm: Size of its pixels.
        machine: The machine.

    Returns:
        The pictures, from left to right.
    """
    left, top, right, bottom = machine.area
    gap = 40  # holds the depth marks of the left one
    width = (right - left - gap * (len(images) - 1)) // len(images)
    pictures = []
    for number, (image, box, size) in enumerate(zip(images, boxes, pixel_mm, strict=True)):
        scale = min(width / image.shape[1], (bottom - top) / image.shape[0])
        shape = (max(2, round(image.shape[1] * scale)), max(2, round(image.shape[0] * scale)))
        x = left + number * (width + gap) + (width - shape[0]) // 2
        zoom = (shape[0] / image.shape[1], shape[1] / image.shape[0])
        scaled = Image.fromarray(image).resize(shape, Image.Resampling.BICUBIC)
        pictures.append(
            Picture(
                pixels=np.asarray(scaled, np.uint8),
                place=(x, top, x + shape[0], top + shape[1]),
                delta_cm=(0.1 * size / zoom[0], 0.1 * size / zoom[1]),
                lesion_box=None
                if box is None
                else (
                    x + box[0] * zoom[0],
                    top + box[1] * zoom[1],
                    x + box[2] * zoom[0],
                    top + box[3] * zoom[1],
                ),
            )
        )
    return pictures


@lru_cache(maxsize=32)
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


@dataclass(eq=False)
class Canvas:
    """A screen under the brush; remembers every text that was written onto it.

    Attributes:
        machine: Whose screen it is.
        image: The screen, RGB.
        burned: What was written.
    """

    machine: Machine
    image: Image.Image = field(init=False)
    burned: list[Burned] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        size = (self.machine.columns, self.machine.rows)
        self.image = Image.new("RGB", size, self.machine.ground)
        self.draw = ImageDraw.Draw(self.image)

    def text(
        self,
        place: tuple[float, float],
        text: str,
        where: str,
        *,
        ink: Colour | None = None,
        size: int | None = None,
        anchor: str = "la",
    ) -> Rectangle:
        """Write a line and remember it.

        Args:
            place: Position of the anchor.
            text: ASCII.
            where: See :class:`Burned`.
            ink: Colour, else the machine's.
            size: Size in pixels, else the machine's.
            anchor: As Pillow defines anchors.

        Returns:
            The box around the text.
        """
        font = _font(size or self.machine.font)
        x, y = round(place[0]), round(place[1])
        x0, y0, x1, y1 = self.draw.textbbox((x, y), text, font=font, anchor=anchor)
        # Text never runs off the screen: it moves instead.
        move = min(0, self.machine.columns - 2 - round(x1)) + max(0, 2 - round(x0))
        self.draw.text((x + move, y), text, fill=ink or self.machine.ink, font=font, anchor=anchor)
        box = (int(x0) + move, int(y0), int(np.ceil(x1)) + move, int(np.ceil(y1)))
        self.burned.append(Burned(text=text, box=box, where=where))
        return box

    def paste(self, picture: Picture) -> None:
        """Put a field of view in its place."""
        self.image.paste(Image.fromarray(picture.pixels), picture.place[:2])

    def banner(self, lines: Sequence[tuple[str, str, str]]) -> None:
        """Write the lines on top: what stands left, in the middle and at the right.

        Text in the middle gives way where the two beside it need the room.
        """
        machine = self.machine
        height = machine.area[1] - 10
        self.draw.rectangle((0, 0, machine.columns, height), fill=machine.banner)
        self.draw.line((0, height, machine.columns, height), fill=_dim(machine.ink))
        start = self._logo(height) + 8
        step = height / (len(lines) + 0.3)
        for number, (left, middle, right) in enumerate(lines):
            y = 5 + number * step
            edge = self.text((start, y), left, "banner")[2] if left else start
            limit: float = machine.columns - 6
            if right:
                limit = self.text((limit, y), right, "banner", anchor="ra")[0]
            if middle:
                wide = self.draw.textlength(middle, font=_font(machine.font))
                x = min(max(edge + 10, machine.columns / 2 - wide / 2), limit - wide - 6)
                self.text((x, y), middle, "banner")

    def _logo(self, height: int) -> int:
        """Draw a badge of two letters; return where it ends."""
        machine = self.machine
        edge = height - 10
        box = (6, 5, 6 + edge, 5 + edge)
        if len(machine.maker) % 2:
            self.draw.ellipse(box, outline=machine.accent, width=3)
        else:
            self.draw.rounded_rectangle(box, 6, outline=machine.accent, width=3)
        font = _font(max(9, int(edge * 0.42)))
        middle = (6 + edge / 2, 5 + edge / 2)
        self.draw.text(middle, machine.logo, fill=machine.accent, font=font, anchor="mm")
        self.burned.append(Burned(text=machine.logo, box=box, where="logo"))
        return 6 + edge

    def panel(self, lines: Sequence[str]) -> None:
        """Write the settings at the side."""
        machine = self.machine
        x = 6 if machine.panel == "left" else machine.area[2] + 54
        y: float = machine.area[1] + 8
        for line in lines:
            if line:
                self.text((x, y), line, "panel", size=machine.font - 1)
            y += 1.45 * machine.font

    def scale(self, picture: Picture, focus: float) -> None:
        """Draw depth marks each half centimetre and a focus mark at the right of a picture."""
        _, top, right, bottom = picture.place
        half = 0
        while (y := top + 0.5 * half / picture.delta_cm[1]) < bottom:
            length = 4 if half % 2 else 8
            self.draw.line((right + 3, y, right + 3 + length, y), fill=self.machine.ink)
            if half and half % 2 == 0:
                place = (right + 14, y)
                self.text(place, str(half // 2), "scale", size=self.machine.font - 2, anchor="lm")
            half += 1
        y = top + focus * (bottom - top)
        points = [(right + 12, y - 5), (right + 12, y + 5), (right + 3, y)]
        self.draw.polygon(points, fill=self.machine.accent)

    def gray_bar(self, picture: Picture, *, colour: bool) -> None:
        """Draw the bar of grays, and above it that of velocities if colour is shown."""
        left, top, _, _ = picture.place
        x = left - 20
        height, width = 96, 9
        ramp = np.linspace(255, 0, height).astype(np.uint8)[:, None]
        grays = np.repeat(np.repeat(ramp, width, axis=1)[..., None], 3, axis=2)
        start = top + 6
        if colour:
            self.image.paste(Image.fromarray(velocity_map(height, width)), (x, start))
            self.draw.rectangle((x - 1, start - 1, x + width, start + height), outline=(90, 90, 90))
            # The numbers stand where there is room, above and below.
            for y, text in ((start - 12, "+6.4"), (start + height + 2, "-6.4")):
                self.text((x - 6, y), text, "scale", size=9)
            start += height + 18
        self.image.paste(Image.fromarray(grays), (x, start))
        self.draw.rectangle((x - 1, start - 1, x + width, start + height), outline=(90, 90, 90))

    def pixels(self) -> NDArray[np.uint8]:
        """Return the screen, shape (rows, columns, 3), uint8."""
        return np.asarray(self.image, np.uint8)


def velocity_map(height: int, width: int) -> NDArray[np.uint8]:
    """Colours of flow, towards the probe red to yellow above, away from it blue to cyan below."""
    speed = np.linspace(1.0, -1.0, height)
    return np.repeat(flow_colours(speed)[:, None], width, axis=1)


def flow_colours(speed: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colour each speed from -1 to 1; shape (..., 3)."""
    fast = np.abs(speed)
    strong = np.where(fast > 0.04, 110 + 145 * np.sqrt(fast), 0)
    second = 225 * np.clip(fast - 0.35, 0, 1)
    zero = np.zeros_like(strong)
    towards = np.stack([strong, second, zero], axis=-1)
    away = np.stack([zero, second, strong], axis=-1)
    chosen = np.where((speed > 0)[..., None], towards, away)
    return np.clip(np.rint(chosen), 0, 255).astype(np.uint8)


def _dim(colour: Colour) -> Colour:
    return (colour[0] // 3, colour[1] // 3, colour[2] // 3)
