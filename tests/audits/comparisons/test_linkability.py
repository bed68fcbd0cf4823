from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom

from audits.comparisons.linkability import Linkability, linkability
from audits.comparisons.reach import Reach
from audits.images import Patients
from audits.search.exact import Neighbours

Integers = npt.NDArray[np.int64]


def _patients(owner: Any, members: int, stratum: Any = None, known: bool = True) -> Patients:
    owner = np.asarray(owner, np.int64)
    count = int(owner.max(initial=-1)) + 1
    cells = np.zeros(count, np.int64) if stratum is None else np.asarray(stratum, np.int64)
    return Patients(owner, np.arange(count) < members, cells, known)


def _reach(rows: Any, space: str = "space") -> Reach:
    rows = np.asarray(rows, np.int64)
    return Reach(space, Neighbours(np.zeros(rows.shape), rows), np.zeros(len(rows)))


def _run(rows: Any, patients: Patients, seed: int = 0, **options: Any) -> Linkability:
    given = {"permutations": 99, "min_controls": 2, "neighbours": (1, 3), **options}
    return linkability([_reach(rows)], patients, **given, rng=np.random.default_rng(seed))


def _images(
    rng: np.random.Generator, patients: int, synthetic: int, shift: Any = 0.0, copied: int = 0
) -> tuple[Integers, Integers]:
    """Owners of one to six images each, and the three nearest synthetic images of each image."""
    owner = np.repeat(np.arange(patients), rng.integers(1, 7, patients))
    centres = rng.standard_normal((patients, 8)) + np.asarray(shift, float).reshape(-1, 1)
    real = centres[owner] + 0.4 * rng.standard_normal((len(owner), 8))
    made = rng.standard_normal((synthetic, 8))
    made[:copied] = centres[:copied]
    squared = np.square(real[:, None] - made[None]).sum(axis=2)
    return owner, np.argsort(squared, axis=1)[:, :3]


def test_rates_equal_a_naive_count() -> None:
    rng = np.random.default_rng(0)
    stratum = rng.integers(0, 2, 30)
    owner, rows = _images(rng, 30, 12)
    result = _run(rows, _patients(owner, 18, stratum), neighbours=(1, 2, 3))
    for row in result.rows:
        rates: dict[tuple[bool, int], list[float]] = {}
        for patient in range(30):
            mine = np.flatnonzero(owner == patient)
            if len(mine) < 2:
                continue
            found = [set(rows[image, : row.neighbours].tolist()) for image in mine]
            linked = [bool(a & b) for a, b in combinations(found, 2)]
            rates.setdefault((patient < 18, int(stratum[patient])), []).append(
                sum(linked) / len(linked)
            )
        sizes = [len(rates[True, cell]) for cell in (0, 1)]
        for member, rate in ((True, row.train), (False, row.control)):
            expected = np.average([np.mean(rates[member, cell]) for cell in (0, 1)], weights=sizes)
            assert rate == pytest.approx(expected)
        assert row.n_train == len(rates[True, 0]) + len(rates[True, 1])


def test_size_under_a_clustered_null() -> None:
    rng = np.random.default_rng(1)
    stratum = np.r_[np.zeros(40), np.ones(10), np.zeros(10), np.ones(20)].astype(int)
    runs, rejected = 500, 0
    for run in range(runs):
        owner, rows = _images(rng, 80, 40, shift=2.0 * stratum)
        p = _run(rows, _patients(owner, 50, stratum), run).p_value
        assert p is not None
        rejected += p <= 0.05
    assert binom.ppf(0.0005, runs, 0.02) <= rejected <= binom.ppf(0.9995, runs, 0.05)


def test_memorised_patients_link_more() -> None:
    # A tenth of the train patients is in the synthetic set.
    rng = np.random.default_rng(2)
    owner, rows = _images(rng, 2000, 200, copied=100)
    plain = _images(np.random.default_rng(3), 2000, 200)
    found = _run(rows, _patients(owner, 1000), permutations=499)
    assert found.p_value is not None
    assert found.p_value <= 0.02
    assert (found.rows[0].risk or 0.0) > 0.0
    assert (_run(plain[1], _patients(plain[0], 1000)).p_value or 0.0) > 0.05


def test_everybody_links_in_train_alone() -> None:
    owner = np.repeat(np.arange(20), 2)
    rows = np.r_[np.repeat(np.arange(10), 2), np.arange(10, 30)][:, None]
    result = _run(rows, _patients(owner, 10), neighbours=(1,))
    row = result.rows[0]
    assert (row.train, row.control, row.risk) == (pytest.approx(1.0), 0.0, pytest.approx(1.0))
    assert result.p_value == 0.01
    assert row.baseline == 0.0


def test_one_synthetic_image_links_everybody() -> None:
    owner = np.repeat(np.arange(20), 2)
    result = _run(np.zeros((40, 1)), _patients(owner, 10))
    assert result.p_value == 1.0
    assert (result.rows[0].risk, result.rows[0].baseline) == (0.0, 1.0)
    assert result.rows[1].reason == "1 synthetic images retrieved, fewer than 3"


def test_the_baseline_pairs_strangers_of_one_stratum() -> None:
    # Both strata have a synthetic image of their own that all their patients share.
    owner = np.repeat(np.arange(20), 2)
    stratum = np.arange(20) % 2
    result = _run(stratum[owner][:, None], _patients(owner, 10, stratum), neighbours=(1,))
    assert result.rows[0].baseline == 1.0


def test_missing_neighbours_never_link() -> None:
    owner = np.repeat(np.arange(20), 2)
    result = _run(np.full((40, 3), -1), _patients(owner, 10))
    assert result.p_value is None
    assert "0 synthetic images" in result.reason


def test_long_loops_are_thinned() -> None:
    owner = np.repeat(np.arange(12), 30)
    result = _run(np.zeros((360, 1)), _patients(owner, 6), neighbours=(1,))
    assert result.rows[0].n_pairs == 12 * 28


@pytest.mark.parametrize(
    ("owner", "members", "known", "words"),
    [
        ([0, 1, 2, 3], 2, True, "two images or more"),
        ([0, 0, 1, 1, 2, 2], 3, True, "0 control patients"),
        ([0, 0], 1, True, "two images or more"),
        ([], 0, True, "two images or more"),
        ([0, 1, 2, 3], 2, False, "unknown"),
    ],
)
def test_not_estimable(owner: list[int], members: int, known: bool, words: str) -> None:
    patients = _patients(owner, members, known=known)
    result = _run(np.zeros((len(owner), 3)), patients)
    assert result.p_value is None
    assert words in result.reason
    assert all(row.train is None and row.reason for row in result.rows)


def test_without_spaces() -> None:
    patients = _patients(np.repeat(np.arange(50), 2), 25)
    empty = linkability([], patients, permutations=9, rng=np.random.default_rng(0))
    assert (empty.rows, empty.p_value, empty.reason) == ((), None, "no feature space to search in")
