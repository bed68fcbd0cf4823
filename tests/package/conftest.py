"""A small audited synthetic cohort, a key pair and the package made of them."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bussynth.cohort import Cohort, Row
from bussynth.package import ExportConfig, PublicKey, export_package, generate_key

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
