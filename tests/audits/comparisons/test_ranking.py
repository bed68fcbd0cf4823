from __future__ import annotations

import numpy as np
import pytest

from audits.comparisons.ranking import (
    Ranking,
    control_weights,
    joint_p_values,
    relabelled,
    usable_only,
)
from audits.images import Patients


def _patients(member: list[int], stratum: list[int]) -> Patients:
    return Patients(
        np.arange(len(member)), np.array(member, np.bool_), np.array(stratum, np.int64), True
    )


def test_ranking_knows_its_ties() -> None:
    values = np.array([3.0, 1.0, 3.0, np.inf, 1.0, 2.0])
    ranking = Ranking.of(values)
    inside = values[ranking.order]
    assert inside.tolist() == sorted(values)
    for position, value in enumerate(inside):
        same = np.flatnonzero(inside == value)
        assert (ranking.start[position], ranking.end[position]) == (same[0], same[-1])
    assert len(Ranking.of(np.empty(0)).order) == 0
    with pytest.raises(ValueError, match="NaN"):
        Ranking.of(np.array([np.nan, 1.0]))


def test_strata_with_one_side_are_left_out_and_weights_standardise() -> None:
    patients = _patients([1, 1, 0, 1, 0, 0, 1, 0], [0, 0, 0, 1, 1, 1, 2, 3])
    part, kept = usable_only(patients)
    assert kept.tolist() == [0, 1, 2, 3, 4, 5]
    weights = control_weights(part)
    for cell in (0, 1):
        inside = part.stratum == cell
        assert weights[inside & ~part.member].sum() == (inside & part.member).sum()


def test_blocks_give_every_relabelling_and_keep_the_strata() -> None:
    patients = _patients([1, 1, 0, 0, 0, 1], [0, 0, 0, 1, 1, 1])
    labels = np.concatenate(list(relabelled(patients, 1201, np.random.default_rng(0))))
    assert labels.shape == (1201, 6)
    assert (labels[:, :3].sum(axis=1) == 2).all()
    assert (labels[:, 3:].sum(axis=1) == 1).all()
    assert list(relabelled(patients, 0, np.random.default_rng(0))) == []


def test_joint_p_values_by_hand() -> None:
    permuted = np.array([[0.0, 5.0], [1.0, 5.0], [2.0, 5.0]])
    single, joint = joint_p_values(np.array([2.0, 5.0]), permuted)
    # The second statistic never changes: its own p is 1 and it adds nothing to the joint one.
    assert single.tolist() == [0.5, 1.0]
    assert joint == 0.5
    single, joint = joint_p_values(np.array([9.0, 9.0]), permuted)
    assert (single.tolist(), joint) == ([0.25, 0.25], 0.25)
    assert joint_p_values(np.empty(0), np.empty((3, 0)))[1] == 1.0
