from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

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
        noisy_histogram([[1.0]], 1, 0.5, ledger, "too much")
    for shares, bins in (([[1.0, 2.0]], 1), ([[1.0]], 0)):
        with pytest.raises(DPInputError):
            noisy_histogram(shares, bins, 10.0, ledger, "other shapes")
    assert ledger.registered() == ()


@pytest.mark.parametrize("share", [["carcinoma"], [[1.0], [2.0, 3.0]], [None, {}], [10**400]])
def test_an_error_quotes_no_patient(share: Any, ledger: Ledger) -> None:
    with pytest.raises(DPInputError, match="Each patient gives 1 numbers") as caught:
        noisy_histogram([[1.0], share], 1, 10.0, ledger, "labels")
    assert "carcinoma" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert ledger.registered() == ()
