from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bussynth.errors import IntegrityError
from bussynth.package.manifest import (
    CLAIM,
    ENVELOPE,
    FORMAT,
    PREDICATE_TYPE,
    FileEntry,
    Manifest,
    parse_manifest,
)

MANIFEST = Manifest(
    name="demo",
    version="1.2.3",
    license="CC-BY-4.0",
    description="Images — synthetic.",
    created_at="2026-01-02T03:04:05Z",
    tool_version="0.1.0",
    images=2,
    conditions={"pathology": {"benign": 1, "unknown": 1}},
    claim=CLAIM,
    verdict="NO EVIDENCE ABOVE FLOOR",
    reasons=("Floor 0.9.",),
    accepted_inconclusive=False,
    audit_sha256="c" * 64,
    files={
        "README.md": FileEntry("a" * 64, 10),
        "data/train-00000-of-00001.parquet": FileEntry("b" * 64, 0),
        "reports/audit.json": FileEntry("c" * 64, 5),
    },
)


def test_round_trip() -> None:
    assert parse_manifest(MANIFEST.to_statement()) == MANIFEST
    assert MANIFEST.total_bytes == 15
    assert MANIFEST.to_statement() == MANIFEST.to_statement()


def test_an_audited_package_is_signed_as_it_was_before_there_was_another_claim() -> None:
    assert json.loads(MANIFEST.to_statement())["predicate"]["privacy"] == {
        "claim": "empirically-audited",
        "verdict": "NO EVIDENCE ABOVE FLOOR",
        "reasons": ["Floor 0.9."],
        "acceptedInconclusive": False,
        "report": {"sha256": "c" * 64},
    }


def test_derived_images_are_not_called_synthetic() -> None:
    manifest = replace(MANIFEST, derived="The patients consented.")
    statement = json.loads(manifest.to_statement())
    assert statement["predicate"]["synthetic"] is False
    assert statement["predicate"]["privacy"]["derivedFromReal"] == "The patients consented."
    assert parse_manifest(manifest.to_statement()) == manifest
    assert b"derivedFromReal" not in MANIFEST.to_statement()


def test_statement_is_in_toto() -> None:
    statement = json.loads(MANIFEST.to_statement())
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == PREDICATE_TYPE
    assert statement["predicate"]["format"] == FORMAT
    assert statement["subject"][0] == {
        "name": "README.md",
        "digest": {"sha256": "a" * 64},
        "annotations": {"bytes": 10},
    }


def test_later_fields_are_ignored() -> None:
    statement = json.loads(MANIFEST.to_statement())
    statement["predicate"]["later"] = {"x": 1}
    assert parse_manifest(json.dumps(statement).encode()) == MANIFEST


Change = Callable[[dict[str, Any]], object]


def subject(**fields: Any) -> dict[str, Any]:
    entry = {"name": "x", "digest": {"sha256": "d" * 64}, "annotations": {"bytes": 0}}
    return entry | fields


