from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bussynth.cohort import Cohort, Row
from bussynth.errors import UsageError
from bussynth.generator import dataset
from bussynth.generator.conditions import ConditionEncoder
from bussynth.generator.dataset import BatchOrder, TrainingSet, training_view


def test_only_train_patients_are_seen(cohort: Cohort, tmp_path: Path) -> None:
    encoder = ConditionEncoder(cohort.vocabulary, cohort.image_size)
    data = TrainingSet.load(training_view(cohort), encoder, tmp_path)
    members = {row.patient for row in cohort if row.split == "train"}
    others = {row.patient for row in cohort if row.split != "train"}
    assert set(data.patients) == members
    assert not set(data.patients) & others
    assert len(data) == len(data.encoded) == len(data.conditions)


def test_synthetic_cohort_gives_all_rows(tmp_path: Path) -> None:
    rows = [Row.from_arrays(id=str(i), image=np.zeros((4, 4), np.uint8)) for i in range(3)]
    vocabulary = {"pathology": ["benign"]}
    made = Cohort.create(
        tmp_path / "c", rows, kind="synthetic", image_size=4, vocabulary=vocabulary
    )
    data = TrainingSet.load(training_view(made), ConditionEncoder(vocabulary, (4, 4)), tmp_path)
    assert len(set(data.patients)) == 3


def test_unsplit(unsplit_cohort: Cohort) -> None:
    with pytest.raises(UsageError, match="bussynth split"):
        training_view(unsplit_cohort)


def test_large_sets_are_mapped_from_disk(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = ConditionEncoder(cohort.vocabulary, cohort.image_size)
    small = TrainingSet.load(training_view(cohort), encoder, tmp_path)
    monkeypatch.setattr(dataset, "MEMORY_LIMIT", 100)
    large = TrainingSet.load(training_view(cohort), encoder, tmp_path)
    assert isinstance(large.images, np.memmap)
    assert np.array_equal(small.images, large.images)
    assert list(tmp_path.iterdir()) == []  # patients' images leave no file


@pytest.mark.parametrize(("n", "batch"), [(10, 3), (3, 10), (1, 4), (5, 5)])
def test_every_row_once_an_epoch(n: int, batch: int) -> None:
    order = BatchOrder(n, batch, seed=0)
    rows = torch.cat([order.rows(step) for step in range(2 * n)])
    assert len(rows) == 2 * n * batch
    for epoch in range(2 * batch):
        assert sorted(rows[epoch * n : (epoch + 1) * n].tolist()) == list(range(n))


def test_order_is_a_function_of_seed_and_step() -> None:
    forward, again = BatchOrder(50, 8, seed=1), BatchOrder(50, 8, seed=1)
    batches = [forward.rows(step) for step in range(20)]
    assert all(torch.equal(again.rows(step), batches[step]) for step in (19, 3, 7))
    assert not torch.equal(BatchOrder(50, 8, seed=2).rows(0), batches[0])
