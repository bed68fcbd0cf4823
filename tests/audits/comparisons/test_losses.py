from __future__ import annotations

import numpy as np
import pytest

from audits.comparisons.losses import loss_scores
from audits.comparisons.membership import membership
from audits.errors import AuditInputError
from audits.images import Patients


def _patients(seed: int, count: int = 80) -> Patients:
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(count), rng.integers(1, 6, count))
    return Patients(owner, np.arange(count) < count // 2, np.zeros(count, np.int64), True)


def test_scores_equal_the_naive_means() -> None:
    patients = _patients(0)
    rng = np.random.default_rng(1)
    n = len(patients.of_image)
    losses = {"0.2": rng.random(n), "0.8": 5 + 10 * rng.random(n)}
    scores = loss_scores(losses, patients)
    assert list(scores) == ["loss 0.2", "loss 0.8", "loss mean"]
    z = np.mean([(v - v.mean()) / v.std() for v in losses.values()], axis=0)
    for patient in range(80):
        mine = patients.of_image == patient
        assert scores["loss 0.2"][patient] == pytest.approx(-losses["0.2"][mine].mean())
        assert scores["loss mean"][patient] == pytest.approx(-z[mine].mean())


def test_calibration_finds_members_that_difficulty_hides_and_stays_blind() -> None:
    patients = _patients(2)
    rng = np.random.default_rng(3)
    hard = rng.gamma(2.0, size=len(patients.of_image))
    image_member = patients.member[patients.of_image]
    losses = np.log1p(hard) + 0.05 * rng.standard_normal(len(hard)) - 0.06 * image_member
    scores = loss_scores({"t": losses}, patients, difficulty={"contrast": hard})
    options = {"permutations": 199, "confidence": 0.95}
    rows = membership(scores, patients, **options, rng=rng).rows  # type: ignore[arg-type]
    assert rows[0].score == "loss t"
    assert rows[0].auc is not None
    assert rows[1].auc is not None
    assert rows[1].auc > 0.8 > rows[0].auc
    assert rows[1].p_value == 1 / 200
    swapped = Patients(patients.of_image, ~patients.member, patients.stratum, True)
    again = loss_scores({"t": losses}, swapped, difficulty={"contrast": hard})
    assert all((again[name] == scores[name]).all() for name in scores)


def test_constant_losses_rank_nobody_and_bad_ones_are_refused() -> None:
    patients = _patients(4)
    n = len(patients.of_image)
    rng = np.random.default_rng(0)
    flat = {"a": np.full(n, 0.3), "b": np.full(n, 7.0)}
    scores = loss_scores(flat, patients, difficulty={"x": rng.random(n), "y": np.zeros(n)})
    assert len(scores) == 6
    result = membership(scores, patients, permutations=19, confidence=0.95, rng=rng)
    assert result.p_value == 1.0
    empty = Patients(np.empty(0, np.int64), np.empty(0, np.bool_), np.empty(0, np.int64), True)
    assert len(loss_scores({"a": np.empty(0), "b": np.empty(0)}, empty)["loss a"]) == 0
    with pytest.raises(AuditInputError, match="'b'") as caught:
        loss_scores({"a": np.zeros(3), "b": np.full(n, np.nan)}, patients)
    assert len(caught.value.problems) == 2
