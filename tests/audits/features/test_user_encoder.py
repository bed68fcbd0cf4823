from __future__ import annotations

import hashlib
import json
import os
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from audits.errors import AuditInputError
from audits.features.user_encoder import UserEncoder

IMAGES = np.random.default_rng(2).integers(0, 256, (11, 16, 20), dtype=np.uint8)
SIZE = (16, 20)


class Small(torch.nn.Module):
    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(channels, 6, 3)
        with torch.no_grad():
            count = self.layer.weight.numel()
            self.layer.weight.copy_(torch.linspace(-1, 1, count).cos().view_as(self.layer.weight))
            self.layer.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Batchwise(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(1)[:, :5]
        return flat - flat.mean(0, keepdim=True)


class Random(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.rand(x.shape[0], 4)


class Constant(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ones(x.shape[0], 4)


class Single(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=(2, 3))[:, :1]


class Broken(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1) / 0.0


class Pair(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.flatten(1), x


def save(module: torch.nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), path)
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_vectors_are_pooled_unit_outputs(tmp_path: Path, channels: int) -> None:
    module = Small(channels)
    path = save(module, tmp_path / "model.pt")
    encoder = UserEncoder.load(path, image_size=SIZE, batch=4)
    pixels = torch.tensor(IMAGES / np.float32(255))[:, None].repeat(1, channels, 1, 1)
    with torch.no_grad():
        expected = module(pixels).mean(dim=(2, 3)).numpy()
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    features = encoder.features(IMAGES)
    assert features.dtype == np.float32
    assert features == pytest.approx(expected, abs=1e-5)
    flipped = np.ascontiguousarray(IMAGES[:, :, ::-1])
    assert np.array_equal(encoder.features(IMAGES, mirrored=True), encoder.features(flipped))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert encoder.describe() == {
        "name": f"user encoder {digest[:8]}",
        "family": "user",
        "dimensions": 6,
        "format": "TorchScript",
        "channels": channels,
        "sha256": digest,
    }
    json.dumps(encoder.describe())


def test_rows_do_not_depend_on_the_batch_and_flat_images_are_zero(tmp_path: Path) -> None:
    encoder = UserEncoder.load(save(Small(), tmp_path / "model.ts"), image_size=SIZE, batch=4)
    together = encoder.features(IMAGES)
    for row in (0, 3, 4, 10):
        alone = encoder.features(IMAGES[row : row + 1])[0]
        assert alone == pytest.approx(together[row], abs=1e-6)
    assert not encoder.features(np.full((2, *SIZE), 9, np.uint8)).any()
    assert encoder.features(IMAGES[:0]).shape == (0, 6)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Batchwise(), "changes by .* images beside it"),
        (Random(), "changes by .* images beside it"),
        (Constant(), "unlike images get the same vector"),
        (Single(), "d must be at least 2"),
        (Broken(), "NaN or infinity"),
        (Pair(), "returns tuple, not one tensor"),
        (torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(99, 4)), "16x20"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_encoders_that_break_the_contract_are_refused(
    tmp_path: Path, module: torch.nn.Module, message: str
) -> None:
    path = save(module, tmp_path / "model.pt")
    with pytest.raises(AuditInputError, match=message) as caught:
        UserEncoder.load(path, image_size=SIZE)
    assert str(caught.value).startswith("model.pt: ")


class _Bomb:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (self.target,)

    def __init__(self, target: str) -> None:
        self.target = target


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_models_are_never_opened(tmp_path: Path, zipped: bool) -> None:
    target = tmp_path / "ran"
    torch.save(_Bomb(str(target)), tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(AuditInputError, match=r"torch\.jit\.save"):
        UserEncoder.load(tmp_path / "model.pt")
    assert not target.exists()


def test_bad_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "noise.pt").write_bytes(b"no archive")
    (tmp_path / "empty.ts").write_bytes(b"")
    for name, message in (
        ("noise.pt", "not a TorchScript archive"),
        ("empty.ts", "not a TorchScript archive"),
        ("missing.pt", "cannot be read"),
        ("model.pkl", "expected a TorchScript"),
    ):
        with pytest.raises(AuditInputError, match=message) as caught:
            UserEncoder.load(tmp_path / name)
        assert str(caught.value).startswith(f"{name}: ")
        assert str(tmp_path) not in str(caught.value)
    with pytest.raises(AuditInputError, match="at least 4"):
        UserEncoder.load(tmp_path / "noise.pt", batch=1)


def test_images_of_another_size_are_refused_with_a_reason(tmp_path: Path) -> None:
    fixed = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(320, 4))
    encoder = UserEncoder.load(save(fixed, tmp_path / "model.pt"), image_size=SIZE)
    with pytest.raises(AuditInputError, match="images of 8x8"):
        encoder.features(IMAGES[:, :8, :8])


def test_without_onnxruntime_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(AuditInputError, match=r"bussynth\[onnx\]"):
        UserEncoder.load(tmp_path / "model.onnx")


class _Session:
    """Stands in for onnxruntime's session: a model of one fixed linear map."""

    def __init__(self, content: bytes, providers: list[str]) -> None:
        if not content.startswith(b"model"):
            raise RuntimeError("INVALID_PROTOBUF")
        self.images = int(content[5:]) if content[5:] else None

    def get_inputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="image", shape=[self.images, 3, None, None])]

    def run(self, outputs: None, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        pixels = feed["image"]
        if pixels.shape[1] != 3 or pixels.shape[0] != (self.images or len(pixels)):
            raise RuntimeError("Got invalid dimensions for input")
        return [pixels.reshape(len(pixels), -1)[:, :7]]


@pytest.mark.parametrize("fixed", [b"", b"1", b"8"])
def test_onnx_goes_the_same_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fixed: bytes
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=_Session))
    (tmp_path / "model.onnx").write_bytes(b"model" + fixed)
    (tmp_path / "other.onnx").write_bytes(b"other")
    encoder = UserEncoder.load(tmp_path / "model.onnx", image_size=SIZE)
    assert (encoder.format, encoder.channels, encoder.dimensions) == ("ONNX", 3, 7)
    expected = IMAGES[:, 0, :7].astype(float)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert encoder.features(IMAGES) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(AuditInputError, match="not an ONNX model"):
        UserEncoder.load(tmp_path / "other.onnx")
    (tmp_path / "odd.onnx").write_bytes(b"model5")
    with pytest.raises(AuditInputError, match="takes 5 images at a time"):
        UserEncoder.load(tmp_path / "odd.onnx", image_size=SIZE)
