from __future__ import annotations

import numpy as np
import pytest

from bussynth.quality.sampling import balanced_weights


def test_classes_and_their_patients_weigh_the_same() -> None:
    patients = np.array([0, 0, 0, 1, 2, 2, 3])
    labels = np.array([0, 0, 0, 0, 1, 1, -1])
    weights = balanced_weights(patients, labels)
    assert weights.sum() == pytest.approx(1)
    assert weights == pytest.approx([1 / 12, 1 / 12, 1 / 12, 1 / 4, 1 / 4, 1 / 4, 0])
