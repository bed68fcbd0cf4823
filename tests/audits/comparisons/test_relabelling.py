from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from audits.comparisons.relabelling import (
    finite_risk,
    relabelling_test,
    restricted,
    standard_weights,
)
from audits.images import Patients


def _patients(member: list[int], stratum: list[int]) -> Patients:
    return Patients(np.arange(len(member)), np.array(member, bool), np.array(stratum), True)


def test_weights_by_hand() -> None:
    patients = _patients([1, 1, 0, 1, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1, 2, 2])
    train, control = standard_weights(patients)
    # Three usable train patients: two in stratum 0, one in stratum 1; stratum 2 has no control.
    assert train == pytest.approx(np.r_[[1 / 3] * 7, 0, 0])
    assert control == pytest.approx(np.r_[[2 / 3] * 3, [1 / 9] * 4, 0, 0])
    assert train[patients.member].sum() == pytest.approx(1.0)
    assert control[~patients.member].sum() == pytest.approx(1.0)
    assert not np.any(standard_weights(_patients([1, 1, 0], [0, 0, 1])))


def test_p_values_equal_full_enumeration() -> None:
    rng = np.random.default_rng(3)
    scores = rng.random((9, 2))
    scores[:4, 0] += 0.5
    patients = _patients([1] * 4 + [0] * 5, [0] * 9)

    def statistic(labels: np.ndarray) -> np.ndarray:
        return labels @ scores

    every = np.array([scores[list(chosen)].sum(axis=0) for chosen in combinations(range(9), 4)])
    z = (every - every.mean(axis=0)) / every.std(axis=0)
    tested = relabelling_test(statistic, patients, 6000, np.random.default_rng(0))
    assert tested.single == pytest.approx((every >= every[0] - 1e-9).mean(axis=0), abs=0.02)
    joint = (z.max(axis=1) >= z[0].max() - 1e-9).mean()
    assert tested.joint == pytest.approx(joint, abs=0.02)


def test_constant_statistics_give_one() -> None:
    patients = _patients([1, 1, 0, 0], [0, 0, 0, 0])
    tested = relabelling_test(
        lambda labels: np.zeros((len(labels), 2)), patients, 19, np.random.default_rng(0)
    )
    assert (tested.single.tolist(), tested.joint) == ([1.0, 1.0], 1.0)
    none = relabelling_test(
        lambda labels: labels[:, :1] * 1.0, patients, 0, np.random.default_rng()
    )
    assert none.joint == 1.0


def test_finite_risk() -> None:
    assert finite_risk(0.5, 0.2) == pytest.approx(0.375)
    assert finite_risk(1.0, 1.0 - 1e-16) == 0.0
    assert finite_risk(0.5, 1.0) is None


def test_restriction_keeps_order() -> None:
    patients = restricted(_patients([1, 0, 1, 0], [0, 1, 2, 3]), np.array([0, 1, 1, 0], bool))
    assert patients.member.tolist() == [False, True]
    assert patients.stratum.tolist() == [1, 2]
