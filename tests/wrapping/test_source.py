"""What a path holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from bussynth.errors import DataError, UsageError
from bussynth.wrapping.source import recognise


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"x")
    return folder


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["a.png"], "images"),
        ([], "images"),
        (["model_index.json", "a.png"], "diffusers"),
        (["sampler.json", "m.pt"], "torchscript"),
        (["sampler.json", "m.TS"], "torchscript"),
        (["sampler.json", "m.onnx"], "onnx"),
    ],
)
def test_folders_are_recognised(tmp_path: Path, names: list[str], kind: str) -> None:
    assert recognise(touch(tmp_path / "s", *names)).kind == kind


@pytest.mark.parametrize(("name", "kind"), [("m.pt", "torchscript"), ("m.onnx", "onnx")])
def test_files_are_recognised(tmp_path: Path, name: str, kind: str) -> None:
    touch(tmp_path, name)
    source = recognise(tmp_path / name)
    assert (source.kind, source.path) == (kind, tmp_path / name)


def test_a_kind_that_is_given_decides(tmp_path: Path) -> None:
    both = touch(tmp_path / "both", "sampler.json", "m.pt", "m.onnx", "a.png", "weights.bin")
    assert recognise(both, "torchscript").path.name == "m.pt"
    assert recognise(both, "onnx").path.name == "m.onnx"
    assert recognise(both, "images").kind == "images"
    assert recognise(both / "weights.bin", "torchscript").kind == "torchscript"
    with pytest.raises(UsageError, match="2 model files"):
        recognise(both)
    with pytest.raises(UsageError, match=r"model_index\.json is missing"):
        recognise(both, "diffusers")
    with pytest.raises(UsageError, match="needs a folder"):
        recognise(both / "m.pt", "images")


@pytest.mark.parametrize("name", ["m.pt", "m.TS", "m.onnx"])
def test_a_model_without_its_description_is_no_folder_of_images(tmp_path: Path, name: str) -> None:
    folder = touch(tmp_path / "s", name, "preview.png")
    with pytest.raises(UsageError, match=r"no sampler\.json beside it.*--kind images") as caught:
        recognise(folder)
    assert name not in caught.value.message
    assert recognise(folder, "images").kind == "images"


@pytest.mark.parametrize("name", ["m.bin", "m.pth", "m.ckpt", "m.pkl"])
def test_pickled_models_are_refused(tmp_path: Path, name: str) -> None:
    folder = touch(tmp_path / "s", "sampler.json", name)
    for path in (folder, folder / name):
        with pytest.raises(DataError, match=r"pickled models are not opened.*torch\.jit\.save"):
            recognise(path)


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        recognise(tmp_path / "absent")
    with pytest.raises(UsageError, match="is no sampler"):
        recognise(touch(tmp_path / "s", "notes.txt") / "notes.txt")
    with pytest.raises(UsageError, match="is a cohort already"):
        recognise(touch(tmp_path / "c", "cohort.json"))
    with pytest.raises(UsageError, match="bussynth generate"):
        recognise(touch(tmp_path / "m", "model.json"))
