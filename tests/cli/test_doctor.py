"""``bussynth doctor``: what it finds in an installation and in a network, whole and broken."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from torch import Tensor, nn
from typer.testing import CliRunner

from bussynth import builtin
from bussynth.cli import doctor
from bussynth.cli.verb import VERBS
from bussynth.doctor import accelerator, bases, installed, machine, place, private
from bussynth.doctor.config import DoctorConfig
from bussynth.doctor.finding import Finding, exit_code, table
from bussynth.doctor.versions import Requirement, requirement, satisfies
from bussynth.errors import UsageError
from bussynth.generator.base import Base, open_base
from bussynth.generator.config import AdaptConfig, TrainConfig
from bussynth.generator.diffusion import Denoiser
from privacy.dp import clipping

VERB = typer.Typer()
VERB.command()(VERBS["doctor"][0])
SMALL = ["--preset", "tiny-32", "--images-per-patient", "1", "--noise-multiplicity", "2"]
TINY = DoctorConfig(preset="tiny-32", images_per_patient=1, noise_multiplicity=2)


def call(*arguments: object) -> Any:
    return CliRunner().invoke(VERB, [str(argument) for argument in arguments])


def states(findings: list[Finding]) -> dict[str, str]:
    return {one.name: one.state for one in findings}


def test_an_installation_is_looked_at(tmp_path: Path) -> None:
    assert "Example: bussynth doctor" in (doctor.doctor.__doc__ or "")
    found = call(tmp_path / "new" / "folder", "--json")
    assert found.exit_code == 0, found.output
    result = json.loads(found.stdout)["result"]
    assert result["private_training"] is None
    rows = {row["name"]: row for row in result["environment"]}
    assert {"Python", "platform", "cores", "memory", "core", "full", "dask", "onnx",
            "accelerator", "place", *builtin.builtin_names()} <= set(rows)  # fmt: skip
    assert all(row["state"] != "problem" for row in rows.values())
    assert rows["full"]["data"]["versions"]["torch"] == torch.__version__
    assert rows["place"]["data"]["folder"] == str(tmp_path)
    assert list(tmp_path.iterdir()) == []
    lines = call(tmp_path).stdout.splitlines()
    assert [line.split()[0] for line in lines] == [row["state"] for row in rows.values()]


def test_settings_of_a_network_need_dp() -> None:
    refused = call("--preset", "tiny-32")
    assert refused.exit_code == 2
    assert "add --dp" in refused.stderr


def test_a_private_training_from_scratch() -> None:
    found = call("--dp", *SMALL, "--json")
    assert found.exit_code == 0, found.output
    rows = {row["name"]: row for row in json.loads(found.stdout)["result"]["private_training"]}
    assert list(rows) == [
        "network", "base", "layers", "nothing is kept", "rows alone", "others", "reach",
        "clipping", "noise", "accounting", "random source",
    ]  # fmt: skip
    assert {row["state"] for row in rows.values()} == {"ok"}
    assert rows["rows alone"]["data"]["float64"] < 1e-12
    assert rows["network"]["data"]["trained"] == rows["network"]["data"]["parameters"]
    assert all(row["seconds"] is not None for name, row in rows.items() if name not in
               {"network", "base"})  # fmt: skip


class Faulty(nn.Module):
    """A part of the network with every kind of fault."""

    def __init__(self, inside: nn.Module, width: int) -> None:
        super().__init__()
        self.inside, self.width = inside, width
        self.norm, self.drop = nn.BatchNorm1d(width), nn.Dropout(0.2)
        self.other = nn.Linear(width, width)
        self.other.weight = nn.Parameter(inside[1].weight.data)  # type: ignore[index]
        self.spare = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.drop(self.norm(self.inside(x))))


def test_all_faults_of_a_network_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    built = private.build

    def faulty(design: Any) -> Denoiser:
        denoiser = built(design)
        unet = denoiser.network
        unet.mix = Faulty(unet.mix, unet.mix[1].out_features)  # type: ignore
        return denoiser

    monkeypatch.setattr(private, "build", faulty)
    monkeypatch.setattr(clipping, "gaussian", lambda n: torch.zeros(n, dtype=torch.float64))
    found = private.look_at_private_training(TINY, "cpu")
    said = {one.name: " ".join(one.details) for one in found}
    for word in ("BatchNorm1d mixes", "Dropout draws", "shares memory"):
        assert word in said["layers"]
    assert "running_mean: computing a patient changes it" in said["nothing is kept"]
    assert "torch: computing a patient draws" in said["nothing is kept"]
    assert "rows are mixed" in said["rows alone"]
    assert "when computed again" in said["others"]
    assert "spare: no patient moves it" in said["reach"]
    assert "the deviation is 0.0" in said["noise"]
    assert states(found)["accounting"] == states(found)["random source"] == "ok"
    assert exit_code(found) == 2
    assert "problem  layers" in table(found)


def test_nothing_to_train_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    built = private.build
    monkeypatch.setattr(private, "build", lambda design: built(design).requires_grad_(False))
    found = private.look_at_private_training(TINY, "cpu")
    assert [one.name for one in found] == [
        "network", "base", "layers", "accounting", "random source",
    ]  # fmt: skip
    assert "no parameter is trainable" in found[2].details[0]


def test_the_network_is_that_of_train_and_adapt() -> None:
    device = torch.device("cpu")
    adapter = private._design(DoctorConfig(), device)
    assert isinstance(adapter.config, AdaptConfig)
    assert adapter.config.targets == ("means", "biases")
    assert adapter.base is not None
    assert dict(adapter.vocabulary) == dict(adapter.base.model.vocabulary)
    named = DoctorConfig(targets=("means",), rank=2, dp_values={"device": ("x",)})
    other = private._design(named, device)
    assert other.trained < adapter.trained
    assert other.vocabulary["device"] == ("x",)
    whole = private._design(DoctorConfig(preset="auto", base="builtin:phantom-64"), device)
    assert isinstance(whole.config, TrainConfig)
    assert whole.trained == whole.parameters == adapter.parameters
    with pytest.raises(UsageError, match="another network"):
        private._design(DoctorConfig(preset="tiny-32", base="builtin:phantom-64"), device)


def test_a_network_that_cannot_be_made_is_a_problem(tmp_path: Path) -> None:
    (found,) = private.look_at_private_training(DoctorConfig(base=str(tmp_path)), "cpu")
    assert (found.name, found.state, found.code) == ("network", "problem", 3)


def test_frozen_weights_must_be_public() -> None:
    base = open_base("builtin:phantom-64")
    assert private._lineage(None, declared=False).state == "ok"
    assert private._lineage(base, declared=False).text == "public: builtin:phantom-64"
    unnamed = Base(model=base.model, name=None)
    assert "phantoms alone" in private._lineage(unnamed, declared=False).text
    training = {**base.model.training, "cohort": {"digest": None, "kind": "real"}}
    clinic = Base(model=replace(base.model, training=training), name=None)
    found = private._lineage(clinic, declared=False)
    assert (found.state, found.code) == ("problem", 2)
    assert "--dp-public-base" in found.text
    assert private._lineage(clinic, declared=True).text == "public: declared"


def test_a_damaged_base_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(builtin._FOLDER / "phantom-64", tmp_path / "phantom-64")
    monkeypatch.setattr(builtin, "_FOLDER", tmp_path)
    (found,) = bases.look_at_bases()
    assert found.state == "ok"
    prior = tmp_path / "phantom-64" / "prior.json"
    prior.write_text(prior.read_text() + " ")
    (found,) = bases.look_at_bases()
    assert (found.state, found.code) == ("problem", 5)
    assert "prior.json was changed" in found.details[0]
    damaged = call(tmp_path)
    assert damaged.exit_code == 5
    assert "- prior.json was changed" in damaged.stdout
    shutil.rmtree(tmp_path / "phantom-64")
    assert bases.look_at_bases()[0].state == "problem"


def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    assert place.look_at_place(file / "below").code == 3
    assert call(file).exit_code == 3

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(place.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 1))  # type: ignore
    found = place.look_at_place(tmp_path)
    assert (found.state, bool(found.remedy)) == ("warning", True)
    monkeypatch.setattr(place.tempfile, "TemporaryFile", refuse)
    found = place.look_at_place(tmp_path)
    assert (found.state, found.code) == ("problem", 3)
    assert "Permission denied" in found.text


NEEDED = [
    Requirement("numpy", ">=1.26", None),
    Requirement("torch", ">=2.6", "full"),
    Requirement("opacus", ">=1.6", "full"),
    Requirement("distributed", ">=2024.8", "dask"),
]
HAVE = {"numpy": "2.0", "torch": "2.6.0+cpu", "opacus": "1.6", "distributed": None}


@pytest.mark.parametrize(
    ("changed", "name", "state", "word"),
    [
        ({}, "full", "ok", "torch 2.6.0+cpu"),
        ({}, "dask", "ok", "pip install 'bussynth[dask]'"),
        ({"numpy": None}, "core", "problem", "pip install 'bussynth'"),
        ({"torch": "2.5.1"}, "full", "problem", "pip install 'torch>=2.6'"),
        ({"opacus": None}, "full", "warning", "missing: opacus; it would enable training"),
        ({"opacus": None, "torch": None}, "full", "warning", "pip install 'bussynth[full]'"),
    ],
)
def test_versions_against_what_is_needed(
    changed: dict[str, str | None], name: str, state: str, word: str
) -> None:
    found = {one.name: one for one in installed._findings(NEEDED, HAVE | changed)}[name]
    assert found.state == state
    assert word in f"{found.text} -> {found.remedy}"


def test_a_folder_that_was_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> list[str]:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(installed, "requires", absent)
    assert installed.look_at_installed()[0].state == "problem"
    monkeypatch.setattr(machine, "metadata", absent)
    assert machine._python().state == "ok"


def test_requirements_and_ranges() -> None:
    assert requirement("torch>=2.6; extra == 'full'") == Requirement("torch", ">=2.6", "full")
    assert requirement("numpy (>=1.26, <4)") == Requirement("numpy", ">=1.26,<4", None)
    assert requirement("x @ file:///y") is None
    assert satisfies("2.10", ">=2.6,<3")
    assert satisfies("2.6.0+cpu", ">=2.6")
    assert not satisfies("2.5.9", ">=2.6")
    assert not satisfies("3.0", ">=2.6,<3")
    assert not satisfies("1.0.0", "!=1.0")
    assert satisfies("whatever", ">=2")
    assert satisfies("1", "")


@pytest.mark.parametrize(
    ("given", "state", "words"),
    [
        ({}, "ok", "left to the libraries"),
        ({"OMP_NUM_THREADS": "4"}, "ok", "OMP_NUM_THREADS=4"),
        ({"OMP_NUM_THREADS": "4,1"}, "ok", "4,1"),
        ({"OMP_NUM_THREADS": "8"}, "warning", "more than 4 cores"),
        ({"OMP_NUM_THREADS": "1"}, "warning", "fewer than the 4 cores"),
        ({"OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "2"}, "warning", "different numbers"),
        ({"OMP_NUM_THREADS": "many"}, "warning", "no whole number"),
    ],
)
def test_threads_that_fight(given: dict[str, str], state: str, words: str) -> None:
    (found,) = machine._threads(given, cores=4)
    assert found.state == state
    assert words in found.text
    assert bool(found.remedy) == (state != "ok")


def test_cores_and_memory_of_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_CGROUP", tmp_path)
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    assert machine.usable_cores() == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert machine.usable_cores() >= 1
    (tmp_path / "memory.max").write_text(f"{2**30}\n")
    (tmp_path / "memory.current").write_text(f"{2**29}\n")
    found = machine._memory()
    assert found.state == "warning"
    assert found.data["total"] == 2**30
    assert found.data["free"] <= 2**29


def test_accelerators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert "finds none" in accelerator.look_at_accelerator().text
    monkeypatch.setattr(torch.version, "cuda", None)
    assert accelerator.look_at_accelerator().state == "ok"
    monkeypatch.setattr(accelerator, "find_spec", lambda _: None)
    assert "not installed" in accelerator.look_at_accelerator().text


def test_the_first_problem_gives_the_exit_code() -> None:
    rows = [
        Finding(name="a", state="ok", text="fine"),
        Finding(name="b", state="problem", text="bad", remedy="mend it", code=5),
        Finding(name="long name", state="problem", text="x", details=("y",), seconds=1.25),
    ]
    assert exit_code(rows[:1]) == 0
    assert exit_code(rows) == 5
    lines = table(rows).splitlines()
    assert lines[1].endswith("bad -> mend it")
    assert lines[2].startswith("problem  long name    1.2 s  x")
    assert lines[3] == "         - y"
