from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from audits.comparisons.inference import Inference, inference
from audits.comparisons.reach import Reach
from audits.images import Patients
from audits.search.exact import Neighbours


def _patients(owner: Any, members: int, stratum: Any = None) -> Patients:
    owner = np.asarray(owner, np.int64)
    count = int(owner.max(initial=-1)) + 1
    cells = np.zeros(count, np.int64) if stratum is None else np.asarray(stratum, np.int64)
    return Patients(owner, np.arange(count) < members, cells, True)


def _reach(rows: Any, space: str = "space") -> Reach:
    rows = np.asarray(rows, np.int64)
    return Reach(space, Neighbours(np.zeros(rows.shape), rows), np.zeros(len(rows)))


def _run(
    rows: Any, patients: Patients, real: Any, synthetic: Any, seed: int = 0, **options: Any
) -> Inference:
    return inference(
        [_reach(rows)],
        patients,
        real={"finding": list(real)},
        synthetic={"finding": list(synthetic)},
        **{"permutations": 99, "min_controls": 2, **options},
        rng=np.random.default_rng(seed),
    )


def _naive_guess(found: list[str], k: int, usual: str) -> str:
    voting = [label for label in found if label][:k]
    if not voting:
        return usual
    votes = Counter(voting)
    return next(label for label in voting if votes[label] == max(votes.values()))


def _naive_rate(
    right: list[bool],
    labels: list[str],
    owner: list[int],
    group: dict[int, float],
    only: str | None,
) -> tuple[float, float]:
    """Weighted sums over patients of the shares of images guessed right and of those that count."""
    correct = total = 0.0
    for patient, weight in group.items():
        known = [i for i, p in enumerate(owner) if p == patient and labels[i]]
        counted = [i for i in known if only is None or labels[i] == only]
        if known:
            correct += weight * sum(right[i] for i in counted) / len(known)
            total += weight * len(counted) / len(known)
    return correct, total


def test_accuracies_equal_a_naive_count() -> None:
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(60), rng.integers(1, 4, 60)).tolist()
    labels = rng.choice(["benign", "malignant", "rare", ""], len(owner), p=[0.5, 0.3, 0.1, 0.1])
    made = rng.choice(["benign", "malignant", "other", ""], 50, p=[0.4, 0.3, 0.1, 0.2])
    rows = np.argsort(rng.random((len(owner), 50)), axis=1)[:, :8]
    rows[:5] = -1
    stratum = rng.integers(0, 2, 60)
    result = _run(rows, _patients(owner, 36, stratum), labels, made)
    usual = Counter(label for label in made if label).most_common(1)[0][0]
    # Control patients count in the proportions that train has of both strata.
    ratio = [(stratum[:36] == cell).sum() / (stratum[36:] == cell).sum() for cell in (0, 1)]
    groups = {
        True: dict.fromkeys(range(36), 1.0),
        False: {patient: ratio[stratum[patient]] for patient in range(36, 60)},
    }
    assert [(row.neighbours, row.balanced) for row in result.rows] == [
        (1, False),
        (1, True),
        (5, False),
        (5, True),
    ]
    for row in result.rows:
        right = []
        for i, label in enumerate(labels):
            found = [str(made[j]) for j in rows[i] if j >= 0]
            right.append(_naive_guess(found, row.neighbours, usual) == label)
        for member, value in ((True, row.train), (False, row.control)):
            only = ["benign", "malignant", "rare"] if row.balanced else [None]
            rates = [_naive_rate(right, labels.tolist(), owner, groups[member], c) for c in only]
            assert value == pytest.approx(np.mean([a / b for a, b in rates]))
    guessed = [bool(label == usual) for label in labels]
    correct, total = _naive_rate(
        guessed, labels.tolist(), owner, dict.fromkeys(range(60), 1.0), None
    )
    assert result.rows[0].baseline == pytest.approx(correct / total)
    assert result.rows[1].baseline == pytest.approx(1 / 3)


def _simulated(
    rng: np.random.Generator, patients: int, synthetic: int, shift: Any = 0.0, copied: int = 0
) -> tuple[Any, Any, Any, Any]:
    """Owners, rows, labels of real and of synthetic images; labels follow the first axis."""
    owner = np.repeat(np.arange(patients), rng.integers(1, 6, patients))
    centres = rng.standard_normal((patients, 8)) + np.asarray(shift, float).reshape(-1, 1)
    made = rng.standard_normal((synthetic, 8))
    made[:copied] = centres[:copied]
    kinds = np.array(["a", "b", "c"])
    truth = np.clip(np.rint(centres[:, 0] + 1.5 * rng.standard_normal(patients)), 0, 2).astype(int)
    labels = np.clip(np.rint(made[:, 0]), 0, 2).astype(int)
    labels[:copied] = truth[:copied]
    real = centres[owner] + 0.2 * rng.standard_normal((len(owner), 8))
    squared = np.square(made).sum(axis=1) - 2 * real @ made.T
    return owner, np.argsort(squared, axis=1)[:, :5], kinds[truth][owner], kinds[labels]


