"""A small audited synthetic cohort, a key pair and the package made of them."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bussynth.cohort import Cohort, Row
from bussynth.cohort.cohort import LEDGER_FILE
from bussynth.generator.private_record import privacy_record
from bussynth.package import ExportConfig, PublicKey, export_package, generate_key
from privacy.dp.ledger import Cap, Ledger
from privacy.dp.mechanism import SampledGaussian

VOCABULARY = {
    "pathology": ["normal", "benign", "malignant"],
    "device": ["alpha", "=beta"],
    "birads": ["2", "4"],
}


def make_cohort(path: Path, *, n: int = 6, size: tuple[int, int] = (16, 20), **options: Any):
    rng = np.random.default_rng(n)
    rows = []
    for i in range(n):
        pathology = VOCABULARY["pathology"][i % 3]
        lesion = pathology != "normal"
        mask = np.zeros(size, bool)
        mask[4:9, 3:12] = True
        rows.append(
            Row.from_arrays(
                id=f"source-{i}",
                image=rng.integers(0, 256, size, dtype=np.uint8),
                mask=mask if lesion else None,
                conditions={
                    "pathology": pathology,
                    "device": None if i == 1 else VOCABULARY["device"][i % 2],
                    "birads": "4" if lesion else None,
                },
                lesion_box=(3.0, 4.0, 12.0, 9.0) if lesion else None,
            )
        )
    settings: dict[str, Any] = {
        "kind": "synthetic",
        "image_size": size,
        "vocabulary": VOCABULARY,
        "masks": True,
        "provenance": {"seed": "ZZCANARY-SEED"},
    }
    return Cohort.create(path, rows, **(settings | options))


def make_audit(folder: Path, cohort: Cohort, **changes: Any) -> Path:
    report = {
        "schema": "bussynth-audit/2",
        "verdict": "NO EVIDENCE ABOVE FLOOR",
        "reasons": ["No copies above the detection floor of 0.93."],
        "inputs": {
            "synthetic": {"digest": cohort.digest, "images": len(cohort)},
            "train": {"digest": "sha256:" + "1" * 64, "images": 900, "name": "ZZCANARY-TRAIN"},
            "control": {"digest": "sha256:" + "2" * 64, "images": 300},
        },
        "aggregate": {"copies": {"count": 0, "recall": 0.991, "interval": [0.97, 1.0]}},
        "gallery": ["ZZCANARY-GALLERY"],
    }
    folder.mkdir(parents=True)
    data = json.dumps(report | changes).encode()
    (folder / "report.json").write_bytes(data)
    (folder / "report.sha256").write_text(hashlib.sha256(data).hexdigest() + "  report.json\n")
    return folder


@dataclass
class Site:
    """What a hospital holds before an export, and the package it made."""

    cohort: Cohort
    audit: Path
    key: Path
    public: PublicKey
    package: Path

    @property
    def trust(self) -> Path:
        assert self.public.path is not None
        return self.public.path


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    root = tmp_path_factory.mktemp("site")
    cohort = make_cohort(root / "cohort")
    audit = make_audit(root / "audit", cohort)
    public = generate_key(root / "hospital.key")
    export_package(
        root / "cohort",
        audit,
        root / "hospital.key",
        root / "package",
        config=ExportConfig(name="demo-bus", publisher="Example Hospital"),
    )
    return Site(cohort, audit, root / "hospital.key", public, root / "package")


@pytest.fixture
def package(site: Site, tmp_path: Path) -> Path:
    """A copy of the package that a test may harm."""
    return Path(shutil.copytree(site.package, tmp_path / "package"))


@pytest.fixture
def new_cohort() -> Callable[..., Cohort]:
    return make_cohort


@pytest.fixture
def new_audit() -> Callable[..., Path]:
    return make_audit


@dataclass
class PrivateSite:
    """A hospital with a ledger, and a synthetic cohort whose record claims formal-dp.

    Attributes:
        hospital: The patients; the ledger lies in the folder.
        ledger: With one plan of two mechanisms, begun.
        claim: What the ledger lets a record claim.
        cohort: As ``bussynth generate`` leaves it.
        package: Exported with the claim, without a look at the ledger.
    """

    hospital: Cohort
    ledger: Ledger
    claim: dict[str, Any]
    cohort: Cohort
    key: Path
    public: PublicKey
    package: Path

    @property
    def trust(self) -> Path:
        assert self.public.path is not None
        return self.public.path


GENERATOR = "sha256:" + "9" * 64
RECORD: dict[str, Any] = {
    "generator": GENERATOR,
    "sampler": "bussynth-sampler/1",
    "request": {"n": 6, "seed": 4711, "steps": 2, "conditions": {}},
    "trained_on": None,
}


def make_hospital(path: Path) -> tuple[Cohort, Ledger]:
    patients = [
        replace(row, id=f"r{i}", patient=f"p{i}", split="train")
        for i, row in enumerate(make_cohort(path.with_name(f"{path.name}-source")))
    ]
    options = {"kind": "real", "masks": True, "vocabulary": VOCABULARY, "image_size": (16, 20)}
    cohort = Cohort.create(path, patients, split={"seed": 1}, **options)
    ledger = Ledger.create(
        path / LEDGER_FILE,
        subject=cohort.digest,
        cap=Cap(epsilon=8.0, delta=0.001, patients=50),
    )
    counts = SampledGaussian(noise_multiplier=8.0)
    steps = SampledGaussian(noise_multiplier=2.0, sampling_rate=0.2, steps=5)
    public = {"run": "0" * 32, "clip_norm": 1.0}
    plan = [("counts of conditions", counts, public), ("training of the generator", steps, public)]
    for identity in ledger.register_plan(plan):
        ledger.charge(identity)
    return cohort, ledger


def make_private(path: Path, claim: dict[str, Any] | None, **changes: Any) -> Cohort:
    """A cohort as ``bussynth generate`` writes it; ``changes`` are of its provenance."""
    rows = [
        replace(row, id=f"synthetic-{i:08d}", mask_png=None)
        for i, row in enumerate(make_cohort(path.with_name(f"{path.name}-source")))
    ]
    record = RECORD | ({} if claim is None else {"privacy": claim}) | changes
    return Cohort.create(
        path,
        rows,
        kind="synthetic",
        image_size=(16, 20),
        vocabulary=VOCABULARY,
        provenance=record,
    )


@pytest.fixture(scope="session")
def private_site(tmp_path_factory: pytest.TempPathFactory) -> PrivateSite:
    root = tmp_path_factory.mktemp("private")
    hospital, ledger = make_hospital(root / "hospital")
    base = {"base": "sha256:" + "8" * 64}
    claim = privacy_record(ledger, ("every image that is generated",), base)
    claim = json.loads(json.dumps(claim))
    cohort = make_private(root / "cohort", claim)
    public = generate_key(root / "hospital.key")
    export_package(
        cohort.path,
        None,
        root / "hospital.key",
        root / "package",
        config=ExportConfig(name="demo-dp", publisher="Example Hospital", claim="formal-dp"),
    )
    return PrivateSite(
        hospital, ledger, claim, cohort, root / "hospital.key", public, root / "package"
    )


@pytest.fixture
def claim(private_site: PrivateSite) -> dict[str, Any]:
    """A claim that a test may change."""
    return copy.deepcopy(private_site.claim)


@pytest.fixture
def private_package(private_site: PrivateSite, tmp_path: Path) -> Path:
    """A copy of the package with the claim formal-dp that a test may harm."""
    return Path(shutil.copytree(private_site.package, tmp_path / "package"))


@pytest.fixture
def new_hospital() -> Callable[..., tuple[Cohort, Ledger]]:
    return make_hospital


@pytest.fixture
def new_private() -> Callable[..., Cohort]:
    return make_private
