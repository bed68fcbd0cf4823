from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch

from bussynth import atomic
from bussynth.errors import DataError, IntegrityError
from bussynth.generator.generator import Generator
from bussynth.generator.storage import read_model, read_record


def with_weights(folder: Path, weights: bytes) -> Path:
    """Put other weights into a folder, with a record that names their digest."""
    (folder / "weights.safetensors").write_bytes(weights)
    record = json.loads((folder / "model.json").read_text())
    record["files"]["weights.safetensors"] = "sha256:" + hashlib.sha256(weights).hexdigest()
    content = {key: record[key] for key in ("schema", "architecture", "vocabulary", "files")}
    text = atomic.canonical_json(content)
    record["digest"] = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    (folder / "model.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def copy(model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_folder, tmp_path / "model"))


def test_reads_what_was_written(model_folder: Path) -> None:
    model = read_model(model_folder)
    assert model.digest.startswith("sha256:")
    assert model.architecture.image_size == (16, 16)
    assert set(model.vocabulary) == {"birads", "device", "pathology"}
    assert model.training["images"] > 0


def test_digest_does_not_depend_on_the_record(copy: Path, model_folder: Path) -> None:
    record = json.loads((copy / "model.json").read_text())
    record["training"]["seconds"] = 1
    (copy / "model.json").write_text(json.dumps(record))
    assert read_model(copy).digest == read_model(model_folder).digest


@pytest.mark.parametrize("name", ["weights.safetensors", "prior.json"])
def test_changed_file_is_refused(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(bytes(data))
    with pytest.raises(IntegrityError, match=f"{name} was changed"):
        Generator.load(copy)


def test_missing_file_is_refused(copy: Path) -> None:
    (copy / "prior.json").unlink()
    with pytest.raises(IntegrityError, match=r"prior\.json is missing"):
        Generator.load(copy)


@pytest.mark.parametrize("key", ["architecture", "vocabulary", "files"])
def test_changed_record_is_refused(copy: Path, key: str) -> None:
    record = json.loads((copy / "model.json").read_text())
    if key == "vocabulary":
        record[key]["pathology"].reverse()
    elif key == "architecture":
        record[key]["layers"] = 2
    else:
        record[key]["prior.json"] = "sha256:" + "0" * 64
    (copy / "model.json").write_text(json.dumps(record))
    with pytest.raises(IntegrityError, match="digest does not match"):
        Generator.load(copy)


def test_foreign_file_names_are_refused(copy: Path) -> None:
    record = json.loads((copy / "model.json").read_text())
    record["files"]["../secret"] = record["files"]["prior.json"]
    (copy / "model.json").write_text(json.dumps(record))
    with pytest.raises(IntegrityError, match="names other files"):
        read_record(copy)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("{", "cannot be read"),
        ("[]", "has schema"),
        ('{"schema": "bussynth-model/9"}', "newer bussynth"),
        ('{"schema": "bussynth-model/1"}', "older bussynth"),
    ],
)
def test_unknown_schema_is_refused(copy: Path, text: str, match: str) -> None:
    (copy / "model.json").write_text(text)
    with pytest.raises(IntegrityError, match=match):
        Generator.load(copy)


def test_no_model(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"model\.json is missing"):
        Generator.load(tmp_path)


@pytest.mark.parametrize(
    "pickle", [b"\x80\x04\x95.", b"\x80\x02}q\x00(X\x01\x00", b"PK\x03\x04zip"]
)
def test_a_pickle_in_place_of_safetensors_is_refused(copy: Path, pickle: bytes) -> None:
    """Even one whose digest the record names."""
    with pytest.raises(IntegrityError, match="is a pickle"):
        Generator.load(with_weights(copy, pickle))


def test_safetensors_may_begin_like_a_pickle(copy: Path, model_folder: Path) -> None:
    """The lowest byte of the length of the header is 0x80 in one model of 32."""
    data = (copy / "weights.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    padding = (0x80 - length) % 256  # blanks behind the header are legal
    header = data[8 : 8 + length] + b" " * padding
    weights = len(header).to_bytes(8, "little") + header + data[8 + length :]
    assert weights[:1] == b"\x80"
    stored = read_model(with_weights(copy, weights)).weights
    expected = read_model(model_folder).weights
    assert all(torch.equal(stored[name], expected[name]) for name in expected)
