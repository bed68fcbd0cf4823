from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from audits.images import Patients
from audits.statistics.permutation import chance_of_all_members, halve, relabel, usable_patients

STRATUM = np.array([0, 0, 0, 0, 1, 1, 1, 2])
MEMBER = np.array([True, True, True, False, True, False, False, True])
PATIENTS = Patients(np.arange(8), MEMBER, STRATUM, True)


def test_relabelling_keeps_the_members_of_every_stratum() -> None:
    labels = relabel(PATIENTS, 300, np.random.default_rng(0))
    for cell in range(3):
        inside = cell == STRATUM
        assert (labels[:, inside].sum(axis=1) == MEMBER[inside].sum()).all()
    # Uniform: each of the four of stratum 0 is the control one time in four.
    assert labels[:, 0].mean() == pytest.approx(0.75, abs=0.1)


def test_a_stratum_of_one_kind_says_nothing() -> None:
    assert usable_patients(PATIENTS).tolist() == [True] * 7 + [False]


def test_chance_of_all_members_equals_enumeration() -> None:
    single = Patients(np.arange(8), np.arange(8) < 5, np.zeros(8, np.int64), True)
    every = list(combinations(range(8), 5))
    naive = np.mean([{0, 6} <= set(chosen) for chosen in every])
    assert chance_of_all_members(single, np.array([0, 6])) == pytest.approx(naive)
    assert chance_of_all_members(single, np.array([], np.int64)) == 1.0
    assert chance_of_all_members(single, np.arange(6)) == 0.0
    # Across strata the probabilities multiply.
    assert chance_of_all_members(PATIENTS, np.array([0, 4])) == pytest.approx(3 / 4 * 1 / 3)


def test_half_is_taken_within_strata() -> None:
    chosen = np.ones(8, np.bool_)
    half = halve(chosen, STRATUM, np.random.default_rng(0))
    assert half[:4].sum() == 2
    assert half[4:7].sum() in (1, 2)
    assert not halve(~chosen, STRATUM, np.random.default_rng(0)).any()
