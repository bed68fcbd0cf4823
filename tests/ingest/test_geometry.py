from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bussynth.errors import UsageError
from bussynth.ingest.boxes import mask_box
from bussynth.ingest.geometry import Placement

sides = st.integers(1, 300)


def naive_weights(source: int, target: int) -> np.ndarray:
    """Hamming-windowed sinc over two target pixels, sampled at the centres of source pixels."""
    scale = source / target
    centres = (np.arange(target) + 0.5) * scale
    x = (np.arange(source) + 0.5 - centres[:, None]) / scale
    weights = np.where(np.abs(x) < 1, np.sinc(x) * (0.54 + 0.46 * np.cos(np.pi * x)), 0)
    result: np.ndarray = weights / weights.sum(axis=1, keepdims=True)
    return result


def test_letterbox_is_centred_and_black_around() -> None:
    placement = Placement.fit((200, 100), 64)
    assert (placement.left, placement.top, placement.width, placement.height) == (0, 16, 64, 32)
    stored = placement.image(np.full((100, 200), 77, np.uint8))
    assert (stored[16:48] == 77).all()
    assert not stored[:16].any()
    assert not stored[48:].any()


def test_crop_is_the_central_square() -> None:
    pixels = np.zeros((10, 30), np.uint8)
    pixels[:, 10:20] = 9
    assert (Placement.fit((30, 10), 5, "crop").image(pixels) == 9).all()


@pytest.mark.parametrize("source", [(128, 128), (100, 70), (33, 97)])
def test_shrinking_matches_the_formula(source: tuple[int, int]) -> None:
    width, height = source
    pixels = np.random.default_rng(1).integers(20, 231, (height, width), dtype=np.uint8)
    placement = Placement.fit(source, 32)
    rows = slice(placement.top, placement.top + placement.height)
    columns = slice(placement.left, placement.left + placement.width)
    stored = placement.image(pixels)[rows, columns]
    wanted = naive_weights(height, placement.height) @ pixels
    wanted = wanted @ naive_weights(width, placement.width).T
    # Pillow rounds after each of the two directions.
    assert np.abs(stored - wanted).max() <= 1.01
    assert stored.min() >= 20
    assert stored.max() <= 230


@given(sides, sides, st.sampled_from(["letterbox", "crop"]))
def test_every_size_fits(width: int, height: int, geometry: str) -> None:
    placement = Placement.fit((width, height), 16, geometry)
    pixels = np.full((height, width), 200, np.uint8)
    stored = placement.image(pixels)
    assert stored.shape == (16, 16)
    # The content is exactly where box and mask say it is.
    content = placement.mask(np.ones((height, width), bool))
    assert np.array_equal(stored == 200, content)
    assert placement.box((0, 0, width, height)) == mask_box(content)


@given(st.data())
def test_box_and_mask_move_together(data: st.DataObject) -> None:
    width, height = data.draw(st.integers(40, 300)), data.draw(st.integers(40, 300))
    x0, y0 = data.draw(st.integers(0, width - 20)), data.draw(st.integers(0, height - 20))
    x1, y1 = data.draw(st.integers(x0 + 20, width)), data.draw(st.integers(y0 + 20, height))
    mask = np.zeros((height, width), bool)
    mask[y0:y1, x0:x1] = True
    placement = Placement.fit((width, height), 64)
    moved = placement.box((x0, y0, x1, y1))
    around = mask_box(placement.mask(mask))
    assert moved is not None
    assert around is not None
    assert np.abs(np.subtract(moved, around)).max() <= 1.0


def test_a_tiny_lesion_does_not_vanish() -> None:
    mask = np.zeros((640, 640), bool)
    mask[321, 321] = True
    stored = Placement.fit((640, 640), 16).mask(mask)
    assert stored.sum() == 1
    assert stored[8, 8]
    assert not Placement.fit((640, 640), 16).mask(np.zeros((640, 640), bool)).any()


def test_box_is_clipped_by_the_crop_or_lost() -> None:
    placement = Placement.fit((30, 10), 10, "crop")
    assert placement.box((0, 0, 15, 10)) == (0, 0, 5, 10)
    assert placement.box((0, 0, 10, 10)) is None
    assert placement.box((12, 2, 14, 4)) == (2, 2, 4, 4)


def test_enlarging_is_told() -> None:
    assert Placement.fit((10, 10), 64).enlarges
    assert not Placement.fit((64, 64), 64).enlarges
    assert np.array_equal(Placement.fit((64, 64), 64).image(np.eye(64, dtype=np.uint8)), np.eye(64))


def test_unknown_geometry() -> None:
    with pytest.raises(UsageError, match="letterbox or crop"):
        Placement.fit((1, 1), 8, "squeeze")
