"""Samplers in TorchScript and ONNX: what is drawn, and what is refused."""

from __future__ import annotations

import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from bussynth.errors import DataError, MissingDependencyError, UsageError
from bussynth.generator.sampler import initial_noise
from bussynth.generator.seeds import derive_seed
from bussynth.wrapping.check import check_wrap
from bussynth.wrapping.config import WrapConfig
from bussynth.wrapping.sampler import FileSampler, check_sampler
from bussynth.wrapping.source import recognise

VOCABULARY = {"pathology": ["benign", "malignant"], "device": ["x", "y", "z"]}


class Plain(torch.nn.Module):
    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(noise)


class Conditional(torch.nn.Module):
    """Brightness tells the codes: device in tenths, pathology in hundredths."""

    def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        level = conditions[:, 0] * 0.1 + conditions[:, 1] * 0.01
        return (torch.sigmoid(noise) * 0.001 + level.view(-1, 1, 1, 1)).to(torch.float32)


class Deaf(torch.nn.Module):
    def forward(self, noise: torch.Tensor, conditions: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(noise + 0.1 * conditions[:, :1, None, None])


class Batchwise(torch.nn.Module):
    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(noise - noise.mean())


class Random(torch.nn.Module):
    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return torch.rand_like(noise)


class Constant(torch.nn.Module):
    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(noise) + 0.5


class Bright(torch.nn.Module):
    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return noise * 255


class Broken(torch.nn.Module):
    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(noise) * 0.0 / 0.0


class Colour(torch.nn.Module):
    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(noise).repeat(1, 3, 1, 1)


class Double(torch.nn.Module):
    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(noise.to(torch.float64))


class Pair(torch.nn.Module):
    def forward(self, noise: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return noise, noise


def script(module: torch.nn.Module, folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.script(module), folder / "model.pt")
    return folder


def opened(folder: Path, seed: int = 0) -> FileSampler:
    return check_sampler(recognise(folder)).open(seed=seed, device="cpu")


def test_an_image_starts_from_the_noise_of_its_number(
    tmp_path: Path, write_spec: Callable[..., Path]
) -> None:
    sampler = opened(script(Plain(), write_spec(tmp_path / "s")), seed=7)
    made = sampler.draw([0, 5], [{}, {}])
    assert made.shape == (2, 8, 12)
    assert made.dtype == np.uint8
    noise = initial_noise([derive_seed("noise", 7, row) for row in (0, 5)], (1, 8, 12))
    expected = torch.sigmoid(noise)[:, 0].mul(255).round().to(torch.uint8).numpy()
    assert (made == expected).all()
    assert (made[1] == sampler.draw([5], [{}])[0]).all()
    assert sampler.versions == {"torch": torch.__version__}
    assert sampler.notes == ()


def test_conditions_arrive_as_codes(tmp_path: Path, write_spec: Callable[..., Path]) -> None:
    sampler = opened(script(Conditional(), write_spec(tmp_path / "s", VOCABULARY)))
    rows = [{"device": "z", "pathology": "malignant"}, {"device": "x"}, {"pathology": None}]
    levels = sampler.draw([0, 1, 2], rows).mean(axis=(1, 2)) / 255
    assert levels == pytest.approx([0.32, 0.10, 0.0], abs=0.004)
    assert sampler.notes == ()


def test_conditions_without_effect_are_told(
    tmp_path: Path, write_spec: Callable[..., Path]
) -> None:
    (note,) = opened(script(Deaf(), write_spec(tmp_path / "s", VOCABULARY))).notes
    assert note.code == "conditions-without-effect"
    assert note.text.endswith("pathology")


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (Batchwise(), "changes with the rows that share its batch"),
        (Random(), "randomness of its own"),
        (Constant(), "unlike noise gives the same image"),
        (Bright(), "not 0 .. 1"),
        (Broken(), "NaN or infinity"),
        (Colour(), r"expected float32 \(4, 1, 8, 12\), got float32 \(4, 3, 8, 12\)"),
        (Double(), r"returns torch.float64, not torch.float32"),
        (Pair(), "returns tuple, not one tensor"),
        (Conditional(), "fails as a sampler"),
    ],
)
def test_samplers_that_break_the_contract_are_refused(
    tmp_path: Path, write_spec: Callable[..., Path], module: torch.nn.Module, words: str
) -> None:
    folder = script(module, write_spec(tmp_path / "s"))
    with pytest.raises(DataError, match=words):
        opened(folder)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_are_refused_before_they_are_opened(
    tmp_path: Path, write_spec: Callable[..., Path], zipped: bool
) -> None:
    folder = write_spec(tmp_path / "s")
    torch.save(Plain().state_dict(), folder / "model.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(DataError, match=r"torch\.save are pickles and are not opened"):
        check_sampler(recognise(folder))


def test_an_archive_with_a_program_for_pickle_is_refused_unrun(
    tmp_path: Path, write_spec: Callable[..., Path]
) -> None:
    folder, mark = write_spec(tmp_path / "s"), tmp_path / "ran"
    program = f"cos\nsystem\n(S'touch {mark}'\ntR.".encode()
    with zipfile.ZipFile(folder / "model.pt", "w") as archive:
        archive.writestr("m/code/__torch__.py", "")
        archive.writestr("m/version", "3\n")
        for name in ("data.pkl", "constants.pkl"):
            archive.writestr(f"m/{name}", program)
    with pytest.raises(DataError, match="not a TorchScript archive"):
        opened(folder)
    assert not mark.exists()


def test_the_record_must_lie_beside_the_model(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"x")
    with pytest.raises(DataError, match=r"sampler\.json is missing beside model\.pt"):
        check_sampler(recognise(tmp_path / "model.pt"))


def test_the_digest_covers_model_and_record(
    tmp_path: Path, write_spec: Callable[..., Path]
) -> None:
    one = check_sampler(recognise(script(Plain(), write_spec(tmp_path / "a"))))
    same = check_sampler(recognise(script(Plain(), write_spec(tmp_path / "b"))))
    model = check_sampler(recognise(script(Deaf(), write_spec(tmp_path / "c"))))
    record = check_sampler(recognise(script(Plain(), write_spec(tmp_path / "d", VOCABULARY))))
    assert one.digest == same.digest
    assert len({one.digest, model.digest, record.digest}) == 3


def test_unknown_conditions_and_options_are_refused(
    tmp_path: Path, write_spec: Callable[..., Path]
) -> None:
    folder = script(Conditional(), write_spec(tmp_path / "s", VOCABULARY))
    config = WrapConfig(conditions={"patholgy": "benign", "device": "w"})
    with pytest.raises(UsageError) as caught:
        check_wrap(folder, tmp_path / "c", config)
    assert len(caught.value.problems) == 2
    assert 'did you mean "pathology"' in str(caught.value)
    with pytest.raises(UsageError) as caught:
        check_wrap(folder, tmp_path / "c", WrapConfig(steps=3, columns=("a",)), labels="t.csv")
    assert len(caught.value.problems) == 3


class _Session:
    """Stands in for onnxruntime's session: the sigmoid, with or without conditions."""

    def __init__(self, content: bytes, options: Any, providers: list[str]) -> None:
        kind, _, fixed = content.decode().partition(" ")
        if kind not in ("plain", "told", "wrong"):
            raise RuntimeError("INVALID_PROTOBUF")
        assert options.entries == ["session.model_external_initializers_file_folder_path"]
        self.kind = kind
        self.images = int(fixed) if fixed else None

    def get_inputs(self) -> list[SimpleNamespace]:
        shape = [self.images or "n", 1, 8, 12]
        names = {
            "plain": {"noise": "float"},
            "told": {"noise": "float", "conditions": "int64"},
            "wrong": {"noise": "double", "labels": "int64"},
        }[self.kind]
        return [
            SimpleNamespace(name=name, type=f"tensor({kind})", shape=shape)
            for name, kind in names.items()
        ]

    def get_outputs(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(name="images", type="tensor(float)")]

    def run(self, outputs: None, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        noise = feed["noise"]
        if self.images is not None and len(noise) != self.images:
            raise RuntimeError("Got invalid dimensions for input")
        if "conditions" in feed:
            noise = noise + feed["conditions"].sum(1).astype(np.float32)[:, None, None, None]
        return [1 / (1 + np.exp(-noise))]


class _Options:
    def __init__(self) -> None:
        self.entries: list[str] = []

    def add_session_config_entry(self, key: str, value: str) -> None:
        assert Path(value).is_dir()
        self.entries.append(key)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(InferenceSession=_Session, SessionOptions=_Options, __version__="1")
    monkeypatch.setitem(sys.modules, "onnxruntime", module)


@pytest.mark.parametrize("fixed", ["", " 1", " 3"])
def test_onnx_goes_the_same_way(
    tmp_path: Path, write_spec: Callable[..., Path], runtime: None, fixed: str
) -> None:
    folder = write_spec(tmp_path / "s")
    (folder / "model.onnx").write_text("plain" + fixed)
    sampler = opened(folder, seed=3)
    same = opened(script(Plain(), write_spec(tmp_path / "t")), seed=3)
    rows = range(5)
    images, expected = (made.draw(rows, [{}] * 5).astype(int) for made in (sampler, same))
    assert np.abs(images - expected).max() <= 1
    assert sampler.versions == {"onnxruntime": "1"}
    told = write_spec(tmp_path / "told", VOCABULARY)
    (told / "model.onnx").write_text("told" + fixed)
    brighter = opened(told, seed=3).draw(rows, [{"device": "z"}] * 5)
    assert brighter.mean() > images.mean() + 50


def test_onnx_models_of_another_form_are_refused(
    tmp_path: Path, write_spec: Callable[..., Path], runtime: None
) -> None:
    folder = write_spec(tmp_path / "s")
    (folder / "model.onnx").write_text("nonsense")
    with pytest.raises(DataError, match="not an ONNX model"):
        opened(folder)
    (folder / "model.onnx").write_text("wrong")
    with pytest.raises(DataError) as caught:
        opened(folder)
    assert "expected the inputs noise, found noise, labels" in str(caught.value)
    assert "expected tensor(float), found tensor(double)" in str(caught.value)


def test_without_onnxruntime_the_extra_is_named(
    tmp_path: Path, write_spec: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_spec(tmp_path / "s")
    (folder / "model.onnx").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match=r"bussynth\[onnx\]"):
        check_wrap(folder, tmp_path / "c")
