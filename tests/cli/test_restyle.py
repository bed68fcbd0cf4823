"""``bussynth restyle`` from outside."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from bussynth.cli import app as application
from bussynth.cli import restyle
from bussynth.cli.verb import VERBS
from bussynth.cohort import Cohort

VERB = typer.Typer()
VERB.command()(VERBS["restyle"][0])


class Copier:
    """A model that changes nothing."""

    digest = trained_on = "sha256:" + "5" * 64
    image_size = (16, 16)
    vocabulary: dict[str, list[str]]

    def restyle(self, images: Any, *_: Any, **__: Any) -> Any:
        return images


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A split cohort of phantoms and a model that knows their devices."""
    from bussynth.cohort.phantom.cohort import write_phantom_cohort
    from bussynth.cohort.phantom.config import PhantomConfig
    from bussynth.cohort.split import split_cohort
    from bussynth.cohort.split_config import SplitConfig
    from bussynth.generator.generator import Generator

    write_phantom_cohort(tmp_path / "c", PhantomConfig(patients=12, image_size=16))
    cohort = split_cohort(tmp_path / "c", SplitConfig(seed=1)).cohort
    model = Copier()
    model.vocabulary = {key: list(words) for key, words in cohort.vocabulary.items()}
    monkeypatch.setattr(Generator, "load", lambda *_: model)
    return SimpleNamespace(
        root=tmp_path, cohort=cohort, out=tmp_path / "out", devices=cohort.vocabulary["device"]
    )


def call(world: SimpleNamespace, *arguments: object, cohort: Path | None = None) -> Any:
    line = [cohort or world.cohort.path, "--model", "m", "--out", world.out, *arguments]
    return CliRunner().invoke(VERB, [str(argument) for argument in line])


def test_help_names_the_example() -> None:
    assert "Example: bussynth restyle" in (restyle.restyle.__doc__ or "")
    assert application.app is not None


def test_dry_run_and_run(world: SimpleNamespace) -> None:
    device = world.devices[0]
    dry = call(world, "--to-device", device, "--dry-run", "--json")
    assert dry.exit_code == 0, dry.output
    assert not world.out.exists()
    done = call(world, "--to-device", device, "--split", "train", "--strength", 0.4, "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)["result"]
    made = Cohort.open(world.out)
    assert result["digest"] == made.digest
    assert result["derived"]["source"] == world.cohort.digest
    assert result["images"] == len(made) <= json.loads(dry.stdout)["result"]["images"]
    assert set(result["splits"]) == {"train"}
    assert "personal data" not in done.stderr  # of phantoms
    assert call(world, "--to-device", device).exit_code == 2
    assert call(world, "--to-device", device, "--force").exit_code == 0


def test_several_devices(world: SimpleNamespace) -> None:
    flags = [word for device in world.devices[:2] for word in ("--to-device", device)]
    assert call(world, *flags, "--include-own").exit_code == 0
    assert len(Cohort.open(world.out)) == 2 * len(world.cohort)


def test_images_of_patients_are_called_personal_data(world: SimpleNamespace) -> None:
    Cohort.create(
        world.root / "real",
        world.cohort,
        kind="real",
        image_size=16,
        vocabulary=world.cohort.vocabulary,
        masks=world.cohort.has_masks,
    )
    done = call(world, "--to-device", world.devices[0], cohort=world.root / "real")
    assert done.exit_code == 0, done.output
    assert "personal data" in done.stderr


def test_refusals(world: SimpleNamespace) -> None:
    wrong = call(world, "--to-device", world.devices[0] + "x")
    assert wrong.exit_code == 2
    assert f'did you mean "{world.devices[0]}"?' in wrong.stderr
    assert call(world).exit_code == 2
    assert call(world, "--to-device", world.devices[0], "--strength", 2).exit_code == 2
    assert call(world, "--to-device", "x", cohort=world.root / "no").exit_code == 3
    assert not world.out.exists()
