from __future__ import annotations

import numpy as np
import pytest

from audits.copies.contractions import blocks, framed, prepare, reach, sketch, within_rounding
from audits.copies.proposals import COARSE, build_reference, working_images
from audits.features.windows import Window, orbit


def _pictures(make_images) -> np.ndarray:
    """Ordinary, noisy, faint, flat and black-and-white pictures."""
    images, _ = make_images(12, seed=1, size=40)
    rng = np.random.default_rng(0)
    faint = (250 + rng.integers(0, 2, (4, 40, 40)) * (rng.random((4, 1, 1)) < 0.7)).astype(np.uint8)
    speck = np.full((2, 40, 40), 255)
    speck[0, 20, 20] = 254
    harsh = rng.integers(0, 2, (4, 40, 40)) * 255
    near = np.clip(images[:6] + rng.normal(0, 4, (6, 40, 40)), 0, 255)
    return np.concatenate([images, near, faint, speck, harsh]).astype(np.uint8)


def test_short_vectors_never_dismiss_a_pair(make_images) -> None:
    images = _pictures(make_images)
    prepared = prepare(build_reference(images, np.arange(len(images))))
    working = working_images(images)
    for window in orbit()[::3]:
        real = framed(working, Window(zoom=window.inner))
        queries = framed(working, window)
        exact = np.sqrt(np.square(queries[:, None] - real[None]).sum(axis=(2, 3)))
        single = within_rounding(working, window)
        assert np.sqrt(np.square(single - queries).sum(axis=(1, 2))).max() < 1e-4
        sums = blocks(single, COARSE)
        short = sketch(single, sums, prepared.directions[window.inner], query=True)
        limits = np.array([[reach(d, COARSE) for d in row] for row in exact.tolist()])
        assert (-2 * (short @ prepared.sketches[window.inner]) <= limits).all()
        gaps = np.square(sums[:, None] - prepared.blocks[window.inner][None]).sum(axis=2)
        assert (gaps <= limits).all()


def test_sketches_tell_different_pictures_apart(make_images) -> None:
    images, _ = make_images(40, seed=2, size=64)
    prepared = prepare(build_reference(images, np.arange(40)))
    single = within_rounding(working_images(images), Window())
    short = sketch(single, blocks(single, COARSE), prepared.directions[1.0], query=True)
    squares = -2 * (short @ prepared.sketches[1.0])
    assert np.abs(np.diag(squares)).max() < 2e-3
    assert squares[~np.eye(40, dtype=bool)].min() > 0.1


@pytest.mark.parametrize("cells", [16, 32, 64])
def test_block_sums_are_a_projection(cells: int) -> None:
    values = np.random.default_rng(0).normal(size=(3, 64, 64)).astype(np.float32)
    fold = 64 // cells
    expected = values.reshape(3, cells, fold, cells, fold).sum(axis=(2, 4)) / fold
    assert np.allclose(blocks(values, cells), expected.reshape(3, -1), atol=1e-5)
    constant = np.ones((1, 64, 64), np.float32)
    assert np.isclose(np.square(blocks(constant, cells)).sum(), 64 * 64)
