"""From patients to a package with the claim formal-dp, by both roads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bussynth.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.errors import DataError
from bussynth.generator.config import AdaptConfig, GenerateConfig
from bussynth.generator.evolution import evolve_cohort
from bussynth.generator.evolution_config import EvolveConfig
from bussynth.generator.generate import generate_cohort
from bussynth.generator.generator import Generator
from bussynth.generator.private_plan import open_ledger
from bussynth.package import ExportConfig, export_package, generate_key, load, verify_package

CPU = RunOptions(device="cpu")
FORMAL = ExportConfig(name="demo-dp", claim="formal-dp")
BUDGET: dict[str, Any] = {"dp_epsilon": 6.0, "dp_patients": 20, "dp_cap": 40.0}


@pytest.fixture
def hospital(site: Cohort, tmp_path: Path) -> Cohort:
    return Cohort.open(shutil.copytree(site.path, tmp_path / "hospital"))


def packed(made: Cohort, hospital: Cohort, root: Path) -> float:
    """Export, verify, load; nothing of the hospital is in the package."""
    public = generate_key(root / "k.key")
    out = root / "package"
    info = export_package(made.path, None, root / "k.key", out, config=FORMAL, ledger=hospital.path)
    assert verify_package(out, public) == info
    data = load(out, trust=public, framework="numpy")
    assert len(data) == len(made)
    text = "".join(
        file.read_text(errors="replace") for file in out.rglob("*.*") if file.suffix != ".parquet"
    )
    for word in (hospital.digest, "matrix", str(root)):
        assert word not in text
    return info.epsilon or 0.0


def test_an_evolved_cohort(hospital: Cohort, model_folder: Path, tmp_path: Path) -> None:
    config = EvolveConfig(base=str(model_folder), n=10, rounds=2, candidates=9, steps=2, **BUDGET)
    made = evolve_cohort(hospital, tmp_path / "s", config, options=CPU)
    assert packed(made, hospital, tmp_path) == open_ledger(hospital).spent().epsilon


def test_a_cohort_of_a_private_adapter(
    hospital: Cohort, model_folder: Path, tmp_path: Path
) -> None:
    config = AdaptConfig(
        base=str(model_folder), rank=1, dp_batch=5, steps=2, images_per_patient=1,
        noise_multiplicity=1, **BUDGET,
    )  # fmt: skip
    Generator.adapt(hospital, tmp_path / "a", config, options=CPU)
    model = Generator.load(tmp_path / "a", "cpu", base=model_folder)
    made = generate_cohort(model, tmp_path / "s", GenerateConfig(n=4, steps=2))
    assert packed(made, hospital, tmp_path) == open_ledger(hospital).spent().epsilon


def test_a_cohort_of_a_model_without_privacy(
    generator: Generator, hospital: Cohort, tmp_path: Path
) -> None:
    made = generate_cohort(generator, tmp_path / "s", GenerateConfig(n=3, steps=2))
    assert "privacy" not in json.loads((made.path / "cohort.json").read_text())["provenance"]
    generate_key(tmp_path / "k.key")
    with pytest.raises(DataError, match="no claim formal-dp") as caught:
        export_package(made.path, None, tmp_path / "k.key", tmp_path / "p", config=FORMAL)
    assert "names the cohort that it learned from" in str(caught.value)
    assert not (tmp_path / "p").exists()
