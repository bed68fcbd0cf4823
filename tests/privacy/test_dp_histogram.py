from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from privacy.dp import histogram
from privacy.dp.errors import BudgetError, DPInputError
from privacy.dp.histogram import noisy_histogram
from privacy.dp.ledger import Cap, Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    cap = Cap(epsilon=5.0, delta=1e-5, patients=100)
    return Ledger.create(tmp_path / "ledger.sqlite", subject="s", cap=cap)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histogram, "gaussian", lambda n: torch.zeros(n, dtype=torch.float64))


@pytest.mark.usefixtures("silent")
def test_patients_are_counted(ledger: Ledger) -> None:
    shares = [[1, 0, 0], [1, 0, 0], [0.5, 0.5, 0]]
    found = noisy_histogram(shares, 3, 10.0, ledger, "labels")
    assert found == pytest.approx([2.5, 0.5, 0])
    (one,) = ledger.registered()
    assert (one.purpose, one.taken, one.mechanism.noise_multiplier) == ("labels", 1, 10.0)
    assert noisy_histogram([], 2, 10.0, ledger, "nobody").tolist() == [0, 0]


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize(
    "share",
    [[1000, 0], [1, 1], [-3, 4], [1e200, 1e200], [np.nan, 1], [np.inf, 0], [1e-300, 0]],
)
def test_one_patient_changes_the_counts_by_one_at_most(share: list[float], ledger: Ledger) -> None:
    others = [[1, 0], [0, 1]]
    without = noisy_histogram(others, 2, 10.0, ledger, "without")
    found = noisy_histogram([*others, share], 2, 10.0, ledger, "with")
    assert np.isfinite(found).all()
    assert np.linalg.norm(found - without) <= 1


def test_noise_is_there(ledger: Ledger) -> None:
    found = noisy_histogram([], 4000, 20.0, ledger, "noise")
    assert 18 < found.std() < 22


def test_what_is_not_allowed_is_not_counted(ledger: Ledger) -> None:
    with pytest.raises(BudgetError):
        noisy_histogram([[1.0]], 1, 0.1, ledger, "too much")
    for shares, bins in (([[1.0, 2.0]], 1), ([[1.0]], 0)):
        with pytest.raises(DPInputError):
            noisy_histogram(shares, bins, 10.0, ledger, "other shapes")
    assert ledger.registered() == ()
