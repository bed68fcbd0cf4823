"""``bussynth export`` and ``bussynth verify`` with each of the two claims."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bussynth.cli import app
from bussynth.cohort import Cohort, Row
from bussynth.cohort.cohort import LEDGER_FILE
from bussynth.generator.private_record import privacy_record
from privacy.dp.ledger import Cap, Ledger
from privacy.dp.mechanism import SampledGaussian

VOCABULARY = {"pathology": ["benign"]}


def rows(n: int, **fields: Any) -> list[Row]:
    image = np.zeros((8, 8), np.uint8)
    conditions = {"pathology": "benign"}
    return [
        Row.from_arrays(id=f"synthetic-{i:08d}", image=image, conditions=conditions, **fields)
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with patients, their ledger, a synthetic cohort that claims formal-dp, and a key."""
    root = tmp_path_factory.mktemp("site")
    hospital = Cohort.create(
        root / "hospital",
        rows(2, patient="p", split="train"),
        kind="real",
        image_size=8,
        vocabulary=VOCABULARY,
        split={"seed": 1},
    )
    ledger = Ledger.create(
        root / "hospital" / LEDGER_FILE,
        subject=hospital.digest,
        cap=Cap(epsilon=4.0, delta=0.001, patients=50),
    )
    ledger.charge(ledger.register("votes", SampledGaussian(noise_multiplier=5.0)))
    claim = json.loads(json.dumps(privacy_record(ledger, ("every image",), {})))
    record = {
        "generator": "sha256:" + "9" * 64,
        "request": {"n": 3},
        "trained_on": None,
        "privacy": claim,
    }
    Cohort.create(
        root / "synthetic",
        rows(3),
        kind="synthetic",
        image_size=8,
        vocabulary=VOCABULARY,
        provenance=record,
    )
    assert CliRunner().invoke(app.app, ["keygen", str(root / "k.key")]).exit_code == 0
    return root


def call(*arguments: object) -> Any:
    return CliRunner().invoke(app.app, [*map(str, arguments), "--quiet"])


def export(site: Path, out: Path, *arguments: object) -> Any:
    return call("export", site / "synthetic", "--key", site / "k.key", "--out", out, *arguments)


def test_a_private_cohort_from_export_to_verify(site: Path, tmp_path: Path) -> None:
    out = tmp_path / "package"
    flags = ("--claim", "formal-dp", "--ledger", site / "hospital")
    shown = export(site, out, *flags, "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert not out.exists()
    shown = export(site, out, *flags)
    assert shown.exit_code == 0, shown.output
    assert "claim  formal-dp: epsilon 0.465" in shown.output
    shown = call("verify", out, "--trust", site / "k.key.pub")
    assert shown.exit_code == 0, shown.output
    assert "for a patient of this site, with all images" in shown.output
    assert "was compared with the ledger" in shown.output
    assert "audit" not in shown.output
    shown = call("inspect", out)
    assert "claim: formal-dp" in shown.output
    assert "verdict" not in shown.output


def test_without_the_ledger_the_publisher_is_told(site: Path, tmp_path: Path) -> None:
    out = tmp_path / "package"
    shown = export(site, out, "--claim", "formal-dp", "--json")
    assert shown.exit_code == 0, shown.output
    result = json.loads(shown.stdout)["result"]
    assert (result["claim"], result["ledger_checked"]) == ("formal-dp", False)
    assert "not compared with the ledger" in shown.stderr
    shown = call("verify", out, "--trust", site / "k.key.pub")
    assert "was not compared with the ledger" in shown.output


def test_the_claim_may_be_set_in_a_file(site: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('[export]\nclaim = "formal-dp"\n')
    shown = export(site, tmp_path / "package", "--config", tmp_path / "c.toml", "--json")
    assert json.loads(shown.stdout)["result"]["claim"] == "formal-dp"


def test_what_does_not_belong_to_a_claim(site: Path, tmp_path: Path) -> None:
    out = tmp_path / "package"
    shown = export(site, out)
    assert shown.exit_code == 2
    assert "--audit" in shown.output
    assert "--claim formal-dp" in shown.output
    shown = export(site, out, "--claim", "formal-dp", "--audit", tmp_path / "audit")
    assert shown.exit_code == 2
    assert "no ledger" in shown.output
    assert export(site, out, "--claim", "anonymous").exit_code == 2
    shown = export(site, out, "--claim", "formal-dp", "--ledger", site / "synthetic")
    assert shown.exit_code == 3
    assert not out.exists()
