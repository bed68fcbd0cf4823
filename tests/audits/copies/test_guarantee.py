from __future__ import annotations

import numpy as np
import pytest

from audits.copies.framings import build_reference, score_copies, working_images
from audits.copies.guarantee import count_within, find_within, framed, propose_radius
from audits.features.windows import Window, orbit
from audits.images import Patients


def _brute_force(
    images: np.ndarray, real: np.ndarray, radius: float
) -> dict[tuple[int, int], float]:
    """Every pair within the radius, by full vectors in double precision."""
    known = working_images(real)
    pairs: dict[tuple[int, int], float] = {}
    for window in orbit():
        queries = framed(working_images(images), window)
        references = framed(known, Window(zoom=window.inner))
        for q, query in enumerate(queries):
            for r, reference in enumerate(references):
                distance = float(np.sqrt(np.square(query - reference).sum()))
                if distance <= radius:
                    pairs[q, r] = min(distance, pairs.get((q, r), np.inf))
    return pairs


@pytest.mark.parametrize(("seed", "size"), [(1, 16), (2, 40)])
def test_no_pair_is_dismissed_wrongly(make_images, seed: int, size: int) -> None:
    real, _ = make_images(12, 2, seed=seed, size=size)
    rng = np.random.default_rng(seed)
    real[5] = 77
    fresh, _ = make_images(4, seed=seed + 10, size=size)
    near = [np.clip(real[:4] + rng.normal(0, s, real[:4].shape), 0, 255) for s in (2, 12, 40)]
    flat = np.full((1, size, size), 3)
    moved = np.roll(real[:3], 2, axis=2)[:, :, ::-1]
    queries = np.concatenate([fresh, *near, flat, moved, real[6:8]]).astype(np.uint8)
    reference = build_reference(real, rng.integers(0, 9, len(real)))
    tried = 0
    for radius in (1e-6, 0.15, 0.7):
        expected = _brute_force(queries, real, radius)
        found = find_within(queries, reference, radius)
        pairs = zip(found.query.tolist(), found.row.tolist(), found.distance, strict=True)
        got = {(q, r): d for q, r, d in pairs}
        assert got.keys() == expected.keys()
        assert all(got[pair] == pytest.approx(d, abs=1e-9) for pair, d in expected.items())
        tried += len(expected)
    assert tried > 40


def test_a_radius_just_above_and_below_a_distance_decides(make_images) -> None:
    real, keys = make_images(8, seed=3)
    reference = build_reference(real, np.arange(8))
    assert len(keys) == 8
    query = np.clip(real[:1].astype(int) + 20 * (np.indices((32, 32)).sum(0) % 5 == 0), 0, 255)
    query = query.astype(np.uint8)
    distance = _brute_force(query, real, 2.0)[0, 0]
    assert 0 in find_within(query, reference, distance * (1 + 1e-9)).row
    assert 0 not in find_within(query, reference, distance * (1 - 1e-9)).row


def test_counts_are_of_patients_and_own_ones_are_left_out(make_images) -> None:
    real, _ = make_images(6, seed=4)
    real = np.concatenate([real, real[:2], real[:1]])
    of_image = np.array([0, 1, 2, 3, 4, 5, 0, 4, 5])
    patients = Patients(of_image, np.arange(6) < 4, np.zeros(6, np.int64), True)
    reference = build_reference(real, of_image)
    pairs = find_within(real[:3], reference, 0.05)
    train, control = count_within(pairs, patients)
    # Image 0 is filed under patients 0 (twice) and 5; image 1 under 1 and 4.
    assert train.tolist() == [1, 1, 1]
    assert control.tolist() == [1, 1, 0]
    posing = find_within(real[:3], reference, 0.05, own=of_image[:3])
    assert [count_within(posing, patients)[i].tolist() for i in (0, 1)] == [[0, 0, 0], [1, 1, 0]]
    none = find_within(real[:0], reference, 0.05)
    assert [len(counts) for counts in count_within(none, patients)] == [0, 0]
    empty = find_within(real[:2], build_reference(real[:0], of_image[:0]), 0.05)
    assert count_within(empty, patients)[0].tolist() == [0, 0]


def test_the_radius_lies_below_every_distance_between_patients(make_images) -> None:
    real, _ = make_images(30, seed=5)
    own = np.arange(30)
    reference = build_reference(real, own)
    # Far apart: the largest radius.
    assert propose_radius(real[20:], own[20:], reference) == 0.5
    real[25] = np.clip(real[3] + np.random.default_rng(0).normal(0, 12, (32, 32)), 0, 255)
    close = build_reference(real, own)
    radius = propose_radius(real[20:], own[20:], close)
    assert 0 < radius < 0.5
    assert len(find_within(real[20:], close, radius, own=own[20:])) == 0
    assert len(find_within(real[20:], close, radius / 0.9 + 1e-9, own=own[20:])) > 0
    near = np.arange(20, 30) == 25
    assert propose_radius(real[20:], own[20:], close, leave_out=near) == 0.5
    assert propose_radius(real[:0], own[:0], reference) == 0.5


def test_pairs_within_the_radius_always_reach_the_copy_search(make_images) -> None:
    real, _ = make_images(12, 2, seed=6, size=16)
    own = np.arange(24) // 2
    reference = build_reference(real, own)
    queries = np.concatenate([real[:4], make_images(4, seed=7, size=16)[0]])
    pairs = find_within(queries, reference, 0.8)
    include = pairs.candidates()
    assert len(np.unique(np.stack([pairs.query, pairs.patient]), axis=1).T) == len(include)
    scores = score_copies(queries, reference, include=include)
    plain = score_copies(queries, reference)
    # More candidates can only bring the first and the second patient nearer.
    assert (scores.distance <= plain.distance + 1e-12).all()
    copied = scores.patient[:4, 0] == own[:4]
    assert copied.all()


def test_shards_do_not_change_a_number(make_images) -> None:
    real, _ = make_images(6, seed=8, size=16)
    queries = np.concatenate([make_images(130, seed=9, size=16)[0], real])
    reference = build_reference(real, np.arange(6))
    one = find_within(queries, reference, 0.4)
    many = find_within(queries, reference, 0.4, shards=2)
    assert {131, 135} <= set(one.query.tolist())
    for name in ("query", "row", "patient", "framing", "distance"):
        assert getattr(one, name).tobytes() == getattr(many, name).tobytes()
