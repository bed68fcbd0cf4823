from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import faiss
import numpy as np
import pytest

from audits.features.pixels import FloatArray, normalised
from audits.search.exact import Neighbours, mismatch_rate, nearest, tied_rows


def _naive(queries: FloatArray, references: FloatArray, k: int) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(
        [
            [np.square(r.astype(np.float64) - q.astype(np.float64)).sum() for r in references]
            for q in queries
        ]
    )
    rows = np.array(
        [sorted(range(len(references)), key=lambda i: (row[i], i))[:k] for row in table]
    )
    return np.take_along_axis(table, rows, 1), rows


def _vectors(seed: int, n: int, d: int) -> FloatArray:
    return normalised(np.random.default_rng(seed).standard_normal((n, d)))


def test_equals_the_naive_search() -> None:
    queries, references = _vectors(0, 20, 32), _vectors(1, 90, 32)
    squared, rows = _naive(queries, references, 5)
    found = nearest(queries, references, 5)
    assert (found.rows == rows).all()
    assert found.squared == pytest.approx(squared, abs=1e-14)


@pytest.mark.parametrize("shards", [2, 5, 200])
def test_shards_do_not_change_a_byte(shards: int) -> None:
    references = _vectors(1, 90, 32)
    references[50:60] = references[10:20]
    queries = np.concatenate([_vectors(0, 20, 32), references[12:15]])
    one, many = nearest(queries, references, 5), nearest(queries, references, 5, shards=shards)
    assert one.squared.tobytes() == many.squared.tobytes()
    assert one.rows.tobytes() == many.rows.tobytes()


def test_executors_do_not_change_a_byte() -> None:
    queries, references = _vectors(0, 20, 32), _vectors(1, 90, 32)
    one = nearest(queries, references, 5)
    with ThreadPoolExecutor(2) as pool:
        assert nearest(queries, references, 5, shards=3, executor=pool).rows.tobytes() == (
            one.rows.tobytes()
        )
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert nearest(queries, references, 5, shards=3, executor=pool).squared.tobytes() == (
            one.squared.tobytes()
        )


def test_ties_are_broken_by_row_even_beyond_what_was_retrieved() -> None:
    references = np.repeat(_vectors(1, 2, 16), 60, axis=0)
    found = nearest(references[[60]], references, 3)
    assert found.rows.tolist() == [[60, 61, 62]]
    assert found.squared.tolist() == [[0.0, 0.0, 0.0]]
    assert tied_rows(references[[60]], references, found)[0].tolist() == list(range(60, 120))


def test_exact_copies_are_at_distance_zero_where_faiss_cancels() -> None:
    rng = np.random.default_rng(2)
    references = rng.integers(0, 256, (300, 4096)).astype(np.float32)
    # One pixel off by one, and an exact copy behind it.
    references[200] = references[100]
    references[100, 7] += 1
    noisy = references[:50] + rng.normal(0, 0.05, (50, 4096)).astype(np.float32)
    queries = np.concatenate([references[[200]], noisy])
    index = faiss.IndexFlatL2(4096)
    index.add(references)
    raw, _ = index.search(np.repeat(queries, 2, axis=0), 1)
    found = nearest(queries, references, 1)
    assert (found.squared[0, 0], found.rows[0, 0]) == (0.0, 200)
    assert found.rows[1:, 0].tolist() == list(range(50))
    truth = np.square(noisy.astype(np.float64) - references[:50]).sum(axis=1)
    assert found.squared[1:, 0] == pytest.approx(truth, rel=1e-12)
    # The reason for all this: single precision is off by more than the distance itself.
    assert np.abs(raw[2::2, 0] - truth).max() > 0.1 * truth.min()


def test_fewer_references_than_neighbours() -> None:
    found = nearest(_vectors(0, 2, 8), _vectors(1, 3, 8), 5, shards=2)
    assert (found.rows[:, 3:] == -1).all()
    assert np.isinf(found.squared[:, 3:]).all()
    assert nearest(_vectors(0, 0, 8), _vectors(1, 3, 8), 2).rows.shape == (0, 2)
    assert (nearest(_vectors(0, 2, 8), _vectors(1, 0, 8), 2).rows == -1).all()


def test_the_self_check_notices_a_wrong_neighbour() -> None:
    queries, references = _vectors(0, 40, 32), _vectors(1, 90, 32)
    found = nearest(queries, references, 2)
    rng = np.random.default_rng(0)
    assert mismatch_rate(queries, references, found, rng) == (0.0, 40)
    swapped = Neighbours(found.squared, found.rows[:, ::-1])
    assert mismatch_rate(queries, references, swapped, rng)[0] == 1.0
    assert mismatch_rate(queries[:0], references, found, rng) == (0.0, 0)


def test_faiss_thread_count_is_restored() -> None:
    before = faiss.omp_get_max_threads()
    nearest(_vectors(0, 2, 8), _vectors(1, 3, 8), 1, threads=1)
    assert faiss.omp_get_max_threads() == before
