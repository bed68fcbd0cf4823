"""``bussynth wrap`` from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import bussynth.cli.wrap  # noqa: F401  (registers the verb)
from bussynth.cli.verb import VERBS
from bussynth.cohort import Cohort

CANARY = "ZZDOE_JANE"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(4):
        pixels = rng.integers(0, 256, (12, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{CANARY}_{number}.png")
    lines = [f"{CANARY}_{number}.png,benign" for number in range(4)]
    (tmp_path / "labels.csv").write_text("file,pathology\n" + "\n".join(lines))
    return folder


def call(*arguments: object, code: int = 0) -> dict[str, Any]:
    """Run the verb; no file name may appear anywhere."""
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command("wrap")(VERBS["wrap"][0])
    result = CliRunner().invoke(app, [*map(str, arguments), "--json", "--quiet"])
    assert result.exit_code == code, result.output
    assert CANARY not in result.output
    assert "bug in bussynth" not in result.output
    answer = json.loads(result.stdout)
    return dict(answer.get("result") or answer["error"])


def test_a_folder_becomes_a_cohort(images: Path) -> None:
    out = images.parent / "c"
    arguments = [images, "--labels", images.parent / "labels.csv", "--out", out]
    arguments += ["--image-size", 16, "--condition", "device=z"]
    dry = call(*arguments, "--dry-run")
    assert (dry["kind"], dry["images"]) == ("images", 4)
    assert not out.exists()
    made = call(*arguments)
    cohort = Cohort.open(out)
    assert made["digest"] == cohort.digest
    assert made["images"] == 4
    assert {row.conditions["device"] for row in cohort} == {"z"}
    assert {note["code"] for note in made["notes"]} >= {"synthetic-on-trust"}
    assert "exists" in call(*arguments, code=2)["message"]
    assert call(*arguments, "--force")["digest"] == cohort.digest


def test_a_table_of_the_configuration_file_is_read(images: Path) -> None:
    file = images.parent / "run.toml"
    file.write_text('[wrap]\nimage_size = 8\nconditions = { pathology = "normal" }\n')
    made = call(images, "--out", images.parent / "c", "--config", file)
    assert made["vocabulary"] == {"pathology": ["normal", "benign", "malignant"]}
    assert Cohort.open(images.parent / "c").image_size == (8, 8)


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_refusals_have_their_exit_codes_and_write_nothing(images: Path, dry: list[str]) -> None:
    root = images.parent
    before = sorted(root.rglob("*"))
    out = ["--out", root / "c", *dry]
    call(root / "absent", *out, code=2)
    call(images, "--kind", "pictures", *out, code=2)
    call(images, "-n", 3, *out, code=2)
    call(images, "--kind", "onnx", *out, code=2)
    (root / "labels.csv").write_text(f"file\n{CANARY}_0.png\n{CANARY}_0.png\n")
    error = call(images, "--labels", root / "labels.csv", *out, code=3)
    assert len(error["problems"]) == 2
    assert sorted(root.rglob("*")) == before


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(b"\x80\x04.")
    error = call(tmp_path / "model.pth", "--out", tmp_path / "c", code=3)
    assert "pickled models are not opened" in error["message"]
