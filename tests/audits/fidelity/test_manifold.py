from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from audits.fidelity.manifold import build_manifold


def radius(vectors: np.ndarray, groups: np.ndarray, row: int, k: int, without: int = -1) -> float:
    allowed = (groups != groups[row]) & (groups != without)
    return float(np.sort(cdist(vectors[row : row + 1], vectors[allowed], "sqeuclidean")[0])[k - 1])


@pytest.mark.parametrize("most", [1, 4])
def test_radii_with_and_without_each_patient(make_cloud, monkeypatch, most: int) -> None:
    vectors, groups = make_cloud(15, 3, seed=0, most=most)
    vectors[1] = vectors[0]  # a copy
    found = build_manifold(vectors, groups, 4)
    for row in range(len(vectors)):
        assert found.radii[row] == radius(vectors, groups, row, 4)
        lost = found.losses[row]
        known = lost[lost >= 0]
        assert len(set(known)) == len(known)
        for group in range(15):
            if group == groups[row]:
                assert group not in known
                continue
            expected = radius(vectors, groups, row, 4, without=group)
            place = np.flatnonzero(lost == group)
            assert (found.wider[row, place[0]] if len(place) else found.radii[row]) == expected
    monkeypatch.setattr("audits.fidelity.manifold._CELLS", 40)
    parts = build_manifold(vectors, groups, 4)
    assert (parts.radii == found.radii).all()
    assert (parts.wider == found.wider).all()


def test_fewest_patients_leave_enough_neighbours() -> None:
    vectors = np.random.default_rng(0).standard_normal((5, 2))
    found = build_manifold(vectors, np.arange(5), 3)
    assert np.isfinite(found.wider[found.losses >= 0]).all()
