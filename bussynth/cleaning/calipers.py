"""Measurement marks: crosses, their relatives, and dotted lines between them.

Whoever measures a lesion puts marks on its edge, so marks tell a model where the lesion is, and
that there was one worth measuring. A mark is found by what it must be, whatever the maker's shape:
four arms, each brighter than what runs beside it on both sides and than what lies behind its end.
Tissue has bright lines and bright spots, but hardly ever four arms around one point.

=============================  ====================================================
found                          upright and oblique crosses, also hollow, wedged or with a body in
                               between; bright; arms of 3 to 9 pixels, strokes of 1 to 3
missed                         squares, circles, arrows; marks darker than the tissue or hardly
                               brighter; marks cut by the edge; strokes wider than 3 pixels
wrongly found                  letters (K, X, 4), unless boxes of text are given; dirt on film
=============================  ====================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privacy.deidentify.regions import Rectangle

__all__ = ["Caliper", "CaliperSettings", "CaliperShape", "find_calipers"]

Floats = NDArray[np.float32]

_PAD: Final = 16
_UPRIGHT: Final = ((0, 1), (0, -1), (1, 0), (-1, 0))
_OBLIQUE: Final = ((1, 1), (-1, -1), (1, -1), (-1, 1))
# Arms begin this far from the centre, so that hollow marks count.
_START: Final = 2
# Two marks are farther apart than this, in pixels.
_NEAR: Final = 4
# Three marks within 2 columns of each other, in the outer sixth, belong to a scale.
_SCALE: Final = 3
_ALIGNED: Final = 2
_BORDER: Final = 1 / 6
# What is around a dot, 3 pixels off.
_RING: Final = tuple(
    (down, right)
    for down in range(-3, 4)
    for right in range(-3, 4)
    if max(abs(down), abs(right)) == 3
)
# An image with more dots than this is noise; the brightest are looked at.
_MOST_DOTS: Final = 400
# Dots lie so near to where they should be, in pixels.
_OFF: Final = 1.5
# Oblique arms that begin farther out leave room for a body between them, as of an asterisk.
_STAR_START: Final = 3


class CaliperShape(StrEnum):
    """What was found.

    Attributes:
        PLUS: Upright arms.
        CROSS: Oblique arms.
        DOTS: A line of dots; its place is that of the first dot.
    """

    PLUS = "plus"
    CROSS = "cross"
    DOTS = "dots"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caliper:
    """One mark.

    Attributes:
        shape: What it is.
        x: Column of its centre, in pixels.
        y: Row of its centre.
        contrast: By how many gray values its weaker arms, or its dots, stand out.
    """

    shape: CaliperShape
    x: int
    y: int
    contrast: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CaliperSettings:
    """How marks are told from tissue; the defaults were chosen on 96 images of BUS-BRA.

    Attributes:
        plus: Least contrast of upright arms, in gray values.
        cross: Least contrast of oblique arms: speckle and letters come closer to these.
        dot: Least contrast of a dot to what is 3 pixels around it.
        dots: So many dots at equal distances make a line.
        gap: Largest distance of two dots, in pixels.
        arms: Lengths of upright arms, from the centre, in pixels.
        oblique_arms: Lengths of oblique arms, in steps along both axes.
        word: A box of text so many times wider than high is a word, in which no cross is believed.
    """

    plus: float = 28.0
    cross: float = 48.0
    dot: float = 40.0
    dots: int = 6
    gap: int = 12
    arms: tuple[int, ...] = (3, 4, 5, 6, 7, 9)
    oblique_arms: tuple[int, ...] = (3, 4, 5)
    word: float = 1.5

    def __post_init__(self) -> None:
        if min(self.plus, self.cross, self.dot, self.word) <= 0 or min(self.dots, self.gap) < 3:
            raise ValueError("Contrasts are positive, and dots and gaps at least 3.")
        lengths = (*self.arms, *self.oblique_arms)
        if not lengths or min(lengths) < _STAR_START or max(lengths) > _PAD - 4:
            raise ValueError(f"Arms are {_STAR_START} to {_PAD - 4} pixels long.")


def find_calipers(
    gray: NDArray[np.uint8],
    *,
    text_boxes: Iterable[Rectangle] = (),
    settings: CaliperSettings | None = None,
) -> tuple[Caliper, ...]:
    """Find measurement marks.

    Args:
        gray: Image (H, W) at the resolution of the machine: shrinking takes the strokes away.
        text_boxes: Where text was found. Upright crosses are not believed in words, oblique ones in
            no box. Numbers beside a mark are often boxed together with it.
        settings: How marks are told from tissue.

    Returns:
        Marks from top to bottom. Those that stand three or more in one line along an edge are
        left out: they belong to a scale.

    Raises:
        ValueError: The image is of another kind.

    Example:
        >>> image = np.full((60, 60), 60, np.uint8)
        >>> image[30, 25:36] = image[25:36, 30] = 230
        >>> [(mark.shape.value, mark.x, mark.y) for mark in find_calipers(image)]
        [('plus', 30, 30)]
    """
    if gray.dtype != np.uint8 or gray.ndim != 2 or not gray.size:
        raise ValueError("Calipers are looked for in gray images of 8 bits.")
    settings = settings or CaliperSettings()
    padded = np.pad(gray.astype(np.float32), _PAD, mode="edge")
    boxes = list(text_boxes)
    words = [box for box in boxes if box.right - box.left > settings.word * (box.bottom - box.top)]
    plus = _crosses(padded, _UPRIGHT, [(_START, arm) for arm in settings.arms])
    cross = _crosses(
        padded,
        _OBLIQUE,
        [(_START, arm) for arm in settings.oblique_arms]
        + [(_STAR_START, arm) for arm in settings.oblique_arms if arm > _STAR_START],
    )
    upright = _peaks(_outside(plus, words), settings.plus, CaliperShape.PLUS)
    oblique = _peaks(_outside(cross, boxes), settings.cross, CaliperShape.CROSS)
    # Thick arms of one kind leave some of the other beside them.
    clear = _clearer(upright, oblique), _clearer(oblique, upright)
    marks = [mark for kind in clear for mark in _without_scales(kind, gray.shape[1])]
    marks += _dotted_lines(padded, settings)
    return tuple(sorted(marks, key=lambda mark: (mark.y, mark.x, mark.shape)))


def _crosses(
    padded: Floats, directions: Sequence[tuple[int, int]], arms: Iterable[tuple[int, int]]
) -> Floats:
    """By how much four arms stand out, at best over their lengths, for each place.

    Two of the four count: the weakest and the next, since a number beside the mark spoils one.
    """
    best = np.full((padded.shape[0] - 2 * _PAD, padded.shape[1] - 2 * _PAD), -np.inf, np.float32)
    for start, length in arms:
        runs = [_run(padded, direction, start, length) for direction in directions]
        # Beside a stroke of one pixel, and of two or three.
        for beside in (2, 3):
            weakest = np.full(best.shape, np.inf, np.float32)
            second = weakest.copy()
            for direction, run in zip(directions, runs, strict=True):
                excess = _excess(padded, run, direction, length, beside)
                np.minimum(second, np.maximum(weakest, excess), out=second)
                np.minimum(weakest, excess, out=weakest)
            np.maximum(best, (weakest + second) / 2, out=best)
    return best


def _run(padded: Floats, direction: tuple[int, int], start: int, length: int) -> Floats:
    """Mean along an arm, for each place as its centre; what wraps around stays in the padding."""
    total = np.zeros_like(padded)
    for step in range(start, length + 1):
        total += np.roll(padded, (-step * direction[0], -step * direction[1]), (0, 1))
    return total / np.float32(length + 1 - start)


def _excess(
    padded: Floats, run: Floats, direction: tuple[int, int], length: int, beside: int
) -> Floats:
    """By how much an arm is brighter than its two sides and than what is behind its end."""
    down, right = direction
    # A step across an oblique arm is as long as 1.4 steps across an upright one.
    across = beside if 0 in direction else beside - 1
    sides = np.maximum(
        _at(run, across * right, -across * down), _at(run, -across * right, across * down)
    )
    behind = sum(_at(padded, (length + k) * down, (length + k) * right) for k in (2, 3)) / 2
    excess: Floats = _at(run, 0, 0) - np.maximum(sides, behind)
    return excess


def _at(padded: Floats, down: int, right: int) -> Floats:
    """Cut the image out of its padding, displaced."""
    rows, columns = padded.shape
    return padded[_PAD + down : rows - _PAD + down, _PAD + right : columns - _PAD + right]


def _outside(contrast: Floats, boxes: Iterable[Rectangle]) -> Floats:
    for box in boxes:
        contrast[box.top : box.bottom, box.left : box.right] = -np.inf
    return contrast


def _peaks(contrast: Floats, least: float, shape: CaliperShape) -> list[Caliper]:
    """Take places that are high enough, the highest of those close together."""
    rows, columns = np.nonzero(contrast >= least)
    # The highest first; of equals the upper, then the left one.
    order = np.lexsort((columns, rows, -contrast[rows, columns]))
    taken: list[Caliper] = []
    for place in order:
        y, x = int(rows[place]), int(columns[place])
        mark = Caliper(shape=shape, x=x, y=y, contrast=float(contrast[y, x]))
        if not any(_close(mark, other) for other in taken):
            taken.append(mark)
    return taken


def _close(mark: Caliper, other: Caliper) -> bool:
    return max(abs(mark.x - other.x), abs(mark.y - other.y)) <= _NEAR


def _clearer(marks: list[Caliper], others: list[Caliper]) -> list[Caliper]:
    """Leave out what stands at a clearer mark of another shape."""
    return [
        mark
        for mark in marks
        if not any(_close(mark, other) and other.contrast > mark.contrast for other in others)
    ]


def _without_scales(marks: list[Caliper], width: int) -> list[Caliper]:
    """Leave out three or more in one column near the left or right edge."""
    border = _BORDER * width
    at_edge = [mark for mark in marks if min(mark.x, width - 1 - mark.x) < border]
    scale = {
        mark
        for mark in at_edge
        if sum(abs(other.x - mark.x) <= _ALIGNED for other in at_edge) >= _SCALE
    }
    return [mark for mark in marks if mark not in scale]


def _dotted_lines(padded: Floats, settings: CaliperSettings) -> list[Caliper]:
    """Find dots that follow each other at equal distances along a straight line."""
    ring = np.maximum.reduce([_at(padded, down, right) for down, right in _RING])
    stands_out = _at(padded, 0, 0) - ring
    dots = _peaks(stands_out, settings.dot, CaliperShape.DOTS)[:_MOST_DOTS]
    if len(dots) < settings.dots:
        return []
    places = np.array([(dot.y, dot.x) for dot in dots], np.float64)
    used = np.zeros(len(dots), np.bool_)
    lines = []
    for first in range(len(dots)):
        steps = places - places[first]
        near = np.flatnonzero((np.abs(steps).max(axis=1) <= settings.gap) & ~used)
        for second in near:
            if second == first or used[first]:
                continue
            line = _follow(places, first, int(second))
            if len(line) >= settings.dots:
                used[line] = True
                lines.append(dots[first])
    return lines


def _follow(places: NDArray[np.float64], first: int, second: int) -> list[int]:
    """Go on from two dots as long as the next one is where it should be, both ways."""
    line = [first, second]
    for back in (False, True):
        while True:
            end, before = (line[0], line[1]) if back else (line[-1], line[-2])
            away = np.abs(places - (2 * places[end] - places[before])).max(axis=1)
            following = int(np.argmin(away))
            if away[following] > _OFF or following in line:
                break
            line.insert(0, following) if back else line.append(following)
    return line
