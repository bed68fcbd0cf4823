"""A small report of each verdict, in the shape that an audit writes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from audits.settings import AuditSettings

Reports = Callable[[str], dict[str, Any]]


def _interval(low: float, high: float) -> dict[str, float]:
    return {"low": low, "high": high, "confidence": 0.95}


def _planted(name: str, family: str, severity: int, found: int, decisive: bool) -> dict[str, Any]:
    return {
        "name": name, "family": family, "severity": severity, "decisive": decisive,
        "planted": 300, "found": found, "recall": found / 300, "lower": max(0, found - 3) / 300,
        "interval": _interval(max(0, found - 4) / 300, found / 300),
        "passed": found > 290 if decisive else None,
    }  # fmt: skip


def _share(tail: float, estimate: float | None) -> dict[str, Any]:
    known = estimate is not None
    return {
        "space": "pixels 16", "tail": tail, "n_images": int(400 * tail), "n_patients": 9,
        "estimate": estimate, "interval": _interval(0.3, 0.7) if known else None,
        "p_value": 0.4 if known else None, "reason": "" if known else "too few images",
    }  # fmt: skip


_N = {"synthetic": 400, "train_patients": 300, "control_patients": 240}
_BASE: dict[str, Any] = {
    "schema": "bussynth-audit/1",
    "verdict": "NO EVIDENCE ABOVE FLOOR",
    "reasons": ["The copy search flagged 0 of 400 synthetic images."],
    "failures": [],
    "limits": [],
    "statements": ["The copy search flagged 0 of 400 synthetic images."],
    "adjusted_p_values": {"contrast": 0.8, "disclosure": 0.8},
    "tests": [
        {
            "name": "identity", "question": "Equal?", "n": _N, "estimate": 0.0, "interval": None,
            "p_value": None, "fired": False, "sentence": "0 of 400 equal a train image.",
            "details": {"images": 0, "equal_to_train": 0, "equal_to_control": 0},
        },
        {
            "name": "copies", "question": "Copy?", "n": _N, "estimate": 0.0,
            "interval": _interval(0.0, 0.009), "p_value": None, "fired": False,
            "sentence": "0 of 400 synthetic images are near-copies.",
            "details": {
                "n_images": 400, "train_images": 0, "train_patients": 0, "control_images": 0,
                "control_patients": 0, "excess_p": 1.0, "scales": [48, 24, 12],
                "thresholds": {
                    "ratios": [0.5, 0.5, 0.5], "tightened": True, "control_images": 480,
                    "control_fired": 0, "control_rate": _interval(0.0, 0.008),
                    "smallest": [0.8, 0.8, 0.8],
                },
            },
        },
        {
            "name": "contrast", "question": "Closer?", "n": _N, "estimate": 0.48,
            "interval": _interval(0.42, 0.55), "p_value": 0.4, "fired": False,
            "sentence": "The largest closest share is 0.48.",
            "details": {"shares": [_share(1.0, 0.48), _share(0.1, 0.5), _share(0.001, None)]},
        },
        {
            "name": "disclosure", "question": "More?", "n": _N, "estimate": -0.008,
            "interval": _interval(-0.07, 0.05), "p_value": 0.7, "fired": False,
            "sentence": "14 of 300 train patients.",
            "details": {
                "n_train": 300, "n_control": 240, "disclosed_train": 14, "disclosed_control": 13,
                "risk": -0.008, "lower": -0.07, "upper": 0.05, "p_value": 0.7, "confidence": 0.95,
            },
        },
    ],
    "controls": {
        "planted": [
            _planted("exact", "exact", 0, 300, True),
            _planted("blur 1 %", "blur", 1, 299, True),
            _planted("blur 6 %", "blur", 3, 12, False),
        ],
        "dose_response": [
            {"copies": 0, "repeats": 1, "by_copies": 0.0, "by_contrast": 0.0, "by_either": 0.0},
            {"copies": 1, "repeats": 20, "by_copies": 1.0, "by_contrast": 0.1, "by_either": 1.0},
            {"copies": 30, "repeats": 20, "by_copies": 1.0, "by_contrast": 0.9, "by_either": 1.0},
        ],
        "limit_of_detection": {"copies": 1, "contrast": 30, "either": 1},
        "null": [
            {
                "name": "member-only split", "question": "Two halves of train.", "n_images": 400,
                "n_first": 150, "n_second": 150, "p_value": 0.5, "fired": False,
            }
        ],
        "duplicates": {"identical": 0, "near": 0, "within_control": 0},
        "self_check": {"queries": 800, "mismatch_rate": 0.0},
    },
    "settings": AuditSettings().describe(),
    "aggregate": {},
    "counts": {
        "synthetic_images": 400, "train_images": 600, "control_images": 480,
        "train_patients": 300, "control_patients": 240, "patients_known": True, "strata": 6,
        "randomised_split": True, "image_size": [64, 64],
    },
    "inputs": {
        role: {"digest": "sha256:" + role[0] * 64, "images": 400, "source": "cohort"}
        for role in ("synthetic", "train", "control")
    },
    "comparison": {
        "image_size": [64, 64], "patients": {"train": 300, "control": 240}, "randomised": True,
        "split": {
            "method": "lottery", "by": ["pathology"], "control": 0.2, "test": 0.2,
            "times_split": 1, "assignment_sha256": "a" * 64,
        },
        "doubts": [], "notes": [], "changed_settings": [],
    },
    "environment": {
        "created": "2026-01-01T00:00:00Z", "bussynth": "0.1.0", "python": "3.11.2",
        "machine": "Linux x86_64", "libraries": {"numpy": "2.0"}, "run": 1,
    },
}  # fmt: skip


@pytest.fixture
def make_report() -> Reports:
    """Give a report of the wanted verdict, free to be changed."""

    def make(verdict: str) -> dict[str, Any]:
        report = copy.deepcopy(_BASE)
        report["verdict"] = verdict
        if verdict == "FAIL":
            report["failures"] = ["3 synthetic images equal a real image."]
            report["tests"][0] |= {"fired": True, "estimate": 0.0075}
        if verdict == "INCONCLUSIVE":
            report["limits"] = ["Patient keys are missing."]
            report["counts"] |= {"patients_known": False, "randomised_split": False}
            report["comparison"] |= {"split": {}, "doubts": ["No lottery."], "randomised": False}
        report["reasons"] = report["failures"] + report["limits"] + report["statements"]
        return report

    return make
