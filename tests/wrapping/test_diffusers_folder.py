"""Pipeline folders of diffusers."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel

from bussynth.config import RunOptions
from bussynth.errors import DataError, UsageError
from bussynth.wrapping.check import check_wrap
from bussynth.wrapping.cohort import WrapResult, wrap_source
from bussynth.wrapping.config import WrapConfig
from bussynth.wrapping.diffusers_folder import check_pipeline

SIZE = 8


def network(channels: int = 1, **changes: Any) -> UNet2DModel:
    torch.manual_seed(0)
    return UNet2DModel(
        **{
            "sample_size": SIZE,
            "in_channels": channels,
            "out_channels": channels,
            "block_out_channels": (8, 8),
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "down_block_types": ("DownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "UpBlock2D"),
        }
        | changes
    )


@pytest.fixture
def ddpm(tmp_path: Path) -> Path:
    """A pipeline with random weights and six steps."""
    folder = tmp_path / "ddpm"
    DDPMPipeline(network(), DDPMScheduler(num_train_timesteps=6)).save_pretrained(folder)
    return folder


def wrap(folder: Path, name: str, batch_size: int | None = None, **options: Any) -> WrapResult:
    config = WrapConfig(**{"n": 5, "image_size": SIZE} | options)
    run = RunOptions(device="cpu", batch_size=batch_size)
    return wrap_source(folder, folder.parent / name, config, options=run)


def change(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def refused(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        check_pipeline(folder)
    return str(caught.value)


def test_a_pipeline_becomes_a_cohort_without_the_network(
    ddpm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    result = wrap(ddpm, "c", conditions={"pathology": "benign"})
    images = result.cohort.images()
    assert images.shape == (5, SIZE, SIZE)
    assert len({image.tobytes() for image in images}) == 5
    assert images.std() > 10
    assert {row.conditions["pathology"] for row in result.cohort} == {"benign"}
    provenance = result.cohort.provenance
    assert provenance["source"] == "diffusers"
    assert provenance["generator"] == check_pipeline(ddpm).digest
    assert provenance["request"]["pipeline"] == "DDPMPipeline"
    assert provenance["request"]["steps"] == 6
    assert set(provenance["versions"]) >= {"torch", "diffusers"}


def test_an_image_depends_on_seed_and_number_alone(ddpm: Path) -> None:
    images = wrap(ddpm, "a").cohort.images().astype(int)
    for name, batch_size in (("b", 1), ("c", 3)):
        again = wrap(ddpm, name, batch_size).cohort.images()
        # Kernels round differently for other batch sizes.
        assert np.abs(images - again).max() <= 1
    more = wrap(ddpm, "d", n=9).cohort.images()[:5]
    assert np.abs(images - more).max() <= 1
    other = wrap(ddpm, "e", seed=1).cohort.images()
    assert np.abs(images - other).max() > 50


def test_images_are_those_of_the_pipeline_itself(ddpm: Path) -> None:
    plan = check_pipeline(ddpm)
    pipeline = plan.open(seed=0, device="cpu")
    asked: dict[str, Any] = {}

    def call(**arguments: Any) -> Any:
        asked.update(arguments)
        return pipeline.call(**arguments)

    spied = type(pipeline)(call, pipeline.steps, pipeline.image_size, 0, {})
    made = spied.draw([3, 4], [{}, {}])
    seeds = [generator.initial_seed() for generator in asked.pop("generator")]
    assert seeds[1] - seeds[0] == 1
    fresh = DDPMPipeline.from_pretrained(ddpm, use_safetensors=True)
    fresh.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    expected = fresh(**asked, generator=generators).images[..., 0]
    assert np.abs(made.astype(int) - np.rint(expected * 255)).max() <= 1


def test_ddim_colour_and_another_size(tmp_path: Path) -> None:
    folder = tmp_path / "ddim"
    scheduler = DDIMScheduler(num_train_timesteps=40)
    DDIMPipeline(network(3, sample_size=(8, 12)), scheduler).save_pretrained(folder)
    plan = check_pipeline(folder)
    assert (plan.pipeline, plan.steps, plan.image_size) == ("DDIMPipeline", 40, (8, 12))
    result = wrap(folder, "c", steps=3, image_size=16)
    assert result.cohort.images().shape == (5, 16, 16)
    assert "enlarged" in {note.code for note in result.notes}
    assert result.cohort.provenance["request"]["steps"] == 3
    with pytest.raises(DataError, match="the pipeline has 40 steps"):
        wrap(folder, "d", steps=41)


def test_the_digest_covers_what_decides_the_images(ddpm: Path) -> None:
    digest = check_pipeline(ddpm).digest
    (ddpm / "README.md").write_text("x")
    assert check_pipeline(ddpm).digest == digest
    change(ddpm / "scheduler" / "scheduler_config.json", beta_end=0.03)
    assert check_pipeline(ddpm).digest != digest


def test_pickled_weights_in_place_of_safetensors_are_refused(ddpm: Path) -> None:
    weights = ddpm / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save({}, ddpm / "unet" / "diffusion_pytorch_model.bin")
    check_pipeline(ddpm)  # the safetensors are there, and they are read
    content = weights.read_bytes()
    weights.unlink()
    words = refused(ddpm)
    assert "diffusion_pytorch_model.safetensors is missing; pickled weights" in words
    assert "safe_serialization=True" in words
    torch.save({}, weights)
    with pytest.raises(DataError, match="cannot be loaded"):
        check_pipeline(ddpm).open(seed=0, device="cpu")
    weights.write_bytes(content)
    (ddpm / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text("{}")
    assert "weights in several files" in refused(ddpm)


def test_custom_code_is_refused(ddpm: Path) -> None:
    (ddpm / "unet" / "my_unet.py").write_text("raise SystemExit")
    change(ddpm / "model_index.json", _class_name=["pipeline", "MyPipeline"])
    change(ddpm / "model_index.json", unet=["my_unet", "MyUNet"], guard=["diffusers", "X"])
    change(ddpm / "unet" / "config.json", auto_map={"AutoModel": "my_unet.MyUNet"})
    words = refused(ddpm)
    for expected in (
        "unet/my_unet.py: code in the folder is not run",
        "a custom pipeline is not read",
        "unet must be UNet2DModel of diffusers",
        "unknown parts guard",
        "auto_map is not read",
    ):
        assert expected in words


@pytest.mark.parametrize(
    ("file", "changes", "words"),
    [
        ("model_index.json", {"_class_name": "StableDiffusionPipeline"}, "is not read, only DDPM"),
        ("model_index.json", {"scheduler": ["diffusers", "PNDMScheduler"]}, "scheduler must be"),
        (
            "unet/config.json",
            {"_class_name": "UNet2DConditionModel"},
            "must describe a UNet2DModel",
        ),
        ("unet/config.json", {"num_class_embeds": 3}, "class labels are not read"),
        ("unet/config.json", {"in_channels": 4}, "in_channels must be 1"),
        ("unet/config.json", {"sample_size": None}, "sample_size must be"),
        ("unet/config.json", {"quantization_config": {}}, "quantization_config is not read"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": "x"}, "num_train_timesteps"),
    ],
)
def test_pipelines_of_another_kind_are_refused(
    ddpm: Path, file: str, changes: dict[str, Any], words: str
) -> None:
    change(ddpm / file, **changes)
    assert words in refused(ddpm)


def test_missing_and_damaged_records_are_listed_together(ddpm: Path) -> None:
    (ddpm / "scheduler" / "scheduler_config.json").unlink()
    (ddpm / "unet" / "config.json").write_text("{")
    words = refused(ddpm)
    assert "scheduler/scheduler_config.json cannot be read" in words
    assert "unet/config.json is not valid JSON" in words


def test_weights_that_do_not_fit_are_refused(ddpm: Path) -> None:
    # diffusers would leave the missing layers at random and go on.
    change(ddpm / "unet" / "config.json", layers_per_block=2)
    with pytest.raises(DataError, match="does not hold the weights"):
        check_pipeline(ddpm).open(seed=0, device="cpu")
    change(ddpm / "unet" / "config.json", layers_per_block=1, block_out_channels=[8, 16])
    with pytest.raises(DataError, match="cannot be loaded"):
        check_pipeline(ddpm).open(seed=0, device="cpu")


def test_nan_is_refused(ddpm: Path) -> None:
    pipeline = check_pipeline(ddpm).open(seed=0, device="cpu")
    with torch.no_grad():
        pipeline.call.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(DataError, match="NaN"):
        pipeline.draw([0], [{}])


@pytest.mark.parametrize("device", ["cuda:99", "tpu"])
def test_a_device_that_is_absent_is_refused(ddpm: Path, device: str) -> None:
    with pytest.raises(UsageError, match="device="):
        check_pipeline(ddpm).open(seed=0, device=device)


def test_several_workers_are_refused(ddpm: Path) -> None:
    with pytest.raises(UsageError, match="--workers"):
        check_wrap(ddpm, ddpm.parent / "c", options=RunOptions(workers=2))
