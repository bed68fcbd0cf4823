from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

from audits.errors import AuditInputError
from audits.search.backends import BACKENDS, margin, multiplier
from audits.search.exact import nearest

KINDS = ["gauss", "near-duplicates", "identical", "zero", "signs", "flat", "far"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_backend_gives_the_naive_bytes(kind: str, naive: Callable, draw: Callable) -> None:
    both = draw(kind, 512, 12)
    queries, references = both[:12], both[12:]
    for k in (1, 40):
        squared, rows = naive(queries, references, k)
        for backend, (shards, threads) in itertools.product(BACKENDS, [(1, 1), (3, 2)]):
            found = nearest(queries, references, k, shards=shards, threads=threads, backend=backend)
            assert found.squared.tobytes() == squared.tobytes()
            assert found.rows.tolist() == rows.tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_many_references_agree_across_tiles(kind: str, backend: str, draw: Callable) -> None:
    # Three tiles of the table of scores; the reference is one pass by subtraction.
    both = draw(kind, 5000, 6)
    queries, references = both[:8], both[8:]
    wide = references.astype(np.float64)
    squared = np.array([np.square(wide - q.astype(np.float64)).sum(axis=1) for q in queries])
    rows = np.array([np.lexsort((np.arange(len(wide)), line))[:9] for line in squared])
    found = nearest(queries, references, 9, backend=backend)
    assert found.rows.tolist() == rows.tolist()
    assert found.squared.tobytes() == np.take_along_axis(squared, rows, 1).tobytes()


@pytest.mark.parametrize("backend", ["numpy", "torch"])
@pytest.mark.parametrize("d", [3, 64, 2000])
def test_the_margin_covers_single_precision(backend: str, d: int) -> None:
    rng = np.random.default_rng(1)
    # All of one sign and size: rounding errors do not average out.
    a = rng.uniform(0.9, 1.1, (50, d)).astype(np.float32)
    b = rng.uniform(0.9, 1.1, (70, d)).astype(np.float32)
    out = np.empty((50, 70), np.float32)
    multiplier(backend)(a, b, out)
    half = np.square(b.astype(np.float64)).sum(axis=1) / 2
    truth = a.astype(np.float64) @ b.astype(np.float64).T - half
    squares = np.square(a.astype(np.float64)).sum(axis=1)
    bound = margin(squares, 2 * half.max(), d, single=True)
    assert (np.abs(out - half - truth) <= bound[:, None]).all()


def test_torch_in_lower_precision_is_refused() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with pytest.raises(AuditInputError, match="highest"):
            multiplier("torch")
    finally:
        torch.set_float32_matmul_precision(before)


def test_masses_of_equal_and_nearly_equal_vectors_do_not_take_for_ever() -> None:
    rng = np.random.default_rng(2)
    near = np.ones((20_000, 64)) + 1e-6 * rng.standard_normal((20_000, 64))
    unit = rng.standard_normal((20_000, 64))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    flat = np.zeros((300, 64), np.float32)
    start = time.process_time()
    assert nearest(flat, np.zeros((20_000, 64), np.float32), 5).rows[-1].tolist() == [0, 1, 2, 3, 4]
    for references in (near.astype(np.float32), unit.astype(np.float32)):
        found = nearest(flat, references, 2)
        truth = np.square(references.astype(np.float64)).sum(axis=1)
        assert (found.rows[:, 0] == truth.argmin()).all()
    # By subtraction of all pairs these three take about a minute.
    assert time.process_time() - start < 15
