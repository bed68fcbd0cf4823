from __future__ import annotations

import numpy as np
import pytest

from bussynth.quality.figures import box_iou, centre_inside, pair_aucs, recalls, weighted_mean


def naive_auc(scores: np.ndarray, positive: np.ndarray) -> float:
    pairs = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p in scores[positive]
        for n in scores[~positive]
    ]
    return float(np.mean(pairs))


def test_pair_aucs_are_those_of_a_naive_count_with_images_repeated() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.integers(0, 6, (30, 3)) / 5  # many ties
    labels = rng.integers(0, 3, 30)
    counts = rng.integers(0, 4, (5, 30))
    areas = pair_aucs(probabilities, labels, counts.astype(float))
    for row, times in enumerate(counts):
        many = np.repeat(np.arange(30), times)
        for i in range(3):
            for j in range(3):
                if i == j:
                    assert np.isnan(areas[row, i, j])
                    continue
                rows = many[np.isin(labels[many], (i, j))]
                expected = naive_auc(probabilities[rows, i], labels[rows] == i)
                assert areas[row, i, j] == pytest.approx(expected)


def test_figures_without_a_class_are_undefined() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2]])
    labels = np.zeros(2, np.int64)
    assert np.isnan(pair_aucs(probabilities, labels, np.ones((1, 2)))).all()
    one, other = recalls(probabilities, labels, np.ones((1, 2)))[0]
    assert one == 1.0
    assert np.isnan(other)


def test_recalls_and_means_follow_the_weights() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    labels = np.array([0, 0, 1, 1])
    weights = np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 3.0, 2.0, 0.0]])
    assert recalls(probabilities, labels, weights).tolist() == [[0.5, 0.5], [0.25, 1.0]]
    assert weighted_mean(np.array([0, 1, 1, 1]), weights).tolist() == [0.75, 5 / 6]


def test_boxes() -> None:
    one = np.array([[0.0, 0.0, 2.0, 2.0]] * 3)
    other = np.array([[1.0, 1.0, 3.0, 3.0], [0.0, 0.0, 2.0, 2.0], [5.0, 5.0, 6.0, 6.0]])
    assert box_iou(one, other) == pytest.approx([1 / 7, 1.0, 0.0])
    # The edge that is the last one belongs to the next box.
    assert centre_inside(one, other).tolist() == [True, True, False]
    assert not centre_inside(one, np.array([[0.0, 0.0, 1.0, 1.0]] * 3)).any()
