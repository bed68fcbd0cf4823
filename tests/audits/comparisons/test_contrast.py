from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom

from audits.comparisons.contrast import Captures, Contrast, capture, contrast
from audits.images import Patients
from audits.search.exact import nearest

Vectors = npt.NDArray[np.floating]
OPTIONS: dict[str, Any] = {
    "tails": (0.1,),
    "min_tail": 10,
    "alpha": 0.05,
    "permutations": 199,
    "bootstrap": 0,
    "confidence": 0.95,
}


def _patients(owner: npt.NDArray[np.int64], members: int, stratum: Any = None) -> Patients:
    count = int(owner.max()) + 1
    cells = np.zeros(count, np.int64) if stratum is None else np.asarray(stratum, np.int64)
    return Patients(owner, np.arange(count) < members, cells, True)


def _captures(
    synthetic: Vectors, real: Vectors, owner: npt.NDArray[np.int64], k: int = 4
) -> Captures:
    queries, references = synthetic.astype(np.float32), real.astype(np.float32)
    return capture((queries,), references, (nearest(queries, references, k),), owner)


def _run(
    synthetic: Vectors, real: Vectors, patients: Patients, seed: int = 0, **options: Any
) -> Contrast:
    captured = {"space": _captures(synthetic, real, patients.of_image)}
    return contrast(captured, patients, **{**OPTIONS, **options}, rng=np.random.default_rng(seed))


def _clustered(
    rng: np.random.Generator, patients: int, spread: float = 0.1, d: int = 4
) -> tuple[Vectors, npt.NDArray[np.int64]]:
    """Patients with 1 to 30 frames each, frames of one patient close together."""
    owner = np.repeat(np.arange(patients), rng.integers(1, 31, patients))
    centres = rng.standard_normal((patients, d))
    return centres[owner] + spread * rng.standard_normal((len(owner), d)), owner


@pytest.mark.parametrize(("members", "controls"), [(40, 40), (90, 30)])
def test_size_under_a_clustered_null(members: int, controls: int) -> None:
    rng = np.random.default_rng(7)
    runs, rejected = 250, 0
    for run in range(runs):
        real, owner = _clustered(rng, members + controls)
        synthetic, _ = _clustered(rng, 8)
        p = _run(synthetic, real, _patients(owner, members), run).p_value
        rejected += p is not None and p <= 0.05
    # Not above its level, and not dead: the lower bound allows for tails found not estimable.
    assert binom.ppf(0.0005, runs, 0.02) <= rejected <= binom.ppf(0.9995, runs, 0.05)


def test_relabelling_images_instead_of_patients_would_reject_too_often() -> None:
    rng = np.random.default_rng(7)
    runs, rejected = 60, 0
    for run in range(runs):
        real, owner = _clustered(rng, 60, 0.4)
        synthetic = rng.standard_normal((400, 4))
        alone = Patients(np.arange(len(owner)), owner < 30, np.zeros(len(owner), np.int64), False)
        p = _run(synthetic, real, alone, run, permutations=99).p_value
        rejected += p is not None and p <= 0.05
    assert rejected > binom.ppf(0.9995, runs, 0.05)


def test_size_with_unequal_strata() -> None:
    # Site 0 is mostly train, site 1 mostly control, and the synthetic images look like site 0.
    rng = np.random.default_rng(8)
    stratum = np.r_[np.zeros(60), np.ones(20), np.zeros(20), np.ones(60)].astype(int)
    runs, within, ignored = 150, 0, 0
    for run in range(runs):
        real = rng.standard_normal((160, 4)) + 4.0 * stratum[:, None]
        synthetic = rng.standard_normal((60, 4))
        owner = np.arange(160)
        p = _run(synthetic, real, _patients(owner, 80, stratum), run).p_value
        within += p is not None and p <= 0.05
        p = _run(synthetic, real, _patients(owner, 80), run).p_value
        ignored += p is not None and p <= 0.05
    assert within <= binom.ppf(0.9995, runs, 0.05)
    assert ignored > runs / 2


@pytest.mark.parametrize(("total", "copies", "tail"), [(2000, 20, 0.01), (10000, 10, 0.001)])
def test_few_copies_fire_the_tail_and_not_the_mean(total: int, copies: int, tail: float) -> None:
    rng = np.random.default_rng(9)
    real = rng.standard_normal((400, 16))
    synthetic = rng.standard_normal((total, 16))
    chosen = rng.permutation(200)[:copies]
    synthetic[:copies] = real[chosen] + 0.01 * rng.standard_normal((copies, 16))
    result = _run(synthetic, real, _patients(np.arange(400), 200), tails=(tail,), permutations=999)
    everything, closest = result.shares
    assert closest.estimate == 1.0
    assert closest.p_value is not None
    assert closest.p_value <= 0.005
    assert everything.p_value is not None
    assert everything.p_value > 0.05
    assert result.p_value is not None
    assert result.p_value <= 0.01


