"""Manifests that a trusted key signed and that are malicious all the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bussynth.errors import DataError, IntegrityError
from bussynth.package import load, verify_package
from bussynth.package.manifest import ENVELOPE


def refused(path: Path, trust: Any, match: str | None = None) -> None:
    for call in (lambda: verify_package(path, trust), lambda: load(path, trust=trust)):
        with pytest.raises(IntegrityError, match=match) as caught:
            call()
        assert str(caught.value).replace("\n", "").isprintable()


def test_the_forge_signs_what_is_accepted(forge: Any, tmp_path: Path) -> None:
    for built in (
        forge.files(tmp_path / "a", {}),
        forge.shard(tmp_path / "b", forge.parquet(forge.table())),
        forge.statement_edit(tmp_path / "c", lambda statement: None),
    ):
        assert verify_package(built, forge.trust).verified
        assert len(load(built, trust=forge.trust)) == 3


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "data/../../outside",
        "/etc/passwd",
        "..\\outside",
        "C:\\outside",
        "\\\\server\\share",
        "data//x",
        "./x",
        "CON",
        "a\x00b",
        "a\nb",
        "a\x1b[2J",
        "a\u202eb",
        "x" * 300,
        "/".join(["d"] * 200),
        "readme.md",
        "README.md",
        "README.md/x",
        ENVELOPE,
    ],
    ids=ascii,
)
def test_names(forge: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / "outside").write_text("victim")

    def edit(statement: dict[str, Any]) -> None:
        entry = dict(statement["subject"][0], name=name)
        statement["subject"].append(entry)
        counts = statement["predicate"]["counts"]
        counts["files"] += 1
        counts["totalBytes"] += entry["annotations"]["bytes"]

    refused(forge.statement_edit(tmp_path / "p", edit), forge.trust, "malformed")


def test_same_file_with_two_digests(forge: Any, tmp_path: Path) -> None:
    def edit(statement: dict[str, Any]) -> None:
        entry = dict(statement["subject"][0], digest={"sha256": "0" * 64})
        statement["subject"].append(entry)

    refused(forge.statement_edit(tmp_path / "p", edit), forge.trust, "twice")


def test_unlisted_paper(forge: Any, tmp_path: Path) -> None:
    def edit(statement: dict[str, Any]) -> None:
        gone = statement["subject"].pop(0)
        counts = statement["predicate"]["counts"]
        counts["files"] -= 1
        counts["totalBytes"] -= gone["annotations"]["bytes"]

    refused(forge.statement_edit(tmp_path / "p", edit), forge.trust, "not listed")


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"_type": "x", "_type": "y"}',
        b"9" * 1_000_000,
        b"\xff",
        b'"' + b"a" * (9 * 2**20) + b'"',
    ],
    ids=["empty", "object", "deep list", "deep object", "twice", "digits", "bytes", "huge"],
)
def test_payloads(forge: Any, tmp_path: Path, payload: bytes) -> None:
    refused(forge.payload(tmp_path / "p", payload), forge.trust)


def test_duplicate_key_in_the_statement(forge: Any, tmp_path: Path) -> None:
    text = json.dumps(forge.statement())
    doubled = text.replace('"predicateType"', '"predicateType": "x", "predicateType"', 1)
    assert json.loads(doubled) == forge.statement()
    refused(forge.payload(tmp_path / "p", doubled.encode()), forge.trust, "same key twice")


def test_statement_of_another_kind_under_the_same_key(forge: Any, tmp_path: Path) -> None:
    built = forge.statement_edit(
        tmp_path / "p", lambda statement: statement.update(predicateType="https://slsa.dev/v1")
    )
    refused(built, forge.trust, "not about a package")


def test_croissant_that_points_elsewhere(forge: Any, tmp_path: Path) -> None:
    for number, url in enumerate(("file:///etc/passwd", "http://169.254.169.254/", "../x")):
        papers = {"distribution": [{"contentUrl": url, "sha256": "0" * 64}]}
        data = {"croissant.json": json.dumps(papers).encode()}
        built = forge.files(tmp_path / str(number), data)
        with pytest.raises(IntegrityError, match="disagrees"):
            verify_package(built, forge.trust)


def test_package_without_a_cohort(forge: Any, tmp_path: Path) -> None:
    def edit(statement: dict[str, Any]) -> None:
        subject = statement["subject"]
        gone = next(entry for entry in subject if entry["name"] == "cohort.json")
        subject.remove(gone)
        counts = statement["predicate"]["counts"]
        counts["files"] -= 1
        counts["totalBytes"] -= gone["annotations"]["bytes"]

    built = forge.statement_edit(tmp_path / "p", edit)
    (built / "cohort.json").unlink()
    with pytest.raises(DataError, match=r"no cohort\.json"):
        load(built, trust=forge.trust)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"kind": "real"}, "not synthetic"),
        ({"counts": {"images": 2**40}}, None),
        ({"shards": []}, None),
        ({"shards": [{"path": "../x", "rows": 3, "bytes": 1, "sha256": "0" * 64}]}, None),
        (
            {"shards": [{"path": "data/a-00000.parquet", "rows": 3, "bytes": 1, "sha256": "0"}]},
            None,
        ),
        ({"shards": [{"path": 3}]}, None),
        ({"shards": None}, None),
        ({"image_size": [2**20, 2**20]}, "larger"),
        ({"image_size": [0, 8]}, None),
        ({"image_size": "88"}, None),
        ({"vocabulary": {"pathology": ["../../x"]}}, None),
        ({"vocabulary": {"pathology": ["benign"], "device": ["\x1b[2J"]}}, None),
        ({"vocabulary": {"image": ["x"], "pathology": ["benign"]}}, None),
        ({"vocabulary": {}}, None),
        ({"schema": "bussynth-cohort/9"}, None),
        ({"digest": 7}, None),
    ],
    ids=str,
)
def test_cohort_json(
    forge: Any, tmp_path: Path, changes: dict[str, Any], match: str | None
) -> None:
    built = forge.cohort_edit(tmp_path / "p", lambda cohort: cohort.update(changes))
    assert verify_package(built, forge.trust).verified
    with pytest.raises((DataError, IntegrityError), match=match) as caught:
        load(built, trust=forge.trust)
    assert "\x1b" not in str(caught.value)
