from __future__ import annotations

import numpy as np

from audits.comparisons.suspects import most_suspicious
from audits.images import Patients

PATIENTS = Patients(
    np.array([0, 1, 1, 2, 3]), np.array([True, True, False, True]), np.zeros(4, np.int64), True
)


def test_train_patients_with_their_images_most_suspicious_first() -> None:
    scores = {"near": np.array([0.1, 0.9, 1.0, 0.2]), "other": np.array([3.0, 1.0, 2.0, 0.0])}
    listed = most_suspicious(scores, PATIENTS)
    assert [entry["rows"] for entry in listed] == [[0], [1, 2], [4]]
    # Patient 0 leads in the second score; patient 1 is second to a control patient in the first.
    assert [(entry["score"], entry["rank"]) for entry in listed[:2]] == [
        ("other", 1.0),
        ("near", 2.0),
    ]
    assert len(most_suspicious(scores, PATIENTS, count=1)) == 1
    assert most_suspicious({}, PATIENTS) == []
