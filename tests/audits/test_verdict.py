from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from audits.controls.nulls import NullComparison
from audits.controls.recall import ClassRecall
from audits.copies.findings import CopyFindings
from audits.settings import AuditSettings
from audits.statistics.intervals import clopper_pearson, clopper_pearson_lower
from audits.verdict import Findings, State, decide

SETTINGS = AuditSettings()


def _recall(found: int, planted: int = 300, *, decisive: bool = True) -> ClassRecall:
    lower = clopper_pearson_lower(found, planted)
    passed = lower >= SETTINGS.min_recall if decisive else None
    interval = clopper_pearson(found, planted)
    return ClassRecall(
        "exact", "exact", 0, decisive, planted, found, found / planted, interval, lower, passed
    )


def _null(*, fired: bool) -> NullComparison:
    return NullComparison("member-only split", "?", 10, 5, 5, 0.0005 if fired else 0.4, fired)


def _copies(train: int = 0, control: int = 0, p: float = 1.0) -> CopyFindings:
    return CopyFindings(2000, train, train, control, control, p)


SOUND = Findings(
    n_synthetic=2000,
    n_train_patients=600,
    n_control_patients=300,
    patients_known=True,
    randomised_split=True,
    identical=0,
    copies=_copies(),
    p_values={"contrast": 0.4, "disclosure": 0.6},
    duplicates_across=0,
    recalls=(_recall(300),),
    nulls=(_null(fired=False),),
    mismatch_rate=0.0,
    upper_risk=0.03,
)


def test_a_sound_audit_without_evidence_states_its_floor() -> None:
    verdict = decide(SOUND, SETTINGS)
    assert verdict.state is State.NO_EVIDENCE
    assert verdict.state.value == "NO EVIDENCE ABOVE FLOOR"
    assert "at least 99.0 % of copies" in verdict.reasons[0]
    assert "At most 3.0 %" in verdict.reasons[1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"identical": 1}, "equal a real image pixel by pixel"),
        ({"copies": _copies(1)}, "near-copies"),
        ({"copies": _copies(30, 1, 0.001)}, "more than the 1 control patients hit explain"),
        ({"copies": replace(_copies(30, 0, 0.001), beyond_doubt=False)}, "near-copies"),
        ({"p_values": {"contrast": 0.01, "disclosure": 0.6}}, "closer to training patients"),
        ({"p_values": {"contrast": None, "disclosure": 0.02}}, "have a close synthetic image"),
        ({"p_values": {"white_box": 0.001}}, "by the model itself"),
    ],
)
def test_evidence_fails(change: dict[str, Any], words: str) -> None:
    verdict = decide(replace(SOUND, **change), SETTINGS)
    assert verdict.state is State.FAIL
    assert words in verdict.reasons[0]


def test_too_few_permutations_end_in_no_clean_verdict() -> None:
    verdict = decide(SOUND, AuditSettings(permutations=19))
    assert verdict.state is State.INCONCLUSIVE
    assert "no p-value can reach the level set by alpha" in verdict.limits[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"n_control_patients": 3},
            "There are 3 control patients in strata with training patients",
        ),
        ({"patients_known": False}, "Patient keys are missing"),
        ({"randomised_split": False}, "not assigned by a recorded random split"),
        ({"recalls": (_recall(289),)}, "'exact': 289 of 300 planted copies were found"),
        ({"recalls": (_recall(20, 20),)}, "demonstrates a recall of 0.861 only"),
        ({"nulls": (_null(fired=True),)}, "'member-only split' fired (p = 0.0005)"),
        ({"duplicates_across": 2}, "2 control images are duplicates"),
        ({"copies": _copies(0, 2)}, "cannot have been copied"),
        ({"copies": _copies(2, 2, 0.5)}, "not specific"),
        ({"copies": replace(_copies(1, 0, 0.75), beyond_doubt=False)}, "but no more than chance"),
        ({"p_values": {"contrast": None, "disclosure": 0.5}}, "contrast test is not estimable"),
        ({"excluded_train": 60}, "60 of 600 training patients are in strata without a control"),
        ({"excluded_control": 500}, "control patients in strata with training patients, fewer"),
        ({"mismatch_rate": 0.01}, "Brute force contradicts 1.00 %"),
        ({"n_synthetic": 0}, "There are no synthetic images."),
        ({"n_train_patients": 0}, "There are no train patients."),
        ({"learned_expected": True}, "too few real images to train an encoder"),
        ({"learned_expected": True, "learned": (False, False)}, "No encoder trained"),
    ],
)
def test_weakness_is_inconclusive(change: dict[str, Any], words: str) -> None:
    verdict = decide(replace(SOUND, **change), SETTINGS)
    assert verdict.state is State.INCONCLUSIVE
    assert any(words in reason for reason in verdict.limits), verdict.limits


def test_failure_outranks_weakness_and_both_are_told() -> None:
    verdict = decide(replace(SOUND, identical=2, n_control_patients=3), SETTINGS)
    assert verdict.state is State.FAIL
    assert verdict.failures
    assert verdict.limits


def test_p_values_are_corrected_for_their_number() -> None:
    verdict = decide(replace(SOUND, p_values={"contrast": 0.018, "disclosure": 0.9}), SETTINGS)
    assert verdict.state is State.NO_EVIDENCE
    # Three tests share the nine tenths of alpha that copies beyond doubt leave.
    assert verdict.adjusted["contrast"] == pytest.approx(3 * 0.018 / 0.9)


def test_copies_beyond_doubt_and_all_other_tests_together_err_at_most_at_alpha() -> None:
    rng = np.random.default_rng(0)
    failed = 0
    for _ in range(4000):
        p = rng.random(5)
        # Nothing was copied: one chance in 200 (a tenth of alpha) of a hit beyond doubt.
        certain = rng.random() < 0.1 * SETTINGS.alpha
        copies = CopyFindings(2000, 9, 9, 0, 0, min(1.0, p[0] / 0.9), bool(certain))
        names = ("contrast", "disclosure", "membership", "singling_out")
        found = replace(
            SOUND, copies=copies, p_values=dict(zip(names, p[1:].tolist(), strict=True))
        )
        failed += decide(found, SETTINGS).state is State.FAIL
    assert clopper_pearson(failed, 4000, 0.999).low <= SETTINGS.alpha
    assert failed > 0


def test_a_question_that_does_not_arise_limits_nothing() -> None:
    p_values = {"contrast": 0.4, "linkability": None, "inference": None}
    assert decide(replace(SOUND, p_values=p_values), SETTINGS).state is State.NO_EVIDENCE


def test_a_class_that_is_not_decisive_may_be_missed() -> None:
    change = {"recalls": (_recall(300), _recall(0, decisive=False))}
    assert decide(replace(SOUND, **change), SETTINGS).state is State.NO_EVIDENCE


def test_tails_too_small_to_be_tested_are_stated() -> None:
    verdict = decide(replace(SOUND, untested_tails=(0.01, 0.001)), SETTINGS)
    assert verdict.state is State.NO_EVIDENCE
    assert "not tested for the closest 0.1 %, 1 %" in verdict.statements[-1]


def test_a_few_patients_without_a_control_patient_are_left_out_of_the_statement() -> None:
    verdict = decide(replace(SOUND, excluded_train=20), SETTINGS)
    assert verdict.state is State.NO_EVIDENCE
    assert "of the 580 training patients compared" in verdict.statements[1]
