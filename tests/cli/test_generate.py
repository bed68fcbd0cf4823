"""``bussynth generate`` from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from bussynth.cli import generate
from bussynth.cli.verb import VERBS
from bussynth.cohort import Cohort
from bussynth.errors import UsageError
from bussynth.generator.config import GenerateConfig

VERB = typer.Typer()
VERB.command()(VERBS["generate"][0])


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    from bussynth.cohort.phantom.cohort import write_phantom_cohort
    from bussynth.cohort.phantom.config import PhantomConfig
    from bussynth.cohort.split import split_cohort
    from bussynth.cohort.split_config import SplitConfig

    folder = tmp_path_factory.mktemp("cohorts") / "c"
    write_phantom_cohort(folder, PhantomConfig(patients=30, image_size=16))
    return split_cohort(folder, SplitConfig(seed=1)).cohort


@pytest.fixture(scope="module")
def model(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from bussynth.config import RunOptions
    from bussynth.generator.config import TrainConfig
    from bussynth.generator.generator import Generator

    folder = tmp_path_factory.mktemp("models") / "m"
    config = TrainConfig(preset="tiny-32", steps=1, batch_size=4)
    Generator.train(cohort, folder, config, options=RunOptions(device="cpu"))
    return folder


def call(model: Path, out: Path, *arguments: object) -> Any:
    line = [model, "--out", out, "-n", 4, "--steps", 1, "--device", "cpu", *arguments]
    return CliRunner().invoke(VERB, [str(argument) for argument in line])


def test_help_names_the_example() -> None:
    assert "Example: bussynth generate" in (generate.generate.__doc__ or "")


@pytest.mark.parametrize("text", ["1,2,9,9", " [1, 2, 9.0, 9] ", "(1,2,9,9)"])
def test_a_lesion_box_by_flag(model: Path, tmp_path: Path, text: str) -> None:
    flags = ["--condition", f"lesion_box={text}", "--condition", "pathology=benign"]
    done = call(model, tmp_path / "out", *flags)
    assert done.exit_code == 0, done.output
    made = Cohort.open(tmp_path / "out")
    assert {row.lesion_box for row in made} == {(1.0, 2.0, 9.0, 9.0)}
    assert made.provenance["request"]["conditions"]["lesion_box"] == [1, 2, 9, 9]


@pytest.mark.parametrize("text", ["1,2,9", "1,2,9,9,9", "a,b,c,d", "", "[1,2,9,9", "1;2;9;9"])
def test_other_boxes_are_refused(model: Path, tmp_path: Path, text: str) -> None:
    done = call(model, tmp_path / "out", "--condition", f"lesion_box={text}", "--dry-run")
    assert done.exit_code == 2
    assert "lesion_box must be four numbers with commas between" in done.stderr
    outside = call(model, tmp_path / "out", "--condition", "lesion_box=nan,2,9,9", "--dry-run")
    assert outside.exit_code == 2
    assert "four finite numbers" in outside.stderr


def test_a_condition_given_twice_is_refused(model: Path, tmp_path: Path) -> None:
    flags = ["--condition", "pathology=benign", "--condition", "pathology=malignant"]
    done = call(model, tmp_path / "out", *flags, "--dry-run")
    assert done.exit_code == 2
    assert "--condition pathology: give it once" in done.stderr


def test_a_box_in_python_stays_as_it_is() -> None:
    box = (1, 2, 9, 9)
    assert GenerateConfig(conditions={"lesion_box": box}).conditions["lesion_box"] is box
    assert GenerateConfig(conditions={"lesion_box": None}).conditions["lesion_box"] is None
    with pytest.raises(UsageError):
        GenerateConfig(conditions={"lesion_box": "x"})


def test_a_dry_run_checks_guards_like_the_run(model: Path, cohort: Cohort, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for flags, code, text in (
        (["--guard", "rejection"], 2, "name the cohort"),
        (["--guard", "rejection", "--real", cohort.path, "--workers", 2], 2, "leave workers at 1"),
        (["--guard", "cpsample", "--real", tmp_path / "none"], 3, "none"),
        (["--real", cohort.path], 2, "only read by a guard, and none is asked for"),
    ):
        dry, real = call(model, out, *flags, "--dry-run"), call(model, out, *flags)
        assert (dry.exit_code, real.exit_code) == (code, code)
        assert text in dry.stderr
        assert text in real.stderr
    assert call(model, out, "--guard", "both", "--real", cohort.path, "--dry-run").exit_code == 0
    assert not list(tmp_path.iterdir())


def test_notes_of_a_guard_reach_the_terminal(model: Path, cohort: Cohort, tmp_path: Path) -> None:
    flags = ["--guard", "rejection", "--real", cohort.path, "--json"]
    done = call(model, tmp_path / "out", *flags)
    assert done.exit_code == 0, done.output
    guard = json.loads(done.stdout)["result"]["guard"]
    assert guard["expected_rejections"] > guard["alpha"]
    assert "too few control images for a share of 0.01" in done.stderr
    assert "formal-dp claim is void" in done.stderr
