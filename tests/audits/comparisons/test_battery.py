"""All comparisons together: what is missing is said, and the model is judged only on request."""

from typing import Any

import numpy as np
import pytest

from audits.comparisons.battery import DECIDING, Battery, compare
from audits.images import Patients
from audits.settings import AuditSettings

PATIENTS = Patients(np.arange(40), np.arange(40) < 20, np.zeros(40, np.int64), True)
COUNTS = {"synthetic": 0, "train": 20, "control": 20, "train_patients": 20, "control_patients": 20}


def _compare(**options: Any) -> Battery:
    return compare(
        {}, [], {}, PATIENTS, AuditSettings(permutations=99, bootstrap=20),
        counts=COUNTS, real_labels={}, synthetic_labels={}, **options,
    )  # fmt: skip


def test_without_a_space_nothing_is_estimable_and_nothing_fires() -> None:
    battery = _compare()
    assert battery.p_values == dict.fromkeys([n for n in DECIDING if n != "white_box"])
    assert not any(outcome.fired for outcome in battery.outcomes)
    assert all("not estimable" in outcome.sentence.lower() for outcome in battery.outcomes)


@pytest.mark.parametrize("learned", [True, False])
def test_the_model_is_judged_when_its_losses_are_given(learned: bool) -> None:
    rng = np.random.default_rng(0)
    loss = rng.normal(1.0, 0.1, 40) - 0.5 * (PATIENTS.member & learned)
    p_value = _compare(losses={"sigma 0.5": loss}).p_values["white_box"]
    assert p_value is not None
    assert (p_value <= 0.01) == learned


def test_the_bound_on_epsilon_never_decides() -> None:
    battery = _compare()
    assert "dp_bound" in {outcome.name for outcome in battery.outcomes}
    assert "dp_bound" not in battery.p_values
