"""The choice of frames: deterministic, spread out, and blind to noise."""

from __future__ import annotations

import numpy as np
import pytest

from privacy.deidentify.colour import Pixels
from privacy.deidentify.frames import all_frames, every_nth, key_frames


def scene(kind: int, seed: int = 0, size: int = 96) -> Pixels:
    """One of a few pictures, with noise of its own."""
    y, x = np.mgrid[:size, :size] / size
    picture = 128 + 100 * np.sin(2 * np.pi * ((kind % 3 + 1) * x + (kind // 3) * y))
    noise = np.random.default_rng(seed).normal(0, 4, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def test_every_nth() -> None:
    assert all_frames(3) == (0, 1, 2)
    assert every_nth(7, 3) == (0, 3, 6)
    assert every_nth(7, 30) == (0,)
    assert every_nth(700, 3, most=2) == (0, 3)
    for bad in ((0, 1, None), (3, 0, None), (3, 1, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            every_nth(*bad)


def test_each_picture_once_whatever_the_noise() -> None:
    kinds = [0, 0, 0, 1, 1, 0, 4, 4, 1, 0]
    frames = [scene(kind, seed) for seed, kind in enumerate(kinds)]
    taken = key_frames(frames, most=10)
    assert sorted(kinds[frame] for frame in taken) == [0, 1, 4]
    assert taken[0] == 0
    assert list(taken) == sorted(taken)
    assert key_frames(iter(frames), most=10) == taken


def test_the_farthest_come_first() -> None:
    levels = [100, 105, 110, 200, 150]
    frames = [np.full((40, 40), level, np.uint8) for level in levels]
    assert key_frames(frames, most=1) == (0,)
    assert key_frames(frames, most=2) == (0, 3)
    assert key_frames(frames, most=3) == (0, 3, 4)
    assert key_frames(frames, most=9, least_distance=6) == (0, 2, 3, 4)
    assert key_frames(frames, most=9, least_distance=60) == (0, 3)


def test_the_earliest_of_equals() -> None:
    frames = [np.full((8, 8), level, np.uint8) for level in (0, 90, 90)]
    assert key_frames(frames, most=2) == (0, 1)
    assert key_frames([frames[0]] * 5, most=5) == (0,)


def test_gray_colour_and_deep_frames_alike() -> None:
    gray = [scene(kind) for kind in (0, 1, 0, 4)]
    colour = [np.stack([frame] * 3, axis=-1) for frame in gray]
    deep = [frame.astype(np.uint16) * 257 for frame in gray]
    assert key_frames(gray, 4) == key_frames(colour, 4) == key_frames(deep, 4) == (0, 1, 3)


def test_small_frames_and_bad_arguments() -> None:
    assert key_frames([np.zeros((1, 1), np.uint8), np.full((1, 1), 50, np.uint8)], 2) == (0, 1)
    with pytest.raises(ValueError, match="one size"):
        key_frames([], 2)
    with pytest.raises(ValueError, match="one size"):
        key_frames([np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8)], 2)
    with pytest.raises(ValueError, match="positive"):
        key_frames([np.zeros((4, 4), np.uint8)], 0)
    with pytest.raises(ValueError, match="positive"):
        key_frames([np.zeros((4, 4), np.uint8)], 1, least_distance=float("nan"))
