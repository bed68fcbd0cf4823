"""Which images an examination has, and how each looks on the screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from bussynth.cohort.phantom.device import DEVICES
from bussynth.cohort.phantom.hospital.machines import Machine
from bussynth.cohort.phantom.hospital.marks import (
    annotate,
    body_mark,
    draw_calipers,
    flow,
    moved,
)
from bussynth.cohort.phantom.hospital.people import HOSPITAL, Examination, Person
from bussynth.cohort.phantom.hospital.screen import (
    Box,
    Burned,
    Canvas,
    Picture,
    Rectangle,
    place_pictures,
)
from bussynth.cohort.phantom.patient import PhantomView

__all__ = ["Kind", "Regions", "Screen", "Shot", "paint", "plan_shots"]

_CYCLE = 12
"""Of so many patients in a row, each special kind of image falls to one or two."""

_FRAMES = 6


class Kind(StrEnum):
    """Kind of an image."""

    PLAIN = "plain"
    DUAL = "dual"
    DOPPLER = "doppler"
    CINE = "cine"


class Regions(StrEnum):
    """What a file says about its regions."""

    CORRECT = "correct"
    ABSENT = "absent"
    WHOLE_FRAME = "whole-frame"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One image of an examination.

    Attributes:
        kind: What it is.
        views: Numbers of the simulated views it shows.
        visit: Number of the examination.
        regions: What its file says about regions.
        calipers: Whether a lesion is measured, if there is one.
        words: Whether somebody typed into the image.
        mark: Whether a body mark is drawn.
        colour_region: Whether a file with colour describes the colour box, too.
    """

    kind: Kind
    views: tuple[int, ...]
    visit: int
    regions: Regions
    calipers: bool
    words: bool
    mark: bool
    colour_region: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A painted image and the truth about it.

    Attributes:
        frames: One or several, each (rows, columns, 3), uint8.
        pictures: Fields of view, from left to right; lesion boxes are those of the first frame.
        boxes: Lesion of each picture in each frame, in pixels of the screen.
        burned: Text in the pixels of any frame.
        drawn: Name and box of each caliper and body mark.
        colour_box: Where flow is shown, if it is.
    """

    frames: list[NDArray[np.uint8]]
    pictures: list[Picture]
    boxes: list[list[Box | None]]
    burned: list[Burned]
    drawn: list[tuple[str, Rectangle]]
    colour_box: Rectangle | None


def plan_shots(index: int, seed: int, views: int, visits: int) -> list[Shot]:
    """Plan the images of a patient: a pure function of its arguments.

    Each view is saved once. In a fixed turn, so that a small hospital has all of them, patients
    have an image more (a loop, flow, two views side by side), no regions, or a region that covers
    the whole frame.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index, 0x5407)))
    turn = (index + seed) % _CYCLE
    regions = Regions.ABSENT if turn == 0 else Regions.CORRECT

    def shot(kind: Kind, shown: tuple[int, ...], *, clean: bool = False) -> Shot:
        first = shown[0]
        chance = rng.random(3)
        return Shot(
            kind=kind,
            views=shown,
            visit=first * visits // views,
            regions=regions,
            calipers=bool(chance[0] < 0.4) and not clean,
            words=bool(chance[1] < 0.2) and not clean,
            mark=bool(chance[2] < 0.6),
            colour_region=turn != 10,
        )

    shots = [shot(Kind.PLAIN, (view,)) for view in range(views)]
    if turn == 2:
        last = shots[-1]
        shots[-1] = Shot(
            kind=last.kind,
            views=last.views,
            visit=last.visit,
            regions=Regions.WHOLE_FRAME,
            calipers=last.calipers,
            words=last.words,
            mark=last.mark,
        )
    if turn in (4, 10):
        shots.append(shot(Kind.DOPPLER, (0,), clean=True))
    if turn == 6 and views > 1:
        shots.append(shot(Kind.DUAL, (0, 1)))
    if turn in (1, 8):
        shots.append(shot(Kind.CINE, (0,), clean=True))
    return sorted(shots, key=lambda one: one.visit)


