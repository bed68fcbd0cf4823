from __future__ import annotations

import numpy as np
import pytest
from prdc import compute_prdc

from audits.fidelity.manifold import build_manifold
from audits.fidelity.overlap import coverage, precision_and_density


def everything(x, own, y, other, k: int) -> dict[str, float]:
    real, made = build_manifold(y, other, k), build_manifold(x, own, k)
    precision, density = precision_and_density(x, own, real)
    return {
        "precision": precision.value,
        "recall": precision_and_density(y, other, made)[0].value,
        "density": density.value,
        "coverage": coverage(x, own, real).value,
    }


@pytest.mark.parametrize(("shift", "k"), [(0.0, 3), (0.5, 5), (20.0, 5)])
def test_values_equal_prdc_where_every_image_is_a_patient(make_cloud, shift: float, k: int) -> None:
    (x, own), (y, other) = make_cloud(60, 4, seed=0, shift=shift), make_cloud(45, 4, seed=1)
    assert everything(x, own, y, other, k) == pytest.approx(compute_prdc(y, x, k))


@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_values_without_each_patient_are_exact(make_cloud, monkeypatch, shift: float) -> None:
    x, own = make_cloud(12, 2, seed=2, most=3, shift=shift)
    y, other = make_cloud(14, 2, seed=3, most=3)
    k = 3
    real = build_manifold(y, other, k)
    monkeypatch.setattr("audits.fidelity.manifold._CELLS", 100)
    precision, density = precision_and_density(x, own, real)
    found = {"precision": precision, "density": density, "coverage": coverage(x, own, real)}
    made = build_manifold(x, own, k)
    found["recall"] = precision_and_density(y, other, made)[0].turned()
    for g in range(12):
        left = own != g
        expected = everything(x[left], own[left], y, other, k)
        assert {q: n.candidates[g] for q, n in found.items()} == pytest.approx(expected)
    for g in range(14):
        left = other != g
        # Numbers of patients stay as they are: one of them has no images.
        renumbered = np.unique(other[left], return_inverse=True)[1]
        expected = everything(x, own, y[left], renumbered, k)
        assert {q: n.references[g] for q, n in found.items()} == pytest.approx(expected)


def test_copies_and_strangers(make_cloud) -> None:
    y, other = make_cloud(30, 3, seed=4)
    same = everything(y, other, y, other, 5)
    assert (same["precision"], same["recall"], same["coverage"]) == (1, 1, 1)
    far = everything(y + 100, other, y, other, 5)
    assert set(far.values()) == {0}


def test_one_picture_many_times_is_precise_and_covers_nothing(make_cloud) -> None:
    y, other = make_cloud(30, 3, seed=5)
    x = np.repeat(y[:1], 40, axis=0)
    found = everything(x, np.arange(40), y, other, 5)
    assert found["precision"] == 1
    assert found["recall"] == 0
    assert found["coverage"] < 0.5