CHANGES: dict[str, tuple[Change, str]] = {
    "type": (lambda s: s.update(_type="https://in-toto.io/Statement/v0.1"), "not of type"),
    "predicate type": (lambda s: s.update(predicateType="https://slsa.dev"), "not about a"),
    "format": (lambda s: s["predicate"].update(format="bussynth-package/2"), "not of format"),
    "no predicate": (lambda s: s.pop("predicate"), "not of format"),
    "no subject": (lambda s: s.update(subject=[]), "1 to 20000 files"),
    "subject no list": (lambda s: s.update(subject={"name": "a"}), "1 to 20000 files"),
    "too many": (lambda s: s.update(subject=[{}] * 20_001), "1 to 20000 files"),
    "entry no object": (lambda s: s["subject"].append(3), "not a text"),
    "traversal": (lambda s: s["subject"].append(subject(name="../evil")), "relative"),
    "absolute": (lambda s: s["subject"].append(subject(name="/etc/passwd")), "relative"),
    "backslash": (lambda s: s["subject"].append(subject(name="..\\evil")), "relative"),
    "twice": (lambda s: s["subject"].append(subject(name="README.md")), "twice"),
    "case": (lambda s: s["subject"].append(subject(name="readme.MD")), "beside"),
    "envelope": (lambda s: s["subject"].append(subject(name=ENVELOPE)), "cannot list itself"),
    "envelope case": (
        lambda s: s["subject"].append(subject(name=ENVELOPE.upper())),
        "cannot list itself",
    ),
    "md5": (lambda s: s["subject"].append(subject(digest={"md5": "d" * 32})), "exactly one"),
    "two digests": (
        lambda s: s["subject"][0]["digest"].update(md5="d" * 32),
        "exactly one digest",
    ),
    "upper case": (lambda s: s["subject"][0]["digest"].update(sha256="A" * 64), "lower-case"),
    "short": (lambda s: s["subject"][0]["digest"].update(sha256="a" * 63), "64"),
    "digest null": (lambda s: s["subject"][0].update(digest=None), "exactly one"),
    "no size": (lambda s: s["subject"][0].pop("annotations"), "annotations"),
    "negative": (lambda s: s["subject"][0]["annotations"].update(bytes=-1), "whole number"),
    "bool": (lambda s: s["subject"][0]["annotations"].update(bytes=True), "whole number"),
    "total": (lambda s: s["predicate"]["counts"].update(totalBytes=1), "totalBytes"),
    "files": (lambda s: s["predicate"]["counts"].update(files=9), "do not match"),
    "name": (lambda s: s["predicate"]["package"].update(name="a/b"), "plain letters"),
    "escape": (lambda s: s["predicate"]["package"].update(name="a\x1b[2J"), "control"),
    "description": (
        lambda s: s["predicate"]["package"].update(description="a\u202eb"),
        "invisible",
    ),
    "version": (lambda s: s["predicate"]["package"].update(version="1.0"), "version"),
    "version huge": (
        lambda s: s["predicate"]["package"].update(version="1.0." + "1" * 9),
        "version",
    ),
    "license": (lambda s: s["predicate"]["package"].update(license="a b"), "license"),
    "time": (lambda s: s["predicate"].update(createdAt="yesterday"), "createdAt"),
    "images": (lambda s: s["predicate"]["counts"].update(images=-1), "images"),
    "conditions": (lambda s: s["predicate"]["counts"].update(conditions=[1]), "conditions"),
    "condition": (
        lambda s: s["predicate"]["counts"].update(conditions={"a": {"b": 0.5}}),
        "whole number",
    ),
    "claim": (lambda s: s["predicate"]["privacy"].update(claim="formal-dp"), "claim"),
    "verdict": (lambda s: s["predicate"]["privacy"].update(verdict="PASS"), "verdict"),
    "failed": (lambda s: s["predicate"]["privacy"].update(verdict="FAIL"), "must not exist"),
    "inconclusive": (
        lambda s: s["predicate"]["privacy"].update(verdict="INCONCLUSIVE"),
        "acceptedInconclusive",
    ),
    "reasons": (lambda s: s["predicate"]["privacy"].update(reasons="x"), "reasons"),
    "report": (
        lambda s: s["predicate"]["privacy"].update(report={"sha256": "d" * 64}),
        "reports/audit.json",
    ),
    "not synthetic": (lambda s: s["predicate"].update(synthetic=False), "synthetic"),
    "synthetic and derived": (
        lambda s: s["predicate"]["privacy"].update(derivedFromReal="x"),
        "or both",
    ),
    "derived without words": (
        lambda s: (
            s["predicate"].update(synthetic=False),
            s["predicate"]["privacy"].update(derivedFromReal=None),
        ),
        "derivedFromReal",
    ),
    "derived and inconclusive": (
        lambda s: (
            s["predicate"].update(synthetic=False),
            s["predicate"]["privacy"].update(
                derivedFromReal="x", verdict="INCONCLUSIVE", acceptedInconclusive=True
            ),
        ),
        "not with an inconclusive audit",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_malformed_statement(name: str) -> None:
    change, reason = CHANGES[name]
    statement = copy.deepcopy(json.loads(MANIFEST.to_statement()))
    change(statement)
    with pytest.raises(IntegrityError, match=reason) as caught:
        parse_manifest(json.dumps(statement).encode())
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("payload", [b"", b"null", b"[]", b"3", b"{}", b'"x"'])
def test_no_statement(payload: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse_manifest(payload)


def test_every_problem_is_reported() -> None:
    statement = json.loads(MANIFEST.to_statement())
    statement["predicate"]["package"] = {}
    statement["predicate"]["privacy"] = None
    statement["subject"].append(subject(name="../evil"))
    with pytest.raises(IntegrityError) as caught:
        parse_manifest(json.dumps(statement).encode())
    text = "\n".join(caught.value.problems)
    for word in ("name", "version", "license", "privacy", "verdict", "evil"):
        assert word in text
