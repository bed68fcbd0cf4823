"""The whole road through the command line, on real parts, and what happens when it is cut."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import bussynth
from bussynth.cli import app
from bussynth.cohort import Cohort, Row

PHANTOMS = ["--patients", 440, "--image-size", 32, "--min-views", 1, "--max-views", 1]
FAST = ["--encoders", 0, "--planted", 1, "--permutations", 99, "--bootstrap", 20]
"""For audits whose verdict is FAIL or of no interest."""
QUICK = ["--permutations", 299, "--bootstrap", 100, "--dose-repeats", 1]


def call(*arguments: object, code: int = 0) -> dict[str, Any]:
    result = CliRunner().invoke(app.app, [*map(str, arguments), "--json", "--quiet"])
    assert result.exit_code == code, result.output
    answer = json.loads(result.stdout)
    assert answer["exit_code"] == code
    return dict(answer.get("result") or answer["error"])


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything from phantoms to a package."""
    folder = tmp_path_factory.mktemp("road")
    call("phantom", folder / "cohort", *PHANTOMS)
    call("split", folder / "cohort", "--control", 0.5, "--test", 0.05, "--seed", 1)
    call("train", folder / "cohort", "--out", folder / "model", "--steps", 8)
    call("generate", folder / "model", "--out", folder / "synthetic", "-n", 64, "--steps", 3)
    audit = call(
        "audit",
        folder / "synthetic",
        "--real",
        folder / "cohort",
        "--out",
        folder / "audit",
        *QUICK,
    )
    assert audit["verdict"] == "NO EVIDENCE ABOVE FLOOR"
    call("keygen", folder / "site.key")
    call(
        "export",
        folder / "synthetic",
        "--audit",
        folder / "audit",
        "--key",
        folder / "site.key",
        "--out",
        folder / "package",
    )
    return folder


def test_package_verifies_and_loads(road: Path) -> None:
    verified = call("verify", road / "package", "--trust", road / "site.key.pub")
    assert verified["images"] == 64
    assert verified["name"] == "package"
    dataset = bussynth.load(road / "package", trust=road / "site.key.pub")
    assert isinstance(dataset, torch.utils.data.Dataset)
    batch = next(iter(torch.utils.data.DataLoader(dataset, batch_size=16)))
    assert batch["image"].shape == (16, 1, 32, 32)
    assert len(dataset.to_pandas()) == 64


def test_nothing_of_a_patient_is_in_what_leaves(road: Path) -> None:
    cohort = Cohort.open(road / "cohort")
    words = {row.patient or "" for row in cohort} | {cohort.digest, cohort.digest[7:]}
    words |= {row.id for row in cohort}
    leaving = [path for path in (road / "package").rglob("*") if path.is_file()]
    leaving += [path for path in (road / "model").rglob("*") if path.is_file()]
    model_knows = {cohort.digest, cohort.digest[7:]}
    for path in leaving:
        content = path.read_bytes()
        for word in words - (model_knows if "model" in path.parts else set()):
            assert word.encode() not in content, path.name


def test_report_is_there_and_can_be_rendered_anew(road: Path) -> None:
    first = (road / "audit" / "report.html").read_text()
    call("report", road / "audit" / "report.json", code=2)
    call("report", road / "audit" / "report.json", "--out", road / "again.html")
    assert (road / "again.html").read_text() == first


def test_same_seed_same_images(road: Path, tmp_path: Path) -> None:
    call("generate", road / "model", "--out", tmp_path / "s", "-n", 8, "--steps", 3)
    again = Cohort.open(tmp_path / "s").images().astype(int)
    first = Cohort.open(road / "synthetic").images()[:8].astype(int)
    assert np.abs(again - first).max() <= 1


def test_conditions_are_kept_or_refused(road: Path, tmp_path: Path) -> None:
    base = ["generate", road / "model", "--out", tmp_path / "s", "-n", 8, "--steps", 2]
    error = call(*base, "--condition", "pathology=malignent", code=2)
    assert 'did you mean "malignant"' in " ".join(error["problems"])
    call(*base, "--condition", "pathology=normal")
    rows = list(Cohort.open(tmp_path / "s"))
    assert {row.conditions["pathology"] for row in rows} == {"normal"}
    assert all(row.lesion_box is None for row in rows)


