from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from audits.copies.groups import DuplicateGroups, find_groups
from audits.copies.identity import orientations


def _rows(found: DuplicateGroups) -> set[tuple[int, ...]]:
    return {group.rows for group in found.groups}


def _like(image: np.ndarray, seed: int, sigma: float = 4) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sigma, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def test_unlike_images_form_no_group(make_images) -> None:
    images, keys = make_images(30, 2, seed=1, same=2.0)
    found = find_groups(images, np.unique(keys, return_inverse=True)[1])
    assert found.groups == ()
    assert found.clean
    assert (found.images, found.patients, found.flat) == (60, 30, 0)
    assert set(found.counts().values()) == {0}


def test_near_copies_of_other_patients_are_grouped_and_everyone_else_left_alone(
    make_images,
) -> None:
    images, _ = make_images(50, seed=2)
    images[30] = _like(images[3], 0)[:, ::-1]
    images[31] = _like(images[4], 1)
    images[32] = _like(images[4], 2)
    images[40] = images[5]
    images[41] = orientations(images[6])[1]
    found = find_groups(images, np.arange(50))
    assert _rows(found) == {(3, 30), (4, 31, 32), (5, 40), (6, 41)}
    by_rows = {group.rows: group for group in found.groups}
    assert {rows for rows, group in by_rows.items() if group.identical} == {(5, 40), (6, 41)}
    assert by_rows[5, 40].ratio == 0
    assert 0 < by_rows[3, 30].ratio < 1 / 3
    assert by_rows[4, 31, 32].patients == 3
    assert found.counts()["across_patients"] == 4
    assert not found.clean
    # The most certain come first.
    assert [group.ratio for group in found.groups] == sorted(g.ratio for g in found.groups)


def test_frames_of_one_loop_are_found_though_they_resemble_each_other(make_images) -> None:
    images, _ = make_images(30, seed=3)
    patients = np.arange(30)
    for row in (20, 21, 22, 23):
        images[row] = _like(images[7], row, sigma=12)
        patients[row] = 7
    found = find_groups(images, patients)
    assert _rows(found) == {(7, 20, 21, 22, 23)}
    assert found.groups[0].problems == ()
    assert found.clean
    assert found.counts()["without_problem"] == 1


def test_the_nearest_other_pairs_are_listed_and_change_nothing(make_images) -> None:
    images, _ = make_images(40, seed=9)
    images[30] = images[3]
    half = images[5].astype(float) * 0.7 + images[20] * 0.3
    images[31] = half.astype(np.uint8)
    found = find_groups(images, np.arange(40), suspects=6)
    assert _rows(found) == {(3, 30)}
    pairs = [pair.rows for pair in found.suspects]
    assert (5, 31) in pairs
    assert (3, 30) not in pairs
    assert 3 <= len(pairs) <= 6
    assert [pair.ratio for pair in found.suspects] == sorted(pair.ratio for pair in found.suspects)
    assert find_groups(images, np.arange(40), suspects=0).suspects == ()


def test_problems_are_named(make_images) -> None:
    images, _ = make_images(30, seed=4)
    for row in range(4):
        images[20 + row] = images[row]
    patients = np.arange(30)
    patients[[21, 22, 23]] = [1, 2, 3]
    splits, birads = ["train"] * 30, ["3"] * 30
    splits[21], birads[22] = "control", "4"
    side = [""] * 30
    side[3] = "left"
    found = find_groups(images, patients, splits=splits, labels={"birads": birads, "side": side})
    named = {group.rows: group.problems for group in found.groups}
    assert named == {
        (0, 20): ("patients",),
        (1, 21): ("splits",),
        (2, 22): ("labels",),
        (3, 23): (),
    }
    by_rows = {group.rows: group for group in found.groups}
    assert by_rows[1, 21].splits == ("control", "train")
    assert by_rows[2, 22].contradicting == ("birads",)
    counts = found.counts()
    assert (counts["across_patients"], counts["across_splits"]) == (1, 1)
    assert (counts["contradicting_labels"], counts["without_problem"]) == (1, 1)
    assert found.groups[-1].rows == (3, 23)


def test_unknown_patients_are_a_problem_of_every_group(make_images) -> None:
    images, _ = make_images(20, seed=5)
    images[9] = images[2]
    found = find_groups(images, None)
    assert _rows(found) == {(2, 9)}
    assert found.groups[0].problems == ("unknown patients",)
    assert found.patients is None
    assert not found.clean


def test_many_copies_everywhere_are_one_group_each(make_images) -> None:
    images, _ = make_images(4, seed=6)
    copies = np.repeat(images, 6, axis=0)
    found = find_groups(copies, np.arange(24))
    assert _rows(found) == {tuple(range(6 * i, 6 * i + 6)) for i in range(4)}
    assert all(group.identical for group in found.groups)
    one = find_groups(copies, np.zeros(24, np.int64))
    assert _rows(one) == _rows(found)
    assert one.clean


@pytest.mark.parametrize("n", [0, 1, 2])
def test_the_smallest_sets(n: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (n, 16, 12), dtype=np.uint8)
    for patients in (np.arange(n), np.zeros(n, np.int64), None):
        found = find_groups(images, patients)
        assert found.groups == ()
        assert found.images == n
    twice = np.concatenate([images, images])
    assert _rows(find_groups(twice, np.arange(2 * n))) == {(i, i + n) for i in range(n)}


def test_flat_images_are_counted_and_never_grouped(make_images) -> None:
    images, _ = make_images(10, seed=7)
    images[3:6] = np.array([5, 5, 9])[:, None, None]
    found = find_groups(images, np.arange(10))
    assert found.flat == 3
    assert found.groups == ()


def test_a_group_is_as_sure_as_its_weakest_needed_link(make_images) -> None:
    from audits.copies.groups import _components, _weakest

    links = {(0, 1): (0.0, 0.0), (1, 2): (0.2, 0.3), (0, 2): (0.3, 0.4), (2, 3): (0.1, 0.1)}
    # Without (0, 2) the four still hang together; by brute force over spanning trees:
    best = min(
        max(links[pair] for pair in tree)
        for tree in combinations(links, 3)
        if len(_components({pair: links[pair] for pair in tree})) == 1
        and len({row for pair in tree for row in pair}) == 4
    )
    assert _weakest(links) == best == (0.2, 0.3)
    parts = _components(
        {(5, 9): (0.1, 0.1), (1, 2): (0.0, 0.0), (9, 1): (0.2, 0.2), (7, 8): (0, 0)}
    )
    assert [rows for rows, _ in parts] == [(1, 2, 5, 9), (7, 8)]


def test_shards_change_nothing(make_images) -> None:
    images, _ = make_images(132, seed=8, size=16)
    images[100] = _like(images[1], 1)
    alone = find_groups(images, np.arange(132))
    assert alone == find_groups(images, np.arange(132), shards=3)
    assert len(alone.groups) == 1
