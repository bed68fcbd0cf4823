"""A small report of each verdict, made of the very classes that an audit fills."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from audits.comparisons.contrast import ClosestShare
from audits.comparisons.disclosure import Disclosure, DisclosurePoint, DisclosureResult
from audits.comparisons.dp_bound import EpsilonBound, Guesses
from audits.comparisons.inference import Inference, Inferred
from audits.comparisons.linkability import Linkability, Linked
from audits.comparisons.membership import Membership, MembershipResult, Recognised
from audits.comparisons.singling_out import Isolation, SinglingOut
from audits.controls.doses import Dose
from audits.controls.nulls import NullComparison
from audits.controls.recall import ClassRecall
from audits.copies.channel import CopyScores
from audits.copies.findings import ChannelCopies, CopyFindings
from audits.copies.thresholds import Thresholds
from audits.features.learned.agreement import Agreement
from audits.outcome import Outcome, plain
from audits.result import AuditResult
from audits.settings import AuditSettings
from audits.spaces import SpaceReport
from audits.statistics.intervals import Interval
from audits.verdict import State, Verdict

Reports = Callable[[str], dict[str, Any]]

SECRET = 0.123456789
"""Stands in every place that may not leave the site."""

_N = {"synthetic": 400, "train": 600, "control": 480, "train_patients": 300,
      "control_patients": 240}  # fmt: skip
_SPACES = ("pixels 16", "gradients", "learned 1")
_MID = Interval(0.42, 0.55)


def _outcome(name: str, estimate: float | None, p_value: float | None, details: Any) -> Outcome:
    return Outcome(
        name=name, question=f"{name}?", n=_N, estimate=estimate, interval=_MID, p_value=p_value,
        fired=False, sentence=f"The sentence of {name}.", details=plain(details),
    )  # fmt: skip


def _planted(name: str, family: str, severity: float, found: int, decisive: bool) -> ClassRecall:
    return ClassRecall(
        name, family, severity, decisive, 300, found, found / 300,
        Interval(max(0, found - 4) / 300, found / 300), max(0, found - 3) / 300,
        found > 290 if decisive else None, {"framings": found, "pixels 16": found // 2}, None,
    )  # fmt: skip


def _copies() -> CopyFindings:
    return CopyFindings(400, 0, 0, 0, 0, 1.0, False, False)


def _channel(name: str, admitted: bool) -> ChannelCopies:
    flags = np.zeros((400, 1), bool)
    scores = CopyScores(*(np.zeros((400, 1)) for _ in range(2)),
                        *(np.zeros((400, 1), np.int64) for _ in range(2)))  # fmt: skip
    return ChannelCopies(
        name, ("one",),
        Thresholds((SECRET,), True, 480, 1, Interval(0.0, 0.008), (SECRET,), (SECRET,), (SECRET,),
                   (SECRET,)),
        _copies(), scores, flags, flags, admitted, () if admitted else ("It finds too little.",),
    )  # fmt: skip


def _disclosure() -> DisclosureResult:
    rows = tuple(
        Disclosure(space, 300, 240, 14, 13, 14 / 300, 13 / 240, -0.008, -0.07, 0.05, 0.7, "")
        for space in _SPACES
    )
    curve = tuple(
        DisclosurePoint(space, quantile, quantile / 9, -quantile, 0.03 + quantile)
        for space in _SPACES
        for quantile in (0.01, 0.05, 0.1)
    )
    return DisclosureResult(rows, rows[0], 0.7, curve, 0.05, 0.95, 0, "")


def _membership() -> MembershipResult:
    recognised = (
        Recognised(0.1, 0.11, Interval(0.07, 0.15), Interval(0.07, 0.14), ""),
        Recognised(0.01, None, None, None, "240 control patients, at least 1000 needed"),
    )
    return MembershipResult(
        tuple(
            Membership(f"{score} {space}", group, 300, 240, 0.52, _MID, 0.3, 0.4, recognised, "")
            for space in _SPACES
            for score in ("nearness", "calibrated")
            for group in ("all", "outliers")
        ),
        0.4, 0, 0.95, "",
    )  # fmt: skip


def _contrast() -> dict[str, Any]:
    known = [ClosestShare(s, t, 400, 9, 0.49, _MID, 0.4, "") for s in _SPACES for t in (1.0, 0.1)]
    few = ClosestShare(_SPACES[0], 0.001, 0, 0, None, None, None, "too few images")
    return {"shares": [plain(share) for share in (*known, few)]}


def _tests() -> tuple[Outcome, ...]:
    row = (0.3, 0.29, 0.2, 0.01, 0.5, "")
    return (
        _outcome("identity", 0.0, None,
                 {"images": 0, "equal_to_train": 0, "equal_to_control": 0}),
        _outcome("copies", 0.0, None,
                 {**plain(_copies()), "deciding": ["framings"], "radius": SECRET,
                  "within_radius_of_train": 0, "within_radius_of_control": 1}),
        _outcome("contrast", 0.48, 0.4, _contrast()),
        _outcome("disclosure", -0.008, 0.7, _disclosure()),
        _outcome("membership", 0.52, 0.4, _membership()),
        _outcome("singling_out", 0.01, 0.5, SinglingOut(
            (Isolation("pixels 16", 0.01, 400, 300, 120, 120, 120, 0.3, 0.29, 0.2, 0.1, 0.01, 0.5,
                       ""),), 0.5, "")),
        _outcome("linkability", 0.01, 0.5, Linkability(
            (Linked("pixels 16", 3, 200, 150, 350, *row),), 0.5, "")),
        _outcome("inference", 0.01, 0.5, Inference(
            (Inferred("pathology", "pixels 16", 1, True, 2, 300, 240, *row),), 0.5, "")),
        _outcome("dp_bound", 0.2, None, EpsilonBound(
            "paired", "patient", 240, 1e-5, 0.95,
            (Guesses("calibrated pixels 16", 240, 130, 0.2, 0.4, 0.2),), 0.4, 0.2, 0.2, "")),
    )  # fmt: skip


def _result() -> AuditResult:
    statement = ("The copy search flagged 0 of 400 synthetic images.",)
    names = ("contrast", "disclosure", "membership", "singling_out", "linkability", "inference")
    return AuditResult(
        verdict=Verdict(State.NO_EVIDENCE, (), (), statement, dict.fromkeys(names, 0.8)),
        confirmatory=True,
        inputs={
            "synthetic_images": 400, "train_images": 600, "control_images": 480,
            "train_patients": 300, "control_patients": 240, "patients_known": True, "strata": 6,
            "randomised_split": True, "image_size": [64, 64],
        },
        settings=AuditSettings().describe(),
        spaces=tuple(
            SpaceReport(name, name.split()[0], {"dimension": 256, "digest": "sha256:hidden"},
                        True, ())
            for name in _SPACES
        ),
        channels=(_channel("framings", True), _channel("pixels 16", False)),
        tests=_tests(),
        recalls=(
            _planted("exact", "exact", 0, 300, True),
            _planted("blur 1 %", "blur", 1, 299, True),
            _planted("blur 6 %", "blur", 3, 12, False),
            ClassRecall("lesion in another breast", "lesion in another breast", 1, False, 0, 0, 0.0,
                        Interval(0.0, 1.0), 0.0, None, {"framings": 0}, "No box is known."),
        ),
        doses=(
            Dose(0, 1, 0.0, 0.0, 0.0), Dose(1, 20, 1.0, 0.1, 1.0), Dose(30, 20, 1.0, 0.9, 1.0),
        ),
        limit_of_detection={"copies": 1, "contrast": 30, "either": 1},
        nulls=(NullComparison("member-only split", "Two halves.", 400, 150, 150, 0.5, False),),
        agreement=plain(Agreement(540, 0.62, Interval(0.56, 0.67))),
        duplicates={"identical": 0, "near": 0, "within_control": 0},
        self_check={"queries": 800, "mismatch_rate": 0.0},
        histograms=(
            {"space": "pixels 16", "bin_edges": [0.0, SECRET, 2.0],
             "train_to_synthetic": [100, 500], "control_to_synthetic": [80, 400]},
        ),
        private={},
    )  # fmt: skip


def _base() -> dict[str, Any]:
    result = _result()
    report = result.to_dict()
    report["aggregate"] = result.aggregate()
    report["counts"] = report.pop("inputs")
    report["inputs"] = {
        role: {"digest": "sha256:" + role[0] * 64, "images": 400, "source": "cohort"}
        for role in ("synthetic", "train", "control")
    }
    report["comparison"] = {
        "image_size": [64, 64], "patients": {"train": 300, "control": 240}, "randomised": True,
        "split": {
            "method": "lottery", "by": ["pathology"], "control": 0.2, "test": 0.2,
            "times_split": 1, "assignment_sha256": "a" * 64,
        },
        "doubts": [], "notes": [], "changed_settings": [],
    }  # fmt: skip
    report["environment"] = {
        "created": "2026-01-01T00:00:00Z", "bussynth": "0.1.0", "python": "3.11.2",
        "machine": "Linux x86_64", "libraries": {"numpy": "2.0"}, "run": 1,
    }  # fmt: skip
    report["ledger"] = {
        "place": "real data", "control_runs": 2, "synthetic_runs": 1, "synthetic_sets": 2,
        "settings_used": 1, "failed_before": 1, "other_controls": 0, "registration": "none",
        "registered": None, "flags": ["Another set failed before."], "problems": [],
        "head": "e" * 64,
        "sentences": ["This is audit 2 of these control patients.", "Another set failed before."],
    }  # fmt: skip
    report["model"] = None
    return json.loads(json.dumps(report))


_BASE = _base()

PRIVATE: dict[str, Any] = {
    "identical_to_train": [{"query": 3, "reference": 7, "orientation": "mirrored left-right"}],
    "identical_to_control": [],
    "copies": [
        {"synthetic": 5, "train": 9, "ratio": 0.11, "channels": ["framings"], "mirrored": True,
         "ncc": 0.97, "shift": [0, 1], "largest_tile_distance": 0.2, "ms_ssim": 0.9},
    ],
    "duplicates": {"identical": [], "near": [[1, 2]], "within_control": [[3, 4]]},
    "membership": [{"rows": [11, 12], "score": "calibrated pixels 16", "value": 1.5}],
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
            report["mode"] = "exploratory"
            report["limits"] = ["Patient keys are missing."]
            report["counts"] |= {"patients_known": False, "randomised_split": False}
            report["comparison"] |= {"split": {}, "doubts": ["No lottery."], "randomised": False}
        report["reasons"] = report["failures"] + report["limits"] + report["statements"]
        return report

    return make


@pytest.fixture
def private() -> dict[str, Any]:
    """Row numbers behind the findings, free to be changed."""
    return copy.deepcopy(PRIVATE)
