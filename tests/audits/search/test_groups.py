from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from audits.errors import AuditInputError
from audits.search.groups import group_minima


@pytest.mark.parametrize(
    "kind", ["gauss", "near-duplicates", "identical", "zero", "signs", "flat", "far"]
)
def test_equals_the_naive_minimum_whatever_the_shards(
    kind: str, table: Callable, draw: Callable
) -> None:
    both = draw(kind, 415, 11)
    queries, references = both[:15], both[15:]
    groups = np.random.default_rng(3).integers(0, 7, 400)
    groups[groups == 5] = 4
    every = table(queries, references)
    want = np.full((15, 8), np.inf)
    for group in set(groups.tolist()):
        want[:, group] = every[:, groups == group].min(axis=1)
    for backend in ("numpy", "torch"):
        for shards, threads in ((1, 1), (4, 2), (60, 1)):
            found = group_minima(
                queries, references, groups, 8, shards=shards, threads=threads, backend=backend
            )
            assert found.tobytes() == want.tobytes()


def test_copies_are_at_zero_and_files_give_the_same(tmp_path: Path, draw: Callable) -> None:
    vectors = draw("far", 1500, 6)
    groups = np.arange(1500) // 10
    np.save(tmp_path / "v.npy", vectors)
    with ThreadPoolExecutor(2) as pool:
        found = group_minima(
            tmp_path / "v.npy", tmp_path / "v.npy", groups, 150, shards=3, executor=pool
        )
    assert (found[np.arange(1500), groups] == 0).all()
    assert (np.sort(found, axis=1)[:, 1] > 0).all()
    assert found.tobytes() == group_minima(vectors, vectors, groups, 150).tobytes()


def test_nothing_to_compare(draw: Callable) -> None:
    vectors = draw("gauss", 4, 3)
    none = np.empty(0, np.int64)
    assert group_minima(vectors[:0], vectors, np.zeros(4, np.int64), 2).shape == (0, 2)
    assert np.isinf(group_minima(vectors, vectors[:0], none, 2)).all()
    with pytest.raises(AuditInputError, match="0 to 1"):
        group_minima(vectors, vectors, np.array([0, 1, 2, 0]), 2)
    with pytest.raises(AuditInputError, match="every reference"):
        group_minima(vectors, vectors, np.array([0, 1]), 2)
    with pytest.raises(AuditInputError, match="backend"):
        group_minima(vectors, vectors, np.zeros(4, np.int64), 2, backend="faiss")
