"""``bussynth card`` from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from bussynth.cli import card
from bussynth.cli.verb import VERBS
from bussynth.cohort.phantom.cohort import write_phantom_cohort
from bussynth.cohort.phantom.config import PhantomConfig
from bussynth.cohort.split import split_cohort
from bussynth.cohort.split_config import SplitConfig

VERB = typer.Typer()
VERB.command()(VERBS["card"][0])


def call(*arguments: object) -> Any:
    return CliRunner().invoke(VERB, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from bussynth.config import RunOptions
    from bussynth.generator.config import TrainConfig
    from bussynth.generator.generator import Generator

    root = tmp_path_factory.mktemp("card")
    write_phantom_cohort(root / "c", PhantomConfig(patients=12, image_size=16))
    cohort = split_cohort(root / "c", SplitConfig(seed=1)).cohort
    config = TrainConfig(preset="tiny-32", steps=2, batch_size=2)
    Generator.train(cohort, root / "model", config, options=RunOptions(device="cpu"))
    return root / "model"


def test_help_names_the_example() -> None:
    assert "Example: bussynth card" in (card.card.__doc__ or "")


def test_dry_run_and_run(tmp_path: Path, model: Path) -> None:
    out = tmp_path / "card"
    dry = call(model, "--out", out, "--dry-run", "--json")
    assert dry.exit_code == 0, dry.output
    assert list(tmp_path.iterdir()) == []
    done = call(model, "--out", out, "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)["result"]
    assert result == json.loads(dry.stdout)["result"]
    assert sorted(result["files"]) == sorted(path.name for path in out.iterdir())
    assert result["audit"] is None
    assert "No licence is stated" in done.stderr
    assert call(model, "--out", out).exit_code == 2
    again = call(model, "--out", out, "--force")
    assert again.exit_code == 0, again.output
    assert "not measured: evaluation, audit" in again.stdout


def test_refusals(tmp_path: Path, model: Path) -> None:
    about = tmp_path / "about.toml"
    about.write_text('licence = "MIT"\n')
    wrong = call(model, "--out", tmp_path / "card", "--about", about)
    assert wrong.exit_code == 2
    assert 'did you mean "license"?' in wrong.stderr
    for paper in ("--evaluation", "--audit", "--samples"):
        result = call(model, "--out", tmp_path / "card", paper, tmp_path / "no")
        assert result.exit_code == 3, result.output
        assert "bug" not in result.stderr
    assert call(tmp_path / "no", "--out", tmp_path / "card").exit_code == 3
    assert call("builtin:no-such", "--out", tmp_path / "card").exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["about.toml"]
