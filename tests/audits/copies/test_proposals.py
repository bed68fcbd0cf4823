from __future__ import annotations

import numpy as np

from audits.copies.proposals import COARSE, Reference, build_reference, propose, working_images
from audits.features.pixels import normalised
from audits.features.windows import extract, orbit


def _naive(
    queries: np.ndarray, reference: Reference, own: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Best similarity of every image under any framing, then the best images of the best patients.

    Returns the similarity of each patient chosen, minus infinity where none, and the table.
    """
    table = np.full((len(queries), len(reference.rows)), -np.inf)
    for window in orbit():
        features = normalised(extract(queries, window, COARSE).reshape(len(queries), -1))
        table = np.maximum(table, features.astype(float) @ reference.coarse[window.inner].T)
    table[own[:, None] == reference.patients[None]] = -np.inf
    patients = np.unique(reference.patients)
    best = np.stack([table[:, reference.patients == p].max(axis=1) for p in patients], axis=1)
    order = np.argsort(-best, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(best, order, 1), table


def test_proposals_are_those_of_a_naive_search(make_images) -> None:
    images, keys = make_images(120, 2, seed=1, size=40)
    patients = np.unique(keys, return_inverse=True)[1].astype(np.int64)
    rng = np.random.default_rng(0)
    images[7], images[50:53] = 9, images[3]
    fresh = make_images(10, seed=2, size=40)[0]
    noise = rng.integers(0, 256, (6, 40, 40))
    rough = np.clip(images[20:30] + rng.normal(0, 60, (10, 40, 40)), 0, 255)
    flat = np.full((1, 40, 40), 4)
    queries = np.concatenate([fresh, noise, rough, flat, images[:6]]).astype(np.uint8)
    own = np.full(len(queries), -1)
    own[-6:] = patients[:6]
    reference = build_reference(images, patients)
    working = working_images(queries)
    for count in (2, 4, 20, 500):
        positions, windows = propose(working, reference, own, count)
        best, table = _naive(working, reference, own, count)
        assert positions.shape == windows.shape == best.shape
        known = positions >= 0
        assert (known == (best > -np.inf)).all()
        every = np.arange(len(queries))[:, None]
        chosen = np.where(known, table[every, positions], -np.inf)
        assert np.allclose(chosen[known], best[known], atol=1e-6)
        named = np.where(known, reference.patients[positions], -1)
        assert (named[-6:] != own[-6:, None]).all()
        for row in named:
            assert len(set(row[row >= 0])) == (row >= 0).sum()
        for q, c in zip(*np.nonzero(known[:, :2]), strict=True):
            window = orbit()[windows[q, c]]
            cut = normalised(extract(working[q : q + 1], window, COARSE).reshape(1, -1))[0]
            real = reference.coarse[window.inner][positions[q, c]]
            assert np.isclose(cut.astype(float) @ real, best[q, c], atol=1e-6)


def test_few_or_equal_patients(make_images) -> None:
    images, _ = make_images(3, seed=3)
    none = np.full(3, -1)
    positions, _ = propose(working_images(images), build_reference(images, np.arange(3)), none, 4)
    assert sorted(positions[0].tolist()) == [0, 1, 2]
    own = build_reference(images, np.zeros(3, np.int64))
    positions, _ = propose(working_images(images), own, np.zeros(3, np.int64), 4)
    assert (positions == -1).all()
    # Ties go to the first patient.
    same = np.repeat(images[:1], 30, axis=0)
    reference = build_reference(same, np.arange(30))
    positions, _ = propose(working_images(same[:1]), reference, none[:1], 4)
    assert positions.tolist() == [[0, 1, 2, 3]]


def test_images_take_no_more_room_than_bytes(make_images) -> None:
    small, _ = make_images(3, seed=4)
    large, _ = make_images(3, seed=4, size=80)
    assert build_reference(small, np.arange(3)).images.dtype == np.uint8
    reference = build_reference(large, np.arange(3))
    assert reference.images.shape == (3, 64, 64)
    assert (reference.working(np.array([1])) == working_images(large)[1]).all()