def test_smoother_images_stay_null() -> None:
    # Shrunk towards the mean they lie closer to every real image, train and control alike.
    rng = np.random.default_rng(10)
    real = rng.standard_normal((600, 32))
    synthetic = 0.8 * rng.standard_normal((1500, 32))
    result = _run(synthetic, real, _patients(np.arange(600), 300), bootstrap=200)
    first = result.shares[0]
    assert first.estimate == pytest.approx(0.5, abs=0.06)
    assert first.interval is not None
    assert first.interval.low < 0.5 < first.interval.high
    assert result.p_value is not None
    assert result.p_value > 0.05


def test_unequal_group_sizes_leave_the_share_at_one_half() -> None:
    rng = np.random.default_rng(11)
    real, synthetic = rng.standard_normal((800, 8)), rng.standard_normal((4000, 8))
    result = _run(synthetic, real, _patients(np.arange(800), 700))
    assert result.shares[0].estimate == pytest.approx(0.5, abs=0.05)


def test_the_share_by_hand_and_ties_count_one_half() -> None:
    # Patients 0, 1 train; 2, 3 control. Query 0 at 0, query 1 between 1 and 2, query 2 at 3.
    real = np.array([[0.0], [10.0], [12.0], [30.0]])
    captured = _captures(np.array([[0.0], [11.0], [30.0]]), real, np.arange(4))
    assert captured.weight.tolist() == [1.0, 0.5, 0.5, 1.0]
    result = contrast(
        {"space": captured},
        _patients(np.arange(4), 2),
        **{**OPTIONS, "tails": (), "min_tail": 1, "alpha": 0.4},
        rng=np.random.default_rng(0),
    )
    assert result.shares[0].estimate == 0.5


def test_permutation_p_value_equals_full_enumeration() -> None:
    from itertools import combinations

    rng = np.random.default_rng(12)
    real, synthetic = rng.standard_normal((10, 3)), rng.standard_normal((30, 3))
    synthetic[:6] = real[:6] * 1.01
    captured = _captures(synthetic, real, np.arange(10))
    counts = np.bincount(captured.patient, captured.weight, 10)
    shares = []
    for chosen in combinations(range(10), 5):
        a = counts[list(chosen)].sum()
        shares.append(a / counts.sum())
    exact = np.mean([share >= shares[0] - 1e-12 for share in shares])
    result = contrast(
        {"space": captured},
        _patients(np.arange(10), 5),
        **{**OPTIONS, "tails": (), "permutations": 4000, "alpha": 0.5},
        rng=np.random.default_rng(0),
    )
    assert result.shares[0].p_value == pytest.approx(exact, abs=0.03)
    assert result.shares[0].estimate == pytest.approx(shares[0])


def test_all_images_identical_say_nothing() -> None:
    result = _run(np.zeros((50, 4)), np.zeros((40, 4)), _patients(np.arange(40), 30))
    assert result.shares[0].estimate == pytest.approx(0.5)
    assert result.p_value == 1.0


@pytest.mark.parametrize("copies", [1, 30])
def test_one_captured_patient_is_not_estimable(copies: int) -> None:
    real = np.arange(20.0)[:, None]
    result = _run(np.zeros((copies, 1)), real, _patients(np.arange(20), 10))
    assert result.p_value is None
    assert all(share.estimate is None and share.reason for share in result.shares)


def test_without_control_nothing_is_estimable() -> None:
    rng = np.random.default_rng(0)
    result = _run(rng.random((30, 2)), rng.random((20, 2)), _patients(np.arange(20), 20))
    assert result.p_value is None
    assert contrast({}, _patients(np.arange(4), 2), **OPTIONS, rng=rng).p_value is None


def test_captures_join_and_select() -> None:
    rng = np.random.default_rng(0)
    real, synthetic = rng.random((20, 2)), rng.random((30, 2))
    captured = _captures(synthetic, real, np.arange(20))
    rebuilt = captured.select(np.arange(10)).joined(captured.select(np.arange(10, 30)))
    assert rebuilt.patient.tolist() == captured.patient.tolist()
    assert rebuilt.query.tolist() == captured.query.tolist()
    back = captured.select(np.array([3, 1]))
    assert back.patient[back.query == 0].tolist() == captured.patient[captured.query == 3].tolist()
