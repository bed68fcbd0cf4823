from __future__ import annotations

import csv
import io

import pytest

from bussynth.auditing.metrics import metrics_csv


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r+", "\n-", " @", "\x00="])
def test_no_cell_begins_a_formula(start: str) -> None:
    evil = f"{start}HYPERLINK(1)"
    report = {
        "verdict": evil,
        "tests": [],
        "controls": {
            "planted": [],
            "dose_response": [],
            "limit_of_detection": {evil: None},
            "null": [
                {"name": evil, "p_value": -0.5, "fired": False, "n_images": 3},
            ],
        },
    }
    rows = list(csv.reader(io.StringIO(metrics_csv(report), newline="")))
    cells = [cell for row in rows for cell in row]
    assert sum(cell == f"'{start[-1]}HYPERLINK(1)" for cell in cells) == 3
    assert not any(cell.startswith(("=", "+", "-", "@")) and cell != "-0.5" for cell in cells)
    # Numbers stay numbers, negative ones too.
    assert "-0.5" in cells


def test_every_test_has_its_rows() -> None:
    compared = {
        "space": "s", "neighbours": 3, "n_train": 5, "n_control": 4, "train": 0.5, "control": 0.4,
        "baseline": None, "risk": 0.1, "p_value": 0.2,
    }  # fmt: skip
    recognised = [{"fpr": 0.1, "tpr": 0.25, "interval": None}]
    details = {
        "contrast": {"shares": [{"tail": 0.1, "space": "s", "n_images": 1, "n_patients": 1,
                                 "estimate": 0.5, "interval": None, "p_value": 0.3}]},
        "disclosure": {
            "confidence": 0.95,
            "rows": [{"space": "s", "n_train": 5, "n_control": 4, "risk": 0.0, "lower": -0.1,
                      "upper": 0.1, "p_value": 0.5}],
            "curve": [{"space": "s", "quantile": 0.05, "risk": 0.0, "lower": 0.0, "upper": 0.1}],
        },
        "membership": {"rows": [{"score": "s", "group": "all", "n_train": 5, "n_control": 4,
                                 "auc": 0.5, "interval": None, "p_value": 0.5,
                                 "recognised": recognised}]},
        "singling_out": {"rows": [{**compared, "expected": 0.01}]},
        "linkability": {"rows": [compared]},
        "inference": {"rows": [{**compared, "attribute": "a", "balanced": True}]},
        "dp_bound": {"confidence": 0.95, "attacks": [
            {"score": "s", "guesses": 4, "correct": 3, "epsilon_add_remove": 0.1, "p_value": 0.2}]},
        "tomorrow": {"rows": [{"secret": 1}]},
    }  # fmt: skip
    report = {
        "verdict": "FAIL",
        "tests": [
            {"name": name, "n": {}, "estimate": 0.5, "interval": None, "p_value": 0.5,
             "fired": False, "details": given}
            for name, given in details.items()
        ],
        "controls": {"planted": [], "dose_response": [], "limit_of_detection": {}, "null": []},
    }  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(metrics_csv(report), newline="")))
    found = {row["name"]: row["estimate"] for row in rows if row["part"] != "test"}
    assert found["s, all, TPR at FPR 0.1"] == "0.25"
    assert found["space s, expected 0.01, neighbours 3, train"] == "0.5"
    assert found["space s, neighbours 3, control"] == "0.4"
    assert found["attribute a, space s, neighbours 3, balanced True, excess"] == "0.1"
    assert found["s, 4 guesses"] == "0.1"
    assert found["s, at 0.05"] == "0.0"
    assert not any("secret" in row["name"] for row in rows)
