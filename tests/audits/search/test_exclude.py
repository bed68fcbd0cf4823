from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from audits.errors import AuditInputError
from audits.search.backends import BACKENDS
from audits.search.exact import Neighbours, mismatch_rate, nearest, tied_rows


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["gauss", "identical", "near-duplicates", "zero"])
def test_own_group_is_never_found(backend: str, kind: str, naive: Callable, draw: Callable) -> None:
    both = draw(kind, 420, 10)
    queries, references = both[:20], both[20:]
    # Group 0 is three quarters of all, more than any over-retrieval would cover.
    groups = np.repeat([0, 1, 2], [300, 60, 40])
    exclude = (np.arange(20) % 4, groups)
    for k in (1, 12, 120):
        squared, rows = naive(queries, references, k, exclude)
        found = nearest(queries, references, k, exclude=exclude, backend=backend, shards=2)
        assert found.rows.tolist() == rows.tolist()
        assert found.squared.tobytes() == squared.tobytes()
    assert mismatch_rate(queries, references, found, np.random.default_rng(0), exclude=exclude) == (
        0.0,
        20,
    )


def test_everything_excluded_finds_nothing(draw: Callable) -> None:
    vectors = draw("gauss", 30, 4)
    exclude = (np.zeros(5, np.int64), np.zeros(30, np.int64))
    found = nearest(vectors[:5], vectors, 2, exclude=exclude)
    assert (found.rows == -1).all()
    assert np.isinf(found.squared).all()
    assert [len(rows) for rows in tied_rows(vectors[:5], vectors, found, exclude=exclude)] == [
        0
    ] * 5


def test_ties_leave_the_own_group_out() -> None:
    vectors = np.zeros((9, 4), np.float32)
    exclude = (np.array([0, 1]), np.arange(9) % 3)
    found = nearest(vectors[:2], vectors, 2, exclude=exclude)
    first, second = tied_rows(vectors[:2], vectors, found, exclude=exclude)
    assert first.tolist() == [1, 2, 4, 5, 7, 8]
    assert second.tolist() == [0, 2, 3, 5, 6, 8]


def test_the_self_check_notices_a_neighbour_of_the_own_group(draw: Callable) -> None:
    vectors = draw("gauss", 30, 4)
    groups = np.arange(30)
    own = Neighbours(np.zeros((30, 1)), groups[:, None])
    rng = np.random.default_rng(0)
    assert mismatch_rate(vectors, vectors, own, rng, exclude=(groups, groups)) == (1.0, 30)


def test_groups_of_the_wrong_length_are_refused(draw: Callable) -> None:
    vectors = draw("gauss", 3, 4)
    with pytest.raises(AuditInputError, match="one group"):
        nearest(vectors, vectors, 1, exclude=(np.arange(2), np.arange(3)))
