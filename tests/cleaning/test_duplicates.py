from __future__ import annotations

import io
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bussynth.cleaning.duplicates import SIDE, near_duplicates, signature

Gray = NDArray[np.uint8]
MakeTissue = Callable[..., Gray]


def jpeg(image: Gray) -> Gray:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=60)
    return np.asarray(Image.open(out))


def test_a_signature_is_normal_and_ignores_gain_and_offset(make_tissue: MakeTissue) -> None:
    image = make_tissue(0)
    first = signature(image)
    assert first.shape == (SIDE * SIDE,)
    assert first.dtype == np.float32
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
    assert first.mean() == pytest.approx(0, abs=1e-6)
    for changed in (image // 2, image // 2 + 60, jpeg(image)):
        assert signature(changed) @ first > 0.995


def test_copies_are_grouped_and_others_are_not(make_tissue: MakeTissue) -> None:
    a, b, c = (make_tissue(seed) for seed in range(3))
    images = [a, b, jpeg(a), c, (a * 0.8).astype(np.uint8), np.roll(b, 2, axis=1)]
    signatures = [signature(image) for image in images]
    assert near_duplicates(signatures, ["p"] * 6) == ((0, 2, 4), (1, 5))
    # The same by hand.
    pairs = {(i, j) for i, j in combinations(range(6), 2) if signatures[i] @ signatures[j] >= 0.96}
    assert pairs == {(0, 2), (0, 4), (2, 4), (1, 5)}


def test_patients_are_never_compared(make_tissue: MakeTissue) -> None:
    same = [signature(make_tissue(0))] * 4
    assert near_duplicates(same, ["p", "q", "r", "s"]) == ()
    assert near_duplicates(same, ["p", "q", "p", "q"]) == ((0, 2), (1, 3))


def test_groups_are_joined_through_others() -> None:
    random = np.random.default_rng(0)
    one, two = random.normal(size=(2, SIDE * SIDE))
    one /= np.linalg.norm(one)
    two -= (two @ one) * one
    two /= np.linalg.norm(two)
    chain = np.array([np.cos(t) * one + np.sin(t) * two for t in (0, 0.2, 0.4)], np.float32)
    assert near_duplicates(chain, ["p"] * 3) == ((0, 1, 2),)
    assert near_duplicates(chain[[0, 2]], ["p"] * 2) == ()


def test_extremes_and_bad_arguments(make_tissue: MakeTissue) -> None:
    assert near_duplicates([], []) == ()
    constant = signature(np.full((40, 40), 7, np.uint8))
    assert not constant.any()
    assert near_duplicates([constant, constant], ["p", "p"]) == ()
    for bad in (np.zeros((31, 90), np.uint8), np.zeros((40, 40, 3), np.uint8)):
        with pytest.raises(ValueError, match="at least 32"):
            signature(bad)
    with pytest.raises(ValueError, match="1 signatures are not of 2 images"):
        near_duplicates([constant], ["p", "q"])
    with pytest.raises(ValueError, match="least=0"):
        near_duplicates([constant], ["p"], least=0)