def paint(
    shot: Shot,
    views: Sequence[PhantomView],
    person: Person,
    machine: Machine,
    rng: np.random.Generator,
) -> Screen:
    """Paint an image as its machine shows it.

    Args:
        shot: What it shows.
        views: All views of the patient.
        person: The patient.
        machine: The machine.
        rng: Of hands and settings.

    Returns:
        The screen.
    """
    shown = [views[number] for number in shot.views]
    fields = [_field(view) for view in shown]
    boxes = [_within(view) for view in shown]
    sizes = [view.pixel_mm for view in shown]
    visit = person.examinations[shot.visit]
    settings = _settings(machine, shown[0], rng)
    hour = int(rng.integers(1, 13))
    count = _FRAMES if shot.kind is Kind.CINE else 1
    marks = rng.spawn(1)[0]
    frames, all_boxes, burned = [], [], []
    pictures: list[Picture] = []
    drawn: list[tuple[str, Rectangle]] = []
    colour_box = None
    for number in range(count):
        now, where = fields, boxes
        if count > 1:
            # A slow swing of the hand: back and forth along the skin, with some pressure.
            swing = 2 * np.pi * number / count
            shift = (1.2 * float(np.sin(swing)), 3.0 * float(1 - np.cos(swing)))
            now = [moved(field, shift, rng) for field in fields]
            where = [_shifted(box, shift, field) for box, field in zip(boxes, now, strict=True)]
        placed = place_pictures(now, where, sizes, machine)
        canvas = Canvas(machine)
        _chrome(canvas, placed, person, visit, settings, focus=DEVICES[machine.style].focus)
        canvas.gray_bar(placed[0], colour=shot.kind is Kind.DOPPLER)
        if count > 1:
            canvas.text(
                (placed[0].place[0], machine.rows - 18), f"Frame {number + 1}/{count}", "panel"
            )
        drawn = []
        if shot.kind is Kind.DOPPLER:
            colour_box = flow(canvas, placed[0], marks)
        if shot.mark:
            box = body_mark(canvas, placed[0], laterality=visit.laterality, hour=hour)
            drawn.append(("body mark", box))
        if shot.calipers:
            drawn += draw_calipers(canvas, placed[0], marks)
        if shot.words:
            annotate(canvas, placed[0], _words(person, visit, hour, marks), low=bool(hour % 2))
        pictures = pictures or placed
        frames.append(canvas.pixels())
        all_boxes.append([picture.lesion_box for picture in placed])
        burned += [one for one in canvas.burned if one not in burned]
    return Screen(
        frames=frames,
        pictures=pictures,
        boxes=all_boxes,
        burned=burned,
        drawn=drawn,
        colour_box=colour_box,
    )


def _field(view: PhantomView) -> NDArray[np.uint8]:
    left, top, right, bottom = view.window
    return view.image[top:bottom, left:right]


def _within(view: PhantomView) -> Box | None:
    if view.lesion_box is None:
        return None
    left, top, *_ = view.window
    x0, y0, x1, y1 = view.lesion_box
    return (x0 - left, y0 - top, x1 - left, y1 - top)


def _shifted(box: Box | None, shift: tuple[float, float], field: NDArray[np.uint8]) -> Box | None:
    if box is None:
        return None
    down, right = shift
    height, width = field.shape
    x0, x1 = np.clip([box[0] + right, box[2] + right], 0, width).tolist()
    y0, y1 = np.clip([box[1] + down, box[3] + down], 0, height).tolist()
    return (x0, y0, x1, y1)


def _settings(machine: Machine, view: PhantomView, rng: np.random.Generator) -> list[str]:
    device = DEVICES[machine.style]
    _, top, _, bottom = view.window
    depth = 0.1 * view.pixel_mm * (bottom - top)
    return [
        machine.probe,
        "Breast",
        "",
        f"FR {int(rng.integers(18, 52))} Hz",
        f"D {depth:.1f} cm",
        "",
        "2D",
        f"Gn {int(rng.integers(38, 70))}",
        f"DR {device.dynamic_range_db:.0f}",
        f"Frq {2 * device.frequency_mhz:.1f}",
        f"Map {int(rng.integers(1, 9))}/0",
        "",
        f"MI {rng.uniform(0.5, 1.3):.1f}",
        f"TIs {rng.uniform(0.0, 0.4):.1f}",
    ]


def _chrome(
    canvas: Canvas,
    pictures: Sequence[Picture],
    person: Person,
    visit: Examination,
    settings: Sequence[str],
    *,
    focus: float,
) -> None:
    """Draw what stands around the image."""
    name = f"{person.family}, {person.given}"
    birth, day = f"{person.birth:%d.%m.%Y}", f"{visit.when:%d.%m.%Y}"
    family, _, given = visit.operator.partition("^")
    operator = f"{given[0]}{family[0]}"
    if canvas.machine.panel == "right":
        lines = [
            (name, HOSPITAL.name, day),
            (
                f"ID {person.patient_id}  {person.sex} *{birth}",
                f"Op {operator}",
                f"{visit.when:%H:%M:%S}",
            ),
        ]
    else:
        lines = [
            (HOSPITAL.name, visit.accession, f"{day} {visit.when:%H:%M:%S}"),
            (f"{name}  {birth}", person.patient_id, operator),
        ]
    canvas.banner(lines)
    canvas.panel(settings)
    for picture in pictures:
        canvas.paste(picture)
        canvas.scale(picture, focus)


def _words(person: Person, visit: Examination, hour: int, rng: np.random.Generator) -> list[str]:
    """What people type: the side and the clock face, how far from the nipple, who it is."""
    side = "RT" if visit.laterality == "R" else "LT"
    lines = [f"{side} {hour}:00"]
    if rng.random() < 0.5:
        lines.append(f"{int(rng.integers(1, 9))}cm FN")
    if rng.random() < 0.5:
        lines.append(person.initials)
    return lines
