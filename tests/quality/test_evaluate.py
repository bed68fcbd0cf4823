"""The verb as a function: what it writes, refuses and leaves untouched."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from audits.errors import AuditInputError
from audits.fidelity import measure, spaces
from audits.fidelity.measure import Measured, SpaceFidelity
from bussynth.cohort import Cohort
from bussynth.errors import DataError, UsageError
from bussynth.quality import evaluate as module
from bussynth.quality.config import EvaluateConfig
from bussynth.quality.evaluate import STAYS, check_evaluate, evaluate
from bussynth.quality.obedience import Judge

FAST = EvaluateConfig(steps=2, members=1, resamples=20, fidelity=False)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch, judge: Judge) -> None:
    """Judge with the networks of the session instead of training anew."""
    monkeypatch.setattr(module.Judge, "fit_material", lambda *_, **__: judge)


@pytest.fixture
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Fidelity that computes nothing and remembers what it was given."""
    seen = SimpleNamespace()
    numbers = dict.fromkeys(
        ("fd", "kid", "precision", "recall", "density", "coverage"),
        Measured(value=0.5, low=0.25, high=0.75),
    )

    def fitted(images: np.ndarray, patients: np.ndarray, **settings: Any) -> list[Any]:
        seen.fitted, seen.settings = len(images), settings
        settings["progress"](1, 2)
        return [None]

    def measured(
        found: list[Any], made: np.ndarray, train: np.ndarray, test: np.ndarray, **settings: Any
    ) -> list[SpaceFidelity]:
        seen.compared = len(made), len(train), len(test)
        seen.people = settings["train_patients"], settings["reference_patients"]
        seen.seeds = settings["seed"]
        return [
            SpaceFidelity(
                space="learned 1", dimensions=8, images=60, synthetic=numbers, floor=numbers
            )
        ]

    monkeypatch.setattr(spaces, "fidelity_spaces", fitted)
    monkeypatch.setattr(measure, "measure_fidelity", measured)
    return seen


def test_two_runs_write_the_same_bytes_and_no_patient(
    tmp_path: Path, real: Cohort, synthetic: Cohort
) -> None:
    found = evaluate(synthetic.path, real.path, tmp_path / "a", config=FAST)
    evaluate(synthetic, real, tmp_path / "b", config=FAST)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["evaluation.json", "evaluation.md"]
    for name in files:
        text = (tmp_path / "a" / name).read_bytes()
        assert text == (tmp_path / "b" / name).read_bytes()
        assert b"SECRET" not in text
        assert STAYS.encode() in text
    content = json.loads((tmp_path / "a" / "evaluation.json").read_text())
    assert content == json.loads(json.dumps(found.to_dict()))
    assert content["schema"] == "bussynth-evaluation/1"
    assert content["fidelity"] == []
    assert content["config"]["steps"] == 2
    assert content["inputs"]["synthetic"]["digest"] == synthetic.digest
    assert content["inputs"]["real"]["test"]["images"] == len(real.select("test"))


def test_fidelity_sees_train_and_test_and_never_control(
    tmp_path: Path, real: Cohort, synthetic: Cohort, judged: None, no_encoder: SimpleNamespace
) -> None:
    config = EvaluateConfig(resamples=20, seed=7, fidelity_steps=3)
    found = evaluate(synthetic, real, tmp_path / "out", config=config)
    train, test = len(real.select("train")), len(real.select("test"))
    assert no_encoder.fitted == train
    assert no_encoder.compared == (60, train, test)
    assert no_encoder.settings["steps"] == 3
    assert no_encoder.settings["seed"] == no_encoder.seeds == 7
    assert [len(keys) for keys in no_encoder.people] == [train, test]
    page = (tmp_path / "out" / "evaluation.md").read_text()
    assert "## Fidelity: learned 1" in page
    assert "| Fréchet distance | 0.500 [0.250, 0.750] | 0.500 [0.250, 0.750] |" in page
    assert "KID x 1000" in found.to_text()


def test_what_fidelity_refuses_is_a_data_error(
    real: Cohort, synthetic: Cohort, judged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AuditInputError("There are too few images.", ["train: 3 images"])

    monkeypatch.setattr(spaces, "fidelity_spaces", refuse)
    with pytest.raises(DataError, match="train: 3 images"):
        evaluate(synthetic, real, config=EvaluateConfig())


def test_text_tells_levels_and_limits(
    real: Cohort, synthetic: Cohort, judged: None, quick: EvaluateConfig
) -> None:
    text = evaluate(synthetic, real, config=quick).to_text()
    lines = text.splitlines()
    assert lines[0].split() == ["images", "real", "held-out", "synthetic", "difference", "shuffled"]
    for name in ("device: AUC", "lesion box: mean IoU", "lesion or normal: AUC"):
        assert sum(line.startswith(name) for line in lines) == 1
    assert "  found in normal images" in text
    assert "device: left out for too few patients or images: rare" in text
    assert "birads is not recognised above chance in real images either" in text
    assert text.endswith(STAYS)


def test_places_that_are_taken(
    tmp_path: Path, real: Cohort, synthetic: Cohort, judged: None, quick: EvaluateConfig
) -> None:
    out = tmp_path / "out"
    evaluate(synthetic, real, out, config=quick)
    with pytest.raises(UsageError, match="exists"):
        evaluate(synthetic, real, out, config=quick)
    evaluate(synthetic, real, out, config=quick, force=True)
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "evaluation.json").write_text('{"schema": "other/1"}')
    with pytest.raises(UsageError, match="no evaluation of bussynth"):
        evaluate(synthetic, real, foreign, config=quick, force=True)
    for inside in (real.path / "out", synthetic.path):
        with pytest.raises(UsageError):
            evaluate(synthetic, real, inside, config=quick, force=True)
    assert real.path.is_dir()


def test_dry_run_decides_all_that_needs_no_pixels(
    tmp_path: Path,
    real: Cohort,
    synthetic: Cohort,
    monkeypatch: pytest.MonkeyPatch,
    quick: EvaluateConfig,
) -> None:
    monkeypatch.setattr(Cohort, "images", None)
    notes = check_evaluate(synthetic, real, tmp_path / "out", config=quick)
    assert "60 synthetic images" in notes[0]
    assert notes[1] == "to be measured: birads, device, pathology, lesion box, normal"
    assert not (tmp_path / "out").exists()
    with pytest.raises(DataError, match="swapped"):
        check_evaluate(real, synthetic, config=quick)
