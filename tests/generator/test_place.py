from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from bussynth import atomic
from bussynth.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.errors import UsageError
from bussynth.generator.config import AdaptConfig, TrainConfig
from bussynth.generator.generator import Generator
from bussynth.generator.place import check_apart, check_place
from bussynth.generator.plan import check_adapt, check_train
from bussynth.generator.storage import read_model, read_record

CPU = RunOptions(device="cpu")
TINY = TrainConfig(preset="tiny-32", steps=1, batch_size=4)


@pytest.fixture
def copy(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


def test_own_outputs_are_replaced_with_force_alone(copy: Path) -> None:
    with pytest.raises(UsageError, match="--force"):
        check_place(copy, force=False)
    check_place(copy, force=True)
    (copy / ".checkpoint.safetensors.partial-0a1b2c3d").touch()
    check_place(copy, force=True)
    # An older version's too: its message says to train again with --force.
    record = json.loads((copy / "model.json").read_text()) | {"schema": "bussynth-model/1"}
    (copy / "model.json").write_text(json.dumps(record))
    check_place(copy, force=True)


@pytest.mark.parametrize("name", ["model.json", "training.json", "adapter.json"])
@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema": 3}', '{"schema": "theirs/1"}', '{"epochs": 3}']
)
def test_records_of_others_are_no_licence_to_delete(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=f"holds {name}, which no training of bussynth"):
        check_place(tmp_path, force=True)


@pytest.mark.parametrize(
    "name", ["thesis.docx", "weights.safetensors.bak", ".partial-", ".thesis.partial-0a"]
)
def test_files_of_others_are_not_deleted(copy: Path, name: str) -> None:
    (copy / name).touch()
    with pytest.raises(UsageError) as caught:
        check_place(copy, force=True)
    assert f"holds {name}, which" in str(caught.value)
    (copy / "zebra.txt").touch()
    with pytest.raises(UsageError, match=r"\(and 1 more\)"):
        check_place(copy, force=True)


def test_folders_are_not_deleted(copy: Path) -> None:
    (copy / "loss.jsonl").unlink()
    (copy / "loss.jsonl").mkdir()
    with pytest.raises(UsageError, match=r"holds loss\.jsonl, which"):
        check_place(copy, force=True)


def test_trainings_without_a_schema_are_told_by_their_fields(tmp_path: Path) -> None:
    identity = {"architecture": {}, "cohort": "sha256:", "images": 3, "batch_size": 4}
    (tmp_path / "training.json").write_text(json.dumps(identity))
    check_place(tmp_path, force=True)


def test_a_base_is_never_its_own_output(
    cohort: Cohort, copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = read_model(copy).digest
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.chdir(copy)
    train = TrainConfig(preset="tiny-32", base=str(copy))
    adapt = AdaptConfig(base=str(copy))
    for out in (copy, tmp_path, copy / "adapter", Path(), tmp_path / "link" / "model" / "x"):
        for force in (False, True):
            with pytest.raises(UsageError, match="overlaps the folder of the base"):
                check_train(cohort, out, train, options=CPU, force=force)
            with pytest.raises(UsageError, match="overlaps the folder of the base"):
                check_adapt(cohort, out, adapt, options=CPU, force=force)
    assert read_model(copy).digest == digest
    check_apart(tmp_path / "model-2", copy)


def test_a_kill_while_an_output_is_replaced(
    cohort: Cohort, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder is the old one or the new one, and --force takes either."""

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_replace_directory", killed)
        with pytest.raises(KeyboardInterrupt):
            Generator.train(cohort, copy, TINY, options=CPU, force=True)
    assert read_record(copy)["training"]["steps"] == 120
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            Generator.train(cohort, copy, TINY, options=CPU, force=True)
    assert [path.name for path in copy.iterdir()] == ["training.json"]
    assert len(list(copy.parent.glob(".model.partial-*"))) == 1
    check_place(copy, force=True)
    # Going on sweeps what the kill left of the old model.
    assert Generator.train(cohort, copy, TINY, options=CPU).training["steps"] == 1
    assert not list(copy.parent.glob(".model.partial-*"))
