from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from audits.fidelity.kernel import kernel_distance


def naive(x: np.ndarray, y: np.ndarray, own: np.ndarray, other: np.ndarray) -> float:
    def mean(a: np.ndarray, b: np.ndarray, allowed: np.ndarray) -> float:
        return float(((a @ b.T / a.shape[1] + 1) ** 3)[allowed].mean())

    return (
        mean(x, x, own[:, None] != own)
        + mean(y, y, other[:, None] != other)
        - 2 * mean(x, y, np.ones((len(x), len(y)), bool))
    )


class _Given(torch.nn.Module):
    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return vectors


def test_value_equals_torchmetrics(make_cloud) -> None:
    from torchmetrics.image.kid import KernelInceptionDistance

    (x, own), (y, other) = make_cloud(40, 6, seed=0), make_cloud(40, 6, seed=1, shift=0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = KernelInceptionDistance(_Given(), subsets=1, subset_size=40)
    theirs.update(torch.from_numpy(y), real=True)
    theirs.update(torch.from_numpy(x), real=False)
    expected = float(theirs.compute()[0])
    assert kernel_distance(x, y, own, other).value == pytest.approx(expected)


def test_value_and_leaving_out_are_exact(make_cloud, monkeypatch) -> None:
    x, own = make_cloud(12, 4, seed=2, most=3)
    y, other = make_cloud(9, 4, seed=3, most=2)
    found = kernel_distance(x, y, own, other)
    assert found.value == pytest.approx(naive(x, y, own, other))
    for g in range(12):
        left = own != g
        assert found.candidates[g] == pytest.approx(naive(x[left], y, own[left], other))
    for g in range(9):
        left = other != g
        assert found.references[g] == pytest.approx(naive(x, y[left], own, other[left]))
    monkeypatch.setattr("audits.fidelity.kernel._CELLS", 50)
    assert kernel_distance(x, y, own, other).value == pytest.approx(found.value)


def test_alike_clouds_are_at_zero_on_average_though_patients_repeat(make_cloud) -> None:
    found = [
        kernel_distance(*(a[0], b[0], a[1], b[1])).value
        for a, b in (
            (make_cloud(30, 5, seed=2 * k, most=4), make_cloud(20, 5, seed=2 * k + 1, most=4))
            for k in range(150)
        )
    ]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(150)
    # The estimate that takes views of one patient for strangers is not.
    apart = []
    for k in range(150):
        (x, _), (y, _) = (make_cloud(n, 5, seed=2 * k + i, most=4) for i, n in enumerate((30, 20)))
        apart.append(kernel_distance(x, y, np.arange(len(x)), np.arange(len(y))).value)
    assert np.mean(apart) > 3 * np.std(apart) / np.sqrt(150)
