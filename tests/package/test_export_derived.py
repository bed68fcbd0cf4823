"""Images derived from real ones: refused, and what a declaration lifts and does not lift."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bussynth.cohort import Cohort
from bussynth.errors import AuditGateError, DataError, UsageError
from bussynth.package import ExportConfig, export_package, load, verify_package
from bussynth.package.info import PackageWarning
from bussynth.package.marking import DERIVED_SOURCE_TYPE, is_marked

SOURCE = "sha256:" + "a" * 64
WORDS = "All patients consented to the release of altered images."
DECLARED = ExportConfig(name="altered", declare_derived=WORDS)


def derive(site: Any, path: Path, *, split: str = "train", kind: str = "real") -> Cohort:
    return Cohort.create(
        path,
        [
            replace(row, patient=f"ZZCANARY-PATIENT-{number}", split=split)
            for number, row in enumerate(site.cohort)
        ],
        kind=kind,
        image_size=site.cohort.image_size,
        vocabulary=site.cohort.vocabulary,
        masks=True,
        split={"method": "kept from the source"},
        provenance={"derived": {"by": "restyle", "source": SOURCE}},
    )


def audited(new_audit: Callable[..., Path], folder: Path, cohort: Cohort, **changes: Any) -> Path:
    inputs = {
        "synthetic": {"digest": cohort.digest, "images": len(cohort)},
        "train": {"digest": changes.pop("train", SOURCE), "images": 9},
    }
    return new_audit(folder, cohort, inputs=inputs, **changes)


@pytest.fixture
def derived(site: Any, tmp_path: Path) -> Cohort:
    return derive(site, tmp_path / "c")


@pytest.fixture
def declared(site: Any, derived: Cohort, new_audit: Callable[..., Path], tmp_path: Path) -> Path:
    audit = audited(new_audit, tmp_path / "a", derived)
    export_package(derived.path, audit, site.key, tmp_path / "p", config=DECLARED)
    return tmp_path / "p"


def test_refused_and_told_why(
    site: Any, derived: Cohort, new_audit: Callable[..., Path], tmp_path: Path
) -> None:
    audit = audited(new_audit, tmp_path / "a", derived)
    arguments = (derived.path, audit, site.key, tmp_path / "p")
    with pytest.raises(DataError, match=r"personal data.*--declare-derived") as caught:
        export_package(*arguments, config=ExportConfig(name="altered"))
    assert "ZZCANARY" not in str(caught.value)
    assert not (tmp_path / "p").exists()


def test_the_declaration_is_recorded_everywhere(site: Any, declared: Path) -> None:
    for name in ("README.md", "croissant.json", "reports/audit.json", "cohort.json"):
        assert WORDS in (declared / name).read_text(), name
    info = verify_package(declared, site.trust)
    assert info.manifest.derived == info.to_dict()["derived_from_real"] == WORDS
    assert any(WORDS in text for text in info.warnings)
    assert (Cohort.open(declared).derived or {})["declaration"] == WORDS
    with pytest.warns(PackageWarning, match="DERIVED FROM REAL"):
        data = load(declared, trust=site.trust, framework="numpy")
    assert "images derived from real" in repr(data)


def test_nothing_calls_the_images_synthetic(declared: Path) -> None:
    card = (declared / "README.md").read_text()
    assert "These images were derived from real examinations" in card
    for text in ("images are synthetic", "marked as synthetic", "Synthetic breast-ultrasound"):
        assert text not in card
    papers = json.loads((declared / "croissant.json").read_text())
    assert papers["digitalSourceType"] == DERIVED_SOURCE_TYPE
    assert "ynthetic" not in json.dumps(papers)
    for row in Cohort.open(declared):
        assert is_marked(row.png, DERIVED_SOURCE_TYPE)
        assert row.mask_png is None or is_marked(row.mask_png, DERIVED_SOURCE_TYPE)


def test_no_patient_leaves(declared: Path, derived: Cohort) -> None:
    for row in Cohort.open(declared):
        assert (row.patient, row.split) == (None, None)
    for file in declared.rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            for word in (b"ZZCANARY", b"source-", SOURCE[7:].encode(), derived.digest.encode()):
                assert word not in data, (file.name, word)


@pytest.mark.parametrize("verdict", ["FAIL", "INCONCLUSIVE"])
def test_the_declaration_lifts_no_audit(
    site: Any, derived: Cohort, new_audit: Callable[..., Path], tmp_path: Path, verdict: str
) -> None:
    audit = audited(
        new_audit, tmp_path / "a", derived, verdict=verdict, reasons=["Found 2 copies."]
    )
    with pytest.raises(AuditGateError, match="Found 2 copies"):
        export_package(derived.path, audit, site.key, tmp_path / "p", config=DECLARED)
    with pytest.raises(AuditGateError, match="There is no audit"):
        export_package(derived.path, tmp_path / "no", site.key, tmp_path / "p", config=DECLARED)


def test_the_audit_must_compare_with_the_sources(
    site: Any, derived: Cohort, new_audit: Callable[..., Path], tmp_path: Path
) -> None:
    audit = audited(new_audit, tmp_path / "a", derived, train="sha256:" + "b" * 64)
    with pytest.raises(AuditGateError, match="derived from"):
        export_package(derived.path, audit, site.key, tmp_path / "p", config=DECLARED)


@pytest.mark.parametrize("split", ["control", "test"])
def test_images_that_no_audit_examines_do_not_leave(
    site: Any, new_audit: Callable[..., Path], tmp_path: Path, split: str
) -> None:
    cohort = derive(site, tmp_path / "c", split=split)
    audit = audited(new_audit, tmp_path / "a", cohort)
    with pytest.raises(DataError, match="--split train"):
        export_package(cohort.path, audit, site.key, tmp_path / "p", config=DECLARED)


def test_a_declaration_makes_nothing_else_exportable(
    site: Any, new_audit: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="leave --declare-derived out"):
        export_package(site.cohort.path, site.audit, site.key, tmp_path / "p", config=DECLARED)
    real = Cohort.create(
        tmp_path / "real",
        [replace(row, patient="p", split="train") for row in site.cohort],
        kind="real",
        image_size=site.cohort.image_size,
        vocabulary=site.cohort.vocabulary,
        masks=True,
    )
    audit = audited(new_audit, tmp_path / "a-real", real)
    with pytest.raises(DataError, match="is a real cohort; only synthetic"):
        export_package(real.path, audit, site.key, tmp_path / "p", config=DECLARED)


@pytest.mark.parametrize("config", [ExportConfig(name="altered"), DECLARED])
def test_derived_phantoms_are_told_what_they_are(
    site: Any, new_audit: Callable[..., Path], tmp_path: Path, config: ExportConfig
) -> None:
    phantom = derive(site, tmp_path / "phantom", kind="phantom")
    audit = audited(new_audit, tmp_path / "a", phantom)
    with pytest.raises(DataError, match="shows no patient, so there is nothing to declare"):
        export_package(phantom.path, audit, site.key, tmp_path / "p", config=config)
    assert not (tmp_path / "p").exists()


def test_a_package_is_not_exported_again(
    site: Any, declared: Path, new_audit: Callable[..., Path], tmp_path: Path
) -> None:
    audit = audited(new_audit, tmp_path / "again", Cohort.open(declared))
    for config in (ExportConfig(name="altered"), DECLARED):
        with pytest.raises(DataError, match="derived"):
            export_package(declared, audit, site.key, tmp_path / "q", config=config)
