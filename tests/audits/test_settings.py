from __future__ import annotations

import json
from dataclasses import fields

import pytest

from audits.errors import AuditInputError
from audits.settings import AuditSettings


def test_every_setting_has_help_and_a_reference() -> None:
    for entry in fields(AuditSettings):
        assert entry.metadata["help"].endswith("."), entry.name
        assert len(entry.metadata["reference"]) >= 10, entry.name


def test_description_is_json() -> None:
    described = json.loads(json.dumps(AuditSettings(tails=(0.1,)).describe(), allow_nan=False))
    assert described["tails"]["value"] == [0.1]


def test_all_problems_at_once() -> None:
    with pytest.raises(AuditInputError) as error:
        AuditSettings(alpha=0.9, permutations=2, tails=(0.1, 1.5), seed="x")  # type: ignore[arg-type]
    text = str(error.value)
    assert "alpha: expected at most 0.5. Got 0.9." in text
    assert "permutations: expected at least 19. Got 2." in text
    assert "seed: expected a number. Got 'x'." in text
    with pytest.raises(AuditInputError, match="shares below 1"):
        AuditSettings(tails=(0.1, 1.5))


def test_only_the_first_problems_are_shown() -> None:
    error = AuditInputError("Refused.", [f"row {i}" for i in range(25)])
    assert str(error).splitlines()[-1] == "  … and 5 more"
    assert len(error.problems) == 25
    assert str(AuditInputError("Refused.")) == "Refused."


def test_thresholds_below_their_default_are_named() -> None:
    assert AuditSettings().loosened() == ()
    assert AuditSettings(alpha=0.1, copy_ratio=0.6, min_control_patients=300).loosened() == ()
    assert AuditSettings(copy_ratio=0.3, min_recall=0.5).loosened() == ("copy_ratio", "min_recall")
    assert AuditSettings(confidence=0.5).loosened() == ("confidence",)
    # Asking more of every search may shut a sharp one out.
    assert AuditSettings(confidence=0.999, min_recall=0.99).loosened() == (
        "confidence",
        "min_recall",
    )
    fewer = AuditSettings(planted=60, neighbours=2, candidates=2, singled_out=1, dose_power=0.1)
    assert set(fewer.loosened()) == {
        *("planted", "neighbours", "candidates", "singled_out", "dose_power"),
    }


def test_levels_out_of_reach_of_few_permutations_are_named() -> None:
    assert AuditSettings().unreachable(2, 3) == ()
    assert AuditSettings(permutations=299).unreachable(2, 3) == ()
    assert AuditSettings(permutations=298).unreachable(2, 3) == ("null_alpha",)
    assert AuditSettings(permutations=38).unreachable(2, 3) == ("alpha", "null_alpha")
    # A tenth of alpha is spent on copies beyond doubt.
    assert AuditSettings(permutations=40, null_alpha=0.5).unreachable(2, 3) == ("alpha",)
    assert AuditSettings(permutations=44, null_alpha=0.5).unreachable(2, 3) == ()
