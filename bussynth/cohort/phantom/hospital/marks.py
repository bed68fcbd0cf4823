"""What people and machines draw into an image: calipers, words, body marks, colour of flow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from bussynth.cohort.phantom.hospital.screen import Canvas, Picture, Rectangle, flow_colours

__all__ = ["annotate", "body_mark", "draw_calipers", "flow", "moved"]

_DOTS = 9  # pixels from dot to dot between two calipers


def draw_calipers(
    canvas: Canvas, picture: Picture, rng: np.random.Generator
) -> list[tuple[str, Rectangle]]:
    """Measure a lesion as an operator does, along the skin and along depth.

    Args:
        canvas: The screen.
        picture: The field of view; nothing is drawn where there is no lesion.
        rng: Of the operator's hand.

    Returns:
        The name of each mark and the box around it. The results are written below the image.
    """
    if picture.lesion_box is None:
        return []
    x0, y0, x1, y1 = picture.lesion_box
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    ends = [((x0, y), (x1, y)), ((x, y0), (x, y1))]
    left, top, right, bottom = picture.place
    arm = 5 if canvas.machine.rows > 500 else 4
    drawn, results = [], []
    for number, pair in enumerate(ends, 1):
        hand = rng.normal(0.0, 1.5, (2, 2))
        (ax, ay), (bx, by) = (
            (
                float(np.clip(round(px + dx), left + arm, right - arm - 1)),
                float(np.clip(round(py + dy), top + arm, bottom - arm - 1)),
            )
            for (px, py), (dx, dy) in zip(pair, hand, strict=True)
        )
        ink = canvas.machine.accent
        for cx, cy in ((ax, ay), (bx, by)):
            if number == 1:
                canvas.draw.line((cx - arm, cy, cx + arm, cy), fill=ink)
                canvas.draw.line((cx, cy - arm, cx, cy + arm), fill=ink)
            else:
                canvas.draw.line((cx - arm, cy - arm, cx + arm, cy + arm), fill=ink)
                canvas.draw.line((cx - arm, cy + arm, cx + arm, cy - arm), fill=ink)
            box = (int(cx) - arm, int(cy) - arm, int(cx) + arm + 1, int(cy) + arm + 1)
            drawn.append((f"caliper {number}", box))
        length = float(np.hypot(bx - ax, by - ay))
        for share in np.arange(_DOTS, length - _DOTS / 2, _DOTS) / max(length, 1.0):
            canvas.draw.point((ax + share * (bx - ax), ay + share * (by - ay)), fill=ink)
        size = canvas.machine.font - 1
        beside = (min(bx + arm + 2, right - 8), max(by - arm - 2, top + size))
        canvas.text(beside, str(number), "image", ink=ink, size=size, anchor="ls")
        cm = float(np.hypot((bx - ax) * picture.delta_cm[0], (by - ay) * picture.delta_cm[1]))
        results.append(f"{number} D {cm:.2f} cm")
    y = canvas.machine.rows - 1.35 * canvas.machine.font * len(results) - 4
    for line in results:
        canvas.text((canvas.machine.area[0], y), line, "result", ink=canvas.machine.accent)
        y += 1.35 * canvas.machine.font
    return drawn


def annotate(canvas: Canvas, picture: Picture, lines: list[str], *, low: bool) -> None:
    """Write words into an image, near its upper or lower left corner."""
    left, top, _, bottom = picture.place
    size = canvas.machine.font + 2
    y = bottom - 10 - 1.4 * size * len(lines) if low else top + 26.0
    for line in lines:
        canvas.text((left + 14, y), line, "image", ink=(255, 255, 255), size=size)
        y += 1.4 * size


def body_mark(canvas: Canvas, picture: Picture, *, laterality: str, hour: int) -> Rectangle:
    """Draw the breast as a circle with its quarters, the nipple and the place of the probe.

    Args:
        canvas: The screen.
        picture: The field of view.
        laterality: ``"L"`` or ``"R"``; the axillary tail points to its side.
        hour: Place of the probe on the clock face.

    Returns:
        The box around it: inside of the image or below it, as the machine has it.
    """
    radius = 18 if canvas.machine.rows > 500 else 14
    left, _, right, bottom = picture.place
    inside = canvas.machine.mark_inside
    x = right - radius - 16 if inside else (left + right) // 2
    y = bottom - radius - 12 if inside else canvas.machine.rows - radius - 5
    ink = (225, 225, 225)
    draw = canvas.draw
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=ink)
    side = 1 if laterality == "L" else -1
    tail = [(x + side * radius * 0.5, y - radius * 0.86), (x + side * radius * 1.15, y - radius)]
    draw.line([*tail, (x + side * radius * 0.9, y - radius * 0.45)], fill=ink)
    draw.ellipse((x - 2, y - 2, x + 2, y + 2), outline=ink)
    angle = np.pi * hour / 6.0
    px, py = x + 0.6 * radius * np.sin(angle), y - 0.6 * radius * np.cos(angle)
    dx, dy = 6 * np.cos(angle), 6 * np.sin(angle)
    draw.line((px - dx, py - dy, px + dx, py + dy), fill=(255, 225, 80), width=3)
    reach = int(radius * 1.2)
    return (x - reach, y - reach, x + reach, y + radius + 1)


def flow(canvas: Canvas, picture: Picture, rng: np.random.Generator) -> Rectangle:
    """Lay the colours of flow over a part of the image, as colour Doppler does.

    Returns:
        The colour box, in pixels of the screen.
    """
    left, top, right, bottom = picture.place
    wide, tall = right - left, bottom - top
    x, y = left + 0.5 * wide, top + 0.4 * tall
    if picture.lesion_box is not None:
        x, y = np.mean(picture.lesion_box[::2]), np.mean(picture.lesion_box[1::2])
    half = (0.24 * wide, 0.22 * tall)
    x = float(np.clip(x, left + half[0] + 4, right - half[0] - 4))
    y = float(np.clip(y, top + half[1] + 4, bottom - half[1] - 4))
    box = (int(x - half[0]), int(y - half[1]), int(x + half[0]), int(y + half[1]))
    shape = (box[3] - box[1], box[2] - box[0])
    # Vessels: thin bands where one smooth pattern is near zero; another one says how fast and
    # which way the blood flows.
    course = ndimage.gaussian_filter(rng.standard_normal(shape), 14.0)
    course /= course.std()
    speed = ndimage.gaussian_filter(rng.standard_normal(shape), 22.0)
    speed /= np.abs(speed).max()
    where = ndimage.gaussian_filter(rng.standard_normal(shape), 26.0)
    vessel = (np.abs(course) < 0.16) & (where > 0.35 * where.std())
    part = np.array(canvas.image.crop(box))
    # Machines compute flow on a coarse grid.
    part[vessel] = flow_colours(np.clip(np.round(3.0 * speed * 8) / 8, -1, 1))[vessel]
    canvas.image.paste(Image.fromarray(part), box[:2])
    canvas.draw.rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=(210, 210, 210))
    return box


def moved(
    pixels: NDArray[np.uint8], shift: tuple[float, float], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Move the tissue of a field of view a little and let its speckle flicker.

    Args:
        pixels: Field of view, uint8.
        shift: How far (down, right), in its pixels.
        rng: Of the flicker.

    Returns:
        The same shape; black stays black.
    """
    image = ndimage.shift(pixels.astype(np.float32), shift, order=1, mode="reflect")
    flicker = ndimage.gaussian_filter(
        rng.standard_normal(pixels.shape).astype(np.float32), (0.8, 1.6)
    )
    flicker *= np.float32(0.10 / flicker.std())
    return np.asarray(np.clip(np.rint(image * (1.0 + flicker)), 0, 255), np.uint8)