def test_size_under_a_clustered_null() -> None:
    rng = np.random.default_rng(1)
    stratum = np.r_[np.zeros(40), np.ones(10), np.zeros(10), np.ones(20)].astype(int)
    runs, rejected = 500, 0
    for run in range(runs):
        owner, rows, real, made = _simulated(rng, 80, 40, shift=stratum)
        p = _run(rows, _patients(owner, 50, stratum), real, made, run).p_value
        assert p is not None
        rejected += p <= 0.05
    assert binom.ppf(0.0005, runs, 0.02) <= rejected <= binom.ppf(0.9995, runs, 0.05)


def test_memorised_patients_are_guessed_better() -> None:
    rng = np.random.default_rng(2)
    # A tenth of the train patients is in the synthetic set, with the true label.
    owner, rows, real, made = _simulated(rng, 3000, 200, copied=150)
    found = _run(rows, _patients(owner, 1500), real, made, permutations=499)
    assert found.p_value is not None
    assert found.p_value <= 0.05
    assert found.rows[0].risk is not None
    assert found.rows[0].risk > 0.0
    owner, rows, real, made = _simulated(rng, 3000, 200)
    assert (_run(rows, _patients(owner, 1500), real, made).p_value or 0.0) > 0.05


def test_train_known_and_control_unknown_to_the_images() -> None:
    owner = np.arange(40)
    real = ["a", "b"] * 20
    rows = np.r_[np.arange(20) % 2, (np.arange(20) + 1) % 2][:, None]
    result = _run(rows, _patients(owner, 20), real, ["a", "b"])
    assert result.p_value == 0.01
    assert (result.rows[0].train, result.rows[0].control) == (1.0, 0.0)
    assert result.rows[0].risk == 1.0


def test_perfect_and_constant_guesses_say_nothing() -> None:
    owner, real = np.arange(40), ["a", "b"] * 20
    perfect = _run((owner % 2)[:, None], _patients(owner, 20), real, ["a", "b"])
    assert (perfect.p_value, perfect.rows[0].risk) == (1.0, 0.0)
    constant = _run(np.zeros((40, 1)), _patients(owner, 20), real, ["a", "b"])
    assert constant.p_value == 1.0
    assert constant.rows[0].train == constant.rows[0].baseline == 0.5


@pytest.mark.parametrize(
    ("real", "synthetic", "words"),
    [
        (["a", "b"] * 20, ["", ""], "no labels"),
        (["a", "b"] * 20, [], "no labels"),
        (["a"] * 40, ["a", "b"], "same label"),
        ([""] * 40, ["a", "b"], "0 train and 0 control"),
        (["a", "b"] * 10 + [""] * 20, ["a", "b"], "0 control"),
    ],
)
def test_not_estimable(real: list[str], synthetic: list[str], words: str) -> None:
    rows = np.zeros((40, 3)) if synthetic else np.full((40, 3), -1)
    result = _run(rows, _patients(np.arange(40), 20), real, synthetic)
    assert result.p_value is None
    assert words in result.reason
    assert all(row.train is None and row.reason for row in result.rows)


def test_a_rare_class_counts_in_plain_accuracy_only() -> None:
    rng = np.random.default_rng(0)
    real = ["a"] * 37 + ["b"] * 3
    result = _run(rng.integers(0, 2, (40, 5)), _patients(np.arange(40), 20), real, ["a", "b"])
    assert "at least 5 patients" in result.rows[1].reason
    assert result.rows[1].train is None
    assert result.rows[0].n_classes == 2
    assert result.p_value is not None


def test_several_attributes_and_spaces_share_one_p_value() -> None:
    rng = np.random.default_rng(5)
    patients = _patients(np.arange(80), 40)
    real = {"one": rng.choice(["a", "b"], 80).tolist(), "two": ["", "x", "y", "x"] * 20}
    synthetic = {"one": ["a", "b"] * 10}
    reaches = [_reach(rng.integers(0, 20, (80, 5)), name) for name in ("fine", "coarse")]
    result = inference(reaches, patients, real=real, synthetic=synthetic, permutations=99, rng=rng)
    estimable = [row for row in result.rows if row.p_value is not None]
    assert {(row.attribute, row.space) for row in estimable} == {("one", "fine"), ("one", "coarse")}
    assert len(result.rows) == 16
    assert result.p_value is not None
    assert result.p_value >= min(row.p_value or 1.0 for row in estimable)


def test_nothing_to_guess() -> None:
    patients = _patients([], 0)
    empty = inference(
        [], patients, real={}, synthetic={}, permutations=9, rng=np.random.default_rng()
    )
    assert (empty.rows, empty.p_value, empty.reason) == ((), None, "no attributes")
    result = _run(np.empty((0, 5)), patients, [], ["a", "b"])
    assert result.p_value is None
    assert result.reason
