"""What is said of a cohort's origin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bussynth.cohort import Cohort, Row
from bussynth.inspection import inspect_folder

A, B, C = ("sha256:" + letter * 64 for letter in "abc")
CANARY = "ZZDOE_JANE"


def seen(path: Path, kind: str, provenance: dict[str, Any]) -> dict[str, Any]:
    real = kind != "synthetic"
    row = Row.from_arrays(
        id="i",
        image=np.zeros((8, 8), np.uint8),
        patient=f"{CANARY}-0" if real else None,
        split="train" if real else None,
    )
    Cohort.create(
        path, [row], kind=kind, image_size=8, vocabulary={"pathology": ["benign"]},
        provenance=provenance,
        split={"method": "kept from the source"} if real else None,
    )  # fmt: skip
    found = inspect_folder(path)
    assert CANARY not in json.dumps(found)
    return found


def test_a_cohort_without_a_record_of_its_origin(tmp_path: Path) -> None:
    found = seen(tmp_path / "c", "synthetic", {})
    assert found["notes"] == []
    assert not {"generator", "wrapped", "trained_on", "derived", "guard", "privacy"} & set(found)


def test_a_cohort_with_a_claim(tmp_path: Path) -> None:
    claim = {"claim": "formal-dp", "epsilon": 8.0, "delta": 1e-5, "unit": CANARY, "statement": {}}
    found = seen(tmp_path / "c", "synthetic", {"generator": A, "privacy": claim})
    assert found["privacy"] == {"claim": "formal-dp", "epsilon": 8.0, "delta": 1e-5}


def test_a_generated_and_guarded_cohort(tmp_path: Path) -> None:
    guard = {
        "kind": "rejection", "asked": 20, "drawn": 30, "rejected": 12, "left_out": 2,
        "voids": "formal-dp", "note": CANARY, "not_guarded": [{"name": CANARY}],
    }  # fmt: skip
    record = {"generator": A, "trained_on": B, "guard": guard, "request": {"path": CANARY}}
    found = seen(tmp_path / "c", "synthetic", record)
    assert (found["generator"], found["trained_on"]) == (A, B)
    assert found["guard"] == {
        "kind": "rejection", "asked": 20, "rejected": 12, "left_out": 2, "voids": "formal-dp",
    }  # fmt: skip
    assert "derived" not in found
    (note,) = found["notes"]
    assert "voids a formal-dp claim" in note


def test_a_wrapped_cohort(tmp_path: Path) -> None:
    found = seen(tmp_path / "c", "synthetic", {"verb": "wrap", "source": "images", "generator": A})
    assert (found["wrapped"], found["generator"], found["notes"]) == ("images", A, [])


@pytest.mark.parametrize(("kind", "words"), [("real", "personal data"), ("phantom", "no patient")])
def test_a_derived_cohort(tmp_path: Path, kind: str, words: str) -> None:
    derived = {
        "by": "restyle", "source": A, "model": B, "trained_on": C, "request": {"place": CANARY},
    }  # fmt: skip
    found = seen(tmp_path / "c", kind, {"derived": derived, "generator": B})
    assert found["derived"] == {"by": "restyle", "from": A, "trained_on": C}
    assert found["generator"] == B
    (note,) = found["notes"]
    assert words in note
    assert "export refuses it" in note


def test_records_of_others_are_not_repeated(tmp_path: Path) -> None:
    record = {
        "verb": "wrap", "source": f"/data/{CANARY}", "generator": CANARY, "trained_on": [CANARY],
        "derived": {"by": CANARY, "source": CANARY}, "guard": {"kind": CANARY, "rejected": CANARY},
    }  # fmt: skip
    found = seen(tmp_path / "c", "synthetic", record)
    assert not {"generator", "wrapped", "trained_on"} & set(found)
    assert (found["derived"], found["guard"]) == ({}, {})
    assert len(found["notes"]) == 2
