from __future__ import annotations

import numpy as np
import pytest

from bussynth.quality.localisation import Finds, localise
from bussynth.quality.presence import CASES, Presence
from bussynth.quality.recognition import Answers, Recognition, recognise


def answers(labels: np.ndarray, right: float, seed: int = 0, classes: int = 3) -> Answers:
    """Answers of which a share is right, the rest drawn by chance."""
    rng = np.random.default_rng(seed)
    said = np.where(rng.random(len(labels)) < right, labels, rng.integers(0, classes, len(labels)))
    return Answers(
        probabilities=0.05 + 0.85 * np.eye(classes)[said],
        labels=labels,
        patients=np.arange(len(labels)) // 2,
    )


def measure(real: Answers, made: Answers, names: str = "abc") -> Recognition | None:
    return recognise(
        "device",
        list(names),
        real,
        made,
        left_out=["z"],
        min_images=5,
        resamples=100,
        rng=np.random.default_rng(0),
    )


def test_right_answers_guesses_and_chance() -> None:
    labels = np.arange(300) % 3
    found = measure(answers(labels, 1.0), answers(labels, 0.0, 1))
    assert found is not None
    assert found.auc.real.value == found.balanced_accuracy.real.value == 1.0
    assert found.auc.synthetic.value == pytest.approx(0.5, abs=0.07)
    assert found.auc.shuffled.low < 0.5 < found.auc.shuffled.high
    assert found.balanced_accuracy.shuffled.value == pytest.approx(1 / 3, abs=0.02)
    assert found.chance == pytest.approx(1 / 3)
    assert found.auc.difference.high < 0
    assert found.tells
    assert set(found.pairs) == {"a / b", "a / c", "b / c"}
    assert found.to_dict()["images"]["synthetic"] == {"a": 100, "b": 100, "c": 100}
    blind = measure(answers(labels, 0.0), answers(labels, 1.0))
    assert blind is not None
    assert not blind.tells
    assert blind.auc.synthetic.value == 1.0


def test_only_requested_values_are_compared() -> None:
    made = answers(np.array([0] * 20 + [1] * 20 + [2] * 4), 1.0)
    found = measure(answers(np.arange(90) % 3, 1.0), made)
    assert found is not None
    assert found.values == ("a", "b")
    assert found.left_out == ("z", "c")
    assert found.images == {"real": {"a": 30, "b": 30}, "synthetic": {"a": 20, "b": 20}}
    assert found.patients == len({i // 2 for i in range(90) if i % 3 < 2})
    assert measure(answers(np.arange(90) % 3, 1.0), answers(np.zeros(50, int), 1.0)) is None


def test_how_often_a_value_is_requested_changes_nothing() -> None:
    labels = np.arange(3000) % 3
    even = measure(answers(labels, 0.6), answers(labels, 0.6, 1))
    skewed = np.where(np.random.default_rng(0).random(3000) < 0.8, 0, labels)
    odd = measure(answers(labels, 0.6), answers(skewed, 0.6, 1))
    assert even is not None
    assert odd is not None
    assert odd.auc.synthetic.value == pytest.approx(even.auc.synthetic.value, abs=0.03)


def test_presence_reads_lesions_found() -> None:
    labels = np.arange(200) % 2
    made = labels.copy()
    made[:20:2] = 1  # ten of a hundred normal images show a lesion
    said = Answers(
        probabilities=0.1 + 0.8 * np.eye(2)[made], labels=labels, patients=np.arange(200)
    )
    real = Answers(
        probabilities=0.1 + 0.8 * np.eye(2)[labels], labels=labels, patients=np.arange(200)
    )
    found = recognise(
        "lesion", CASES, real, said, min_images=5, resamples=100, rng=np.random.default_rng(0)
    )
    assert found is not None
    presence = Presence.of(found)
    assert presence.found_in_normal.real.value == 0.0
    assert presence.found_in_normal.synthetic.value == pytest.approx(0.1)
    assert presence.found_in_normal.difference.value == pytest.approx(0.1)
    assert presence.found_in_lesion.synthetic.value == 1.0
    assert presence.to_dict()["images"]["real"] == {"normal": 100, "lesion": 100}


def test_boxes_are_compared_with_their_own_requests() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 0.7, (100, 2))
    boxes = np.concatenate([corner, corner + 0.3], axis=1)
    real = Finds(found=boxes, asked=boxes, patients=np.arange(100) // 2)
    made = Finds(
        found=boxes[::-1] + np.array([0, 0, 0.3, 0]), asked=boxes[::-1], patients=np.arange(100)
    )
    found = localise(real, made, resamples=100, rng=np.random.default_rng(1))
    assert found.iou.real.value == found.hit.real.value == found.centre.real.value == 1.0
    assert found.iou.synthetic.value == pytest.approx(0.5)
    assert found.iou.shuffled.high < 0.4
    assert found.images == {"real": 100, "synthetic": 100}
    assert found.patients == 50
    assert set(found.to_dict()) == {
        "images", "patients", "iou", "iou_at_least_half", "centre_in_box"
    }  # fmt: skip