def test_copies_fail_the_audit_and_close_the_gate(road: Path, tmp_path: Path) -> None:
    train = Cohort.open(road / "cohort").select("train")
    copies = (
        Row.from_arrays(id=f"s{i}", image=row.image[:, ::-1], conditions={})
        for i, row in enumerate(train)
        if i < 40
    )
    Cohort.create(
        tmp_path / "s", copies, kind="synthetic", image_size=32, vocabulary=train.vocabulary
    )
    arguments = ["audit", tmp_path / "s", "--real", road / "cohort", "--out", tmp_path / "a"]
    assert call(*arguments, *FAST, code=4)["verdict"] == "FAIL"
    gate = ["export", tmp_path / "s", "--key", road / "site.key", "--out", tmp_path / "p"]
    call(*gate, "--audit", tmp_path / "a", code=4)
    call(*gate, "--audit", tmp_path / "a", "--accept-inconclusive", code=4)
    call(*gate, "--audit", road / "audit", code=4)  # of other images
    call(*gate, "--audit", tmp_path / "nothing", code=4)
    assert not (tmp_path / "p").exists()


def test_an_audit_against_another_cohort_is_refused(road: Path, tmp_path: Path) -> None:
    call("phantom", tmp_path / "c", *PHANTOMS, "--seed", 9)
    call("split", tmp_path / "c", "--control", 0.5, "--test", 0)
    arguments = ["audit", road / "synthetic", "--real", tmp_path / "c", "--out", tmp_path / "a"]
    assert "another cohort" in call(*arguments, *QUICK, code=3)["message"]


def test_a_signed_package_is_not_replaced_by_a_cohort(road: Path) -> None:
    arguments = ["generate", road / "model", "--out", road / "package", "-n", 4, "--force"]
    assert "signed package" in call(*arguments, code=2)["message"]


def test_wrong_key_and_changed_byte(road: Path, tmp_path: Path) -> None:
    call("keygen", tmp_path / "other.key")
    call("verify", road / "package", "--trust", tmp_path / "other.key.pub", code=5)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images with a table and a map, as a hospital has it."""
    folder = tmp_path_factory.mktemp("scans")
    lines = ["file,person,finding"]
    for i in range(6):
        pixels = np.full((40, 50), 30 * i, np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        lines.append(f"{i}.png,P{i // 2},benign")
    (folder / "scans.csv").write_text("\n".join(lines))
    (folder / "map.toml").write_text(
        '[image]\npath = "{file}"\n[patient]\ncolumn = "person"\n'
        '[conditions.pathology]\ncolumn = "finding"\nvalues = { benign = "benign" }\n'
        '[conditions.device]\nconstant = "d"\n'
    )
    return folder


def ingest_of(scans: Path, out: Path) -> list[object]:
    papers = ["--table", scans / "scans.csv", "--map", scans / "map.toml"]
    return [scans, out, *papers, "--site-key", scans / "site.key", "--image-size", 16]


def test_ingest(scans: Path, tmp_path: Path) -> None:
    call("ingest", *ingest_of(scans, tmp_path / "c"), "--dry-run")
    assert list(tmp_path.iterdir()) == []
    assert call("ingest", *ingest_of(scans, tmp_path / "c"))["patients"] == 3
    assert Cohort.open(tmp_path / "c").images().shape == (6, 16, 16)


@pytest.mark.parametrize("verb", ["phantom", "ingest", "generate", "audit", "export"])
def test_kill_just_before_the_end_leaves_nothing(
    verb: str, road: Path, scans: Path, tmp_path: Path
) -> None:
    """The last moment at which a half-written output could be taken for whole."""
    out = tmp_path / "out"
    arguments = {
        "phantom": [out, "--patients", 20, "--image-size", 16],
        "ingest": ingest_of(scans, out),
        "generate": [road / "model", "--out", out, "-n", 4, "--steps", 2],
        "audit": [road / "synthetic", "--real", road / "cohort", "--out", out, *FAST],
        "export": [
            *(road / "synthetic", "--audit", road / "audit"),
            *("--key", road / "site.key", "--out", out),
        ],
    }[verb]
    program = (
        "import os, signal, sys\n"
        "from bussynth import atomic\n"
        "atomic._replace_directory = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from bussynth.cli import app\n"
        "app.app(sys.argv[1:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, verb, *map(str, arguments)],
        stderr=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    assert all(path.name.startswith(".out.") for path in tmp_path.iterdir())
