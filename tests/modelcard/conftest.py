from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bussynth.cohort import Cohort
from bussynth.cohort.phantom.cohort import write_phantom_cohort
from bussynth.cohort.phantom.config import PhantomConfig
from bussynth.cohort.split import split_cohort
from bussynth.cohort.split_config import SplitConfig
from bussynth.config import RunOptions
from bussynth.generator.config import AdaptConfig, GenerateConfig, TrainConfig
from bussynth.generator.generate import generate_cohort
from bussynth.generator.generator import Generator

CPU = RunOptions(device="cpu")


def figure(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05}


def compared(real: float, synthetic: float) -> dict[str, Any]:
    return {
        "real": figure(real),
        "synthetic": figure(synthetic),
        "difference": figure(synthetic - real),
        "shuffled": figure(0.5),
    }


def space(name: str) -> dict[str, Any]:
    numbers = {"fd": 7.25, "kid": 0.00625, "precision": 0.9, "recall": 0.8, "density": 1.1}
    values = {key: figure(value) for key, value in (numbers | {"coverage": 0.7}).items()}
    return {"space": name, "dimensions": 128, "images": 50, "synthetic": values, "floor": values}


def evaluation_of(generator: str | None, digest: str = "sha256:" + "5" * 64) -> dict[str, Any]:
    """Content of an evaluation.json, as bussynth.quality writes it."""
    return {
        "schema": "bussynth-evaluation/1",
        "stays": "…",
        "inputs": {
            "image_size": [16, 16],
            "real": {
                "kind": "phantom",
                "digest": "sha256:" + "4" * 64,
                "train": {"images": 60, "patients": 30},
                "test": {"images": 55, "patients": 25},
            },
            "synthetic": {
                "kind": "synthetic",
                "digest": digest,
                "generator": generator,
                "trained_on": None,
                "images": 50,
            },
        },
        "config": {},
        "obedience": {
            "recognition": [
                {
                    "column": "pathology",
                    "values": ["normal", "benign", "malignant"],
                    "chance": 0.333,
                    "left_out": ["rare"],
                    "tells": False,
                    "images": {"real": {"benign": 3}, "synthetic": {"benign": 4}},
                    "auc": compared(0.9, 0.85),
                    "balanced_accuracy": compared(0.8, 0.75),
                    "pairs": {
                        "benign / malignant": compared(0.7, 0.65),
                        "benign / normal": compared(0.7, 0.65),
                    },
                }
            ],
            "localisation": {
                "images": {"real": 3, "synthetic": 4},
                "iou": compared(0.61, 0.58),
                "iou_at_least_half": compared(0.7, 0.7),
                "centre_in_box": compared(0.9, 0.9),
            },
            "presence": None,
            "not_measured": {"device": "of too few patients"},
        },
        "fidelity": [space("learned 1"), space("random multi-scale")],
        "notes": ["only 25 test patients: intervals are wide"],
        "versions": {},
    }


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    folder = tmp_path_factory.mktemp("cohorts") / "c"
    write_phantom_cohort(folder, PhantomConfig(patients=12, image_size=16))
    return split_cohort(folder, SplitConfig(seed=1)).cohort


def quick(kind: type[Any], **settings: Any) -> Any:
    return kind(steps=4, batch_size=2, **settings)


@pytest.fixture(scope="session")
def model(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished model of phantoms; read-only."""
    folder = tmp_path_factory.mktemp("models") / "model"
    Generator.train(cohort, folder, quick(TrainConfig, preset="tiny-32"), options=CPU)
    return folder


@pytest.fixture(scope="session")
def adapter(cohort: Cohort, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the model; read-only."""
    folder = tmp_path_factory.mktemp("models") / "adapter"
    Generator.adapt(cohort, folder, quick(AdaptConfig, base=str(model), rank=2), options=CPU)
    return folder


@pytest.fixture(scope="session")
def synthetic(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Images of the model; read-only."""
    folder = tmp_path_factory.mktemp("cohorts") / "s"
    return generate_cohort(model, folder, GenerateConfig(n=9, seed=7, steps=2), options=CPU)


@pytest.fixture(scope="session")
def digest(model: Path) -> str:
    return str(json.loads((model / "model.json").read_text())["digest"])


@pytest.fixture
def edited(model: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copy the model with other values in its training record, which no digest covers."""

    def edit(**values: Any) -> Path:
        folder = tmp_path / "edited"
        folder.mkdir()
        for path in model.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        record = json.loads((folder / "model.json").read_text())
        record["training"] |= values
        (folder / "model.json").write_text(json.dumps(record))
        return folder

    return edit


@pytest.fixture
def evaluation(tmp_path: Path) -> Callable[..., Path]:
    """Write an evaluation."""

    def write(*arguments: Any, **changes: Any) -> Path:
        folder = tmp_path / "evaluation"
        folder.mkdir(exist_ok=True)
        content = evaluation_of(*arguments) | changes
        (folder / "evaluation.json").write_text(json.dumps(content))
        return folder

    return write


def _report_parts() -> Any:
    """The fixtures of the report, whose audit is made of the very classes an audit fills."""
    path = Path(__file__).parent.parent / "report" / "conftest.py"
    spec = importlib.util.spec_from_file_location("report_parts", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def report() -> dict[str, Any]:
    """Content of a report.json that names no model; not to be changed."""
    content: dict[str, Any] = copy.deepcopy(_report_parts()._BASE)
    content["reasons"] = content["statements"]
    return content


@pytest.fixture
def audit(tmp_path: Path, report: dict[str, Any]) -> Callable[..., Path]:
    """Write an audit; with a digest, of the images of that model."""

    def write(digest: str | None, **changes: Any) -> Path:
        folder = tmp_path / "audit"
        folder.mkdir(exist_ok=True)
        named = None if digest is None else {"digest": digest, "released": True, "notes": []}
        content = copy.deepcopy(report) | {"model": named} | changes
        (folder / "report.json").write_text(json.dumps(content))
        return folder

    return write
