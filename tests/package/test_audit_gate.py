from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bussynth.errors import AuditGateError
from bussynth.package.audit_gate import check_gate, read_audit

DIGEST = "sha256:" + "0" * 64
REPORT: dict[str, Any] = {
    "schema": "bussynth-audit/2",
    "verdict": "NO EVIDENCE ABOVE FLOOR",
    "reasons": ["Floor 0.9."],
    "inputs": {
        "synthetic": {"digest": DIGEST, "images": 4},
        "train": {"digest": "sha256:" + "1" * 64, "images": 9},
    },
    "aggregate": {"n": 1, "interval": [0.5, 1.0]},
    "private": "stays",
}


def write(folder: Path, report: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "report.json").write_text(json.dumps(report))
    return folder


def gate(folder: Path, *, accept: bool = False, digest: str = DIGEST, images: int = 4) -> None:
    check_gate(read_audit(folder), cohort_digest=digest, images=images, accept_inconclusive=accept)


def test_good_audit_opens_the_gate(tmp_path: Path) -> None:
    gate(write(tmp_path, REPORT))
    assert read_audit(tmp_path).to_package() == {
        "schema": "bussynth-package-audit/1",
        "verdict": "NO EVIDENCE ABOVE FLOOR",
        "reasons": ["Floor 0.9."],
        "aggregate": {"n": 1, "interval": [0.5, 1.0]},
    }


@pytest.mark.parametrize("folder", [".", "absent"])
def test_missing_audit(tmp_path: Path, folder: str) -> None:
    with pytest.raises(AuditGateError, match="bussynth audit") as caught:
        gate(tmp_path / folder)
    assert caught.value.exit_code == 4


def test_foreign_audit(tmp_path: Path) -> None:
    write(tmp_path, REPORT)
    with pytest.raises(AuditGateError, match="another cohort"):
        gate(tmp_path, digest="sha256:" + "f" * 64)
    with pytest.raises(AuditGateError, match="another cohort"):
        gate(tmp_path, images=5)


def test_failed_audit_cannot_be_accepted(tmp_path: Path) -> None:
    write(tmp_path, REPORT | {"verdict": "FAIL", "reasons": ["3 copies found."]})
    for accept in (False, True):
        with pytest.raises(AuditGateError, match="3 copies found"):
            gate(tmp_path, accept=accept)


def test_inconclusive_audit_needs_a_decision(tmp_path: Path) -> None:
    write(tmp_path, REPORT | {"verdict": "INCONCLUSIVE"})
    with pytest.raises(AuditGateError, match="--accept-inconclusive"):
        gate(tmp_path)
    gate(tmp_path, accept=True)


def test_edited_report_is_noticed(tmp_path: Path) -> None:
    write(tmp_path, REPORT)
    (tmp_path / "report.sha256").write_text("0" * 64)
    with pytest.raises(AuditGateError, match="changed after the audit"):
        gate(tmp_path)
    (tmp_path / "report.sha256").write_text("")
    with pytest.raises(AuditGateError, match="changed after the audit"):
        gate(tmp_path)
    (tmp_path / "report.sha256").write_bytes(b"\xff")
    with pytest.raises(AuditGateError, match="cannot be read"):
        gate(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "bussynth-audit/1"},
        {"schema": None},
        {"verdict": "pass"},
        {"verdict": ["FAIL"]},
        {"reasons": "none"},
        {"reasons": ["\x1b[31m"]},
        {"reasons": ["a\nb"]},
        {"aggregate": None},
        {"aggregate": {"a": "line\nbreak"}},
        {"aggregate": {"a": ["sha256:" + "1" * 64]}},
        {"aggregate": {"see sha256:" + "1" * 64: 1}},
        {"inputs": None},
        {"inputs": {"synthetic": {"digest": DIGEST}}},
    ],
    ids=str,
)
def test_report_that_is_not_understood_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(AuditGateError):
        gate(write(tmp_path, REPORT | change), accept=True)


@pytest.mark.parametrize("text", ["", "[]", '{"a": NaN}', '{"a": 1, "a": 1}', "[" * 10_000])
def test_damaged_report(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(AuditGateError):
        gate(tmp_path)
