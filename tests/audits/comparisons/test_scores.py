from __future__ import annotations

import numpy as np
import pytest

from audits.comparisons.reach import Reach
from audits.comparisons.scores import difficult_groups, patient_scores
from audits.images import Patients
from audits.search.exact import Neighbours


def _reach(space: str, squared: object, others: object) -> Reach:
    table = np.asarray(squared, np.float64).reshape(len(np.asarray(others)), -1)
    return Reach(space, Neighbours(table, np.zeros(table.shape, np.int64)), np.asarray(others))


def _patients(owner: list[int], stratum: list[int] | None = None) -> Patients:
    count = max(owner, default=-1) + 1
    cells = np.zeros(count, np.int64) if stratum is None else np.array(stratum, np.int64)
    return Patients(np.array(owner, np.int64), np.arange(count) < count // 2, cells, True)


def test_scores_by_hand() -> None:
    patients = _patients([0, 0, 1])
    reach = _reach("x", [[0.25, 0.36], [0.04, 0.09], [1.0, 1.0]], [1.0, 0.01, 0.25])
    scores = patient_scores([reach], patients)
    assert list(scores) == ["nearness x", "calibrated x"]
    assert scores["nearness x"] == pytest.approx([-0.2, -1.0])
    assert scores["calibrated x"] == pytest.approx(np.log([2.0, 0.5]))


def test_scores_of_exact_copies_and_missing_neighbours_are_finite() -> None:
    patients = _patients([0, 1, 2, 3])
    reach = _reach("x", [0.0, 0.0, np.inf, 1e-4], [1.0, 0.0, np.inf, np.inf])
    scores = patient_scores([reach], patients)
    assert all(np.isfinite(values).all() for values in scores.values())
    copy, among_twins, nothing, _ = scores["calibrated x"]
    assert copy > 13
    assert among_twins == 0.0
    assert nothing == 0.0
    none = patient_scores([_reach("x", np.empty((4, 0)), np.ones(4))], patients)
    assert none["nearness x"].tolist() == [-2.0] * 4
    assert patient_scores([], patients) == {}


def test_difficult_groups() -> None:
    rng = np.random.default_rng(0)
    images = np.r_[np.full(80, 1), np.full(12, 3), np.full(8, 9)]
    owner = np.repeat(np.arange(100), images)
    patients = _patients(owner.tolist(), [0] * 50 + [1] * 43 + [2] * 4 + [3] * 3)
    far = rng.random(len(owner))
    far[owner < 10] += 5.0
    reaches = [_reach("x", far, far), _reach("y", far, 2 * far)]
    groups = difficult_groups(reaches, patients)
    assert np.flatnonzero(groups["outliers"]).tolist() == list(range(10))
    # The edge of the top tenth falls among patients with three images: all of them count.
    assert np.flatnonzero(groups["many images"]).tolist() == list(range(80, 100))
    assert np.flatnonzero(groups["rare cells"]).tolist() == list(range(93, 100))
    finer = difficult_groups(reaches, patients, np.r_[np.zeros(95), np.ones(5)].astype(np.int64))
    assert np.flatnonzero(finer["rare cells"]).tolist() == list(range(95, 100))
    swapped = Patients(patients.of_image, ~patients.member, patients.stratum, True)
    for name, group in difficult_groups(reaches, swapped).items():
        assert (group == groups[name]).all()


def test_groups_that_do_not_exist() -> None:
    alike = _patients(list(range(20)))
    assert difficult_groups([_reach("x", np.ones(20), np.ones(20))], alike) == {}
    assert difficult_groups([], _patients([])) == {}
    # Most patients have two images and nobody has more: nothing sets them apart.
    twice = _patients([*range(20), *range(15)])
    assert difficult_groups([], twice) == {}
    one_more = _patients([*range(20), *range(15), 3])
    assert np.flatnonzero(difficult_groups([], one_more)["many images"]).tolist() == [3]
    # Two rare classes of equal size exceed a tenth together: neither is picked.
    cells = np.repeat([0, 1, 2], [16, 2, 2])
    assert difficult_groups([], alike, cells) == {}
