"""Which frames of a cine loop become images.

Neighbouring frames of a loop are nearly the same image, and a patient with a long loop would weigh
as much as a hundred others. So a site may take every n-th frame, or those that differ most. The
choice depends on the pixels only: the same file gives the same frames anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from privacy.deidentify.colour import Pixels, gray

__all__ = ["all_frames", "every_nth", "key_frames"]

_SIDE = 32


def all_frames(count: int) -> tuple[int, ...]:
    """Take all frames of a loop, numbered from 0."""
    return every_nth(count, 1)


def every_nth(count: int, step: int, most: int | None = None) -> tuple[int, ...]:
    """Take the first frame and every n-th behind it.

    Args:
        count: How many frames there are.
        step: The n.
        most: Take no more than these.

    Returns:
        Frames numbered from 0, in order.

    Example:
        >>> every_nth(10, 4)
        (0, 4, 8)
    """
    if count < 1 or step < 1 or (most is not None and most < 1):
        raise ValueError(f"count={count!r}, step={step!r} and most={most!r} must be at least 1.")
    return tuple(range(0, count, step))[:most]


def key_frames(frames: Iterable[Pixels], most: int, least_distance: float = 4.0) -> tuple[int, ...]:
    """Take the frames that differ most from each other.

    Frames are compared as gray pictures of at most 32 x 32 means, so noise of the machine and
    compression count little. The first frame is taken; then, again and again, the one whose
    nearest taken frame is farthest (the earliest of equals), until all others resemble a taken one
    (greedy covering: Gonzalez 1985, Theoretical Computer Science 38, p. 293).

    Args:
        frames: The frames in order; they are looked at once and not held.
        most: Take no more than these.
        least_distance: Frames closer to a taken one, as root of the mean squared difference on a
            scale of 255, bring nothing new.

    Returns:
        Frames numbered from 0, in order.

    Raises:
        ValueError: There is no frame, or they differ in size.
    """
    if most < 1 or not least_distance > 0:
        raise ValueError(f"most={most!r} and least_distance={least_distance!r} must be positive.")
    small = [_small(frame) for frame in frames]
    if not small or len({picture.shape for picture in small}) != 1:
        raise ValueError("Key frames are chosen among one or more frames of one size.")
    pictures = np.stack(small).reshape(len(small), -1)
    taken = [0]
    nearest = _distances(pictures, 0)
    while len(taken) < most:
        farthest = int(np.argmax(nearest))
        if nearest[farthest] < least_distance:
            break
        taken.append(farthest)
        nearest = np.minimum(nearest, _distances(pictures, farthest))
    return tuple(sorted(taken))


def _small(frame: Pixels) -> NDArray[np.float64]:
    """Average a frame over a grid; whole sums, so that no order of adding shows."""
    shade = gray(frame)
    sums = shade.astype(np.int64)
    for axis in (0, 1):
        size = shade.shape[axis]
        edges = np.linspace(0, size, min(_SIDE, size) + 1).astype(int)
        sums = np.add.reduceat(sums, edges[:-1], axis=axis)
    rows, columns = (
        np.diff(np.linspace(0, size, min(_SIDE, size) + 1).astype(int)) for size in shade.shape
    )
    full = 255 if shade.dtype == np.uint8 else 65535
    means: NDArray[np.float64] = sums / (rows[:, None] * columns[None, :]) * (255 / full)
    return means


def _distances(pictures: NDArray[np.float64], one: int) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = np.mean((pictures - pictures[one]) ** 2, axis=1)
    return np.sqrt(squares)
