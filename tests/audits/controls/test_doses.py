from __future__ import annotations

import numpy as np

from audits.comparisons.contrast import Captures
from audits.controls.doses import Dose, dose_response, limits_of_detection
from audits.images import Patients
from audits.settings import AuditSettings

SETTINGS = AuditSettings(permutations=399, planted=20, dose=(3, 30), dose_repeats=5)


def _captures(patients: np.ndarray, squared: np.ndarray) -> Captures:
    n = len(patients)
    return Captures(squared, np.arange(n), patients.astype(np.int64), np.ones(n))


def test_power_grows_with_the_dose_and_is_null_without() -> None:
    rng = np.random.default_rng(0)
    patients = Patients(np.arange(200), np.arange(200) < 100, np.zeros(200, np.int64), True)
    synthetic = {"space": _captures(rng.integers(0, 200, 400), rng.random(400) + 1)}
    pool = {"space": _captures(np.arange(60), np.full(60, 0.1))}
    doses = dose_response(synthetic, pool, np.zeros(60, np.bool_), patients, SETTINGS, tests=6)
    assert [dose.copies for dose in doses] == [0, 3, 30]
    assert doses[0].by_either == 0.0
    assert doses[2].by_contrast == 1.0
    assert doses[2].by_copies == 0.0
    found = dose_response(synthetic, pool, np.ones(60, np.bool_), patients, SETTINGS, tests=6)
    assert found[1].by_copies == 1.0


def test_the_limit_is_reached_by_every_larger_dose_too() -> None:
    doses = tuple(
        Dose(copies, 20, by_copies, 0.0, by_copies)
        for copies, by_copies in ((0, 1.0), (1, 0.9), (3, 0.5), (10, 0.8), (30, 1.0))
    )
    limits = limits_of_detection(doses, 0.8)
    # One copy was found often by luck, three were not.
    assert limits == {"copies": 10, "contrast": None, "either": 10}
