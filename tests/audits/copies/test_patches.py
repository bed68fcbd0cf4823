from __future__ import annotations

import numpy as np
import pytest

from audits.copies.channel import CopyScores, confirmed
from audits.copies.framings import SCALES, build_reference, score_copies
from audits.copies.patches import (
    AGREEING,
    PatchesChannel,
    PatchReference,
    _propose,
    build_patches,
)


def _numbers(keys: list[str]) -> np.ndarray:
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def _right(scores: CopyScores, patients: np.ndarray) -> float:
    flagged = confirmed(scores, (0.5,) * len(AGREEING), 1.0)
    return float((flagged & (scores.patient == patients[:, None])).any(axis=1).mean())


@pytest.fixture
def textured(make_images):
    """Images with texture in every part, of 30 train and 30 other patients."""
    images, keys = make_images(60, seed=1, size=64)
    grain = np.random.default_rng(0).normal(0, 25, (60, 32, 32)).repeat(2, 1).repeat(2, 2)
    images = np.clip(images * 0.6 + 50 + grain, 0, 255).astype(np.uint8)
    return images[:30], _numbers(keys[:30]), images[30:]


def _halves(mine: np.ndarray, other: np.ndarray) -> np.ndarray:
    mixed = other.copy()
    mixed[:, :, :32] = mine[:, :, :32]
    return mixed


def _pasted(mine: np.ndarray, other: np.ndarray) -> np.ndarray:
    mixed = other.copy()
    mixed[:, 12:46, 16:50] = mine[:, 12:46, 16:50]
    return mixed


def _occluded(mine: np.ndarray, other: np.ndarray) -> np.ndarray:
    mixed = mine.copy()
    mixed[:, 16:48, 16:48] = 0
    return mixed


def _mirrored_halves(mine: np.ndarray, other: np.ndarray) -> np.ndarray:
    return _halves(mine, other)[:, :, ::-1]


def _shifted_halves(mine: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.roll(_halves(mine, other), (2, -1), axis=(1, 2))


@pytest.mark.parametrize("make", [_halves, _pasted, _occluded, _mirrored_halves, _shifted_halves])
def test_parts_of_a_picture_are_found_where_whole_pictures_are_not(textured, make) -> None:
    images, patients, others = textured
    queries = make(images, others)
    channel = PatchesChannel(build_patches(images, patients))
    assert _right(channel.score(queries), patients) >= 0.95
    whole = score_copies(queries, build_reference(images, patients))
    assert confirmed(whole, (0.5,) * len(SCALES), 1.0).any(axis=1).mean() < 0.5


def test_independent_images_are_no_copies(textured) -> None:
    images, patients, others = textured
    scores = PatchesChannel(build_patches(images, patients)).score(others)
    assert scores.ratio.min() > 0.7
    assert PatchesChannel(build_patches(images, patients)).score(images, patients).ratio.min() > 0.7


def test_votes_agree_with_a_naive_search(textured) -> None:
    images, patients, others = textured
    # Two images a patient; without shift the nearest patch is found by hand.
    numbers = patients // 2
    reference = build_patches(images, numbers)
    query = _halves(images[7:8], others[7:8])
    scores = PatchesChannel(reference).score(query)
    assert scores.patient.tolist() == [[numbers[7]] * len(AGREEING)]
    assert scores.row[0, 0] == 7
    # Three of seven columns of patches lie in the copied half: all agree, at a distance of zero,
    # so the sixteen best have a ratio near zero and the mean says so.
    assert scores.ratio[0].max() < 0.05
    assert scores.distance[0].max() < 0.01


def test_a_frame_shared_by_two_patients_is_no_copy(textured) -> None:
    images, patients, others = textured
    framed, query = images.copy(), others[:10].copy()
    # A rare format: one patient's picture and the queries fill the same part of the canvas.
    framed[4, :20], framed[4, 44:] = 0, 0
    query[:, :20], query[:, 44:] = 0, 0
    scores = PatchesChannel(build_patches(framed, patients)).score(query)
    assert not confirmed(scores, (0.5,) * len(AGREEING), 1.0).any()


def test_extremes(textured) -> None:
    images, patients, _ = textured
    channel = PatchesChannel(build_patches(images, patients))
    flat = np.full((2, 64, 64), 9, np.uint8)
    assert (channel.score(flat).patient == -1).all()
    assert channel.score(flat).ratio.min() == 1.0
    assert len(channel.score(images[:0])) == 0
    empty = PatchesChannel(build_patches(images[:0], patients[:0]))
    assert (empty.score(images[:2]).row == -1).all()
    alone = PatchesChannel(build_patches(images[:2], np.zeros(2, np.int64)))
    assert alone.score(images[:2]).ratio.min() == 1.0
    assert (alone.score(images[:2], np.zeros(2, np.int64)).patient == -1).all()
    same = np.repeat(images[:1], 6, axis=0)
    assert not confirmed(
        PatchesChannel(build_patches(same, np.arange(6))).score(same), (0.5,) * 3, 1.0
    ).any()
    # One picture under two keys does not hide its copy.
    twice = np.concatenate([images, images[3:4]])
    scores = PatchesChannel(build_patches(twice, np.arange(31))).score(images[3:4])
    assert scores.ratio.max() < 0.1
    small = PatchesChannel(build_patches(images[:, ::4, ::4], patients)).score(images[:3, ::4, ::4])
    assert _right(small, patients[:3]) == 1.0


def test_shards_do_not_change_a_byte(textured) -> None:
    images, patients, others = textured
    queries = np.concatenate([others, images, others, images, others])[:140]
    few = build_patches(images[:12], patients[:12])
    one = PatchesChannel(few).score(queries)
    many = PatchesChannel(few, shards=2).score(queries)
    assert one.ratio.tobytes() == many.ratio.tobytes()
    assert one.row.tobytes() == many.row.tobytes()
    # The last block is a short one.
    assert one.ratio[128:].tobytes() == PatchesChannel(few).score(queries[128:]).ratio.tobytes()


def test_proposed_patches_are_those_of_a_naive_search() -> None:
    rng = np.random.default_rng(0)
    # More than two chunks of real images; a patient with very many, and many ties.
    patients = np.sort(np.r_[rng.integers(0, 300, 1000), np.full(200, 77)])
    known = rng.integers(-1, 2, (1200, 6)).astype(np.float32)
    cuts = rng.integers(-1, 2, (3, 40, 6)).astype(np.float32)
    cuts[:, 0] = 0
    own = np.where(np.arange(40) % 3, -1, 77)
    reference = PatchReference(np.arange(1200), patients, known[None])
    found = _propose(cuts, known, reference, own)
    best = np.maximum.reduce(cuts @ known.T)
    for query, row in enumerate(best):
        row[patients == own[query]] = -np.inf
        expected = []
        for _ in range(found.shape[1]):
            position = int(row.argmax())
            expected.append(position if row[position] > 0 else -1)
            row[patients == patients[position]] = -np.inf
        assert found[query].tolist() == expected
