from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import bussynth
from bussynth.cli import app
from bussynth.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.errors import DataError, IntegrityError, UsageError
from bussynth.generator import training
from bussynth.generator.adapter import open_model
from bussynth.generator.base import carry_over, open_base
from bussynth.generator.checkpoint import Position
from bussynth.generator.conditions import ConditionEncoder
from bussynth.generator.config import TARGETS, AdaptConfig, GenerateConfig, TrainConfig
from bussynth.generator.generate import generate_cohort
from bussynth.generator.generator import Generator
from bussynth.generator.lora import adapter_names, adapter_shapes, inject, merge
from bussynth.generator.network import Architecture
from bussynth.generator.plan import check_adapt, check_train
from bussynth.generator.presets import PRESETS
from bussynth.generator.storage import read_adapter, read_model, read_record
from bussynth.generator.training import build_denoiser

CPU = RunOptions(device="cpu")


def short(model_folder: Path, steps: int = 4) -> AdaptConfig:
    return AdaptConfig(base=str(model_folder), rank=2, steps=steps, batch_size=4)


@pytest.fixture(scope="module")
def adapter(site: Cohort, model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapters") / "adapter"
    Generator.adapt(site, folder, short(model_folder), options=CPU)
    return folder


def test_carried_over_by_name(model_folder: Path, site: Cohort) -> None:
    base = open_base(str(model_folder))
    architecture = base.architecture((16, 16), site.vocabulary)
    weights = carry_over(base.model, architecture, site.vocabulary)
    old = base.model.weights
    device, task, pathology = (weights[f"network.columns.{j}.weight"] for j in range(3))
    # birads, device, pathology there; "linear" is the base's second device.
    assert torch.equal(device[1], old["network.columns.1.weight"][2])
    assert torch.equal(device[2], old["network.columns.1.weight"][0])
    assert task.abs().max() == 0
    assert task.shape[0] == 3
    assert torch.equal(pathology, old["network.columns.2.weight"])
    build_denoiser(architecture).load_state_dict(weights)


def test_a_new_vocabulary_changes_nothing_at_first(
    model_folder: Path, generator: Generator, site: Cohort
) -> None:
    base = open_base(str(model_folder))
    architecture = base.architecture((16, 16), site.vocabulary)
    model = read_model(model_folder)
    changed = Generator(
        replace(
            model,
            architecture=architecture,
            vocabulary=site.vocabulary,
            weights=carry_over(base.model, architecture, site.vocabulary),
        ),
        "cpu",
    )
    asked = {"pathology": "malignant", "device": "linear", "lesion_box": (2, 2, 9, 9)}
    before = generator.sample([asked], [5], steps=3)
    after = changed.sample([asked | {"nodal_status": "positive"}], [5], steps=3)
    assert np.abs(before.astype(int) - after).max() <= 1


def test_merged_equals_peft(model_folder: Path) -> None:
    model = read_model(model_folder)
    denoiser = build_denoiser(model.architecture)
    denoiser.load_state_dict(dict(model.weights))
    inject(denoiser, 3, 6.0, TARGETS, seed=1)
    stream = torch.Generator().manual_seed(2)
    trained = {}
    for name, parameter in denoiser.named_parameters():
        if parameter.requires_grad:
            trained[name] = parameter.detach()
            parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=stream))
    assert len(trained) > 10
    plain = build_denoiser(model.architecture)
    plain.load_state_dict(merge(model.weights, adapter_names(trained), scale=2.0))
    conditions = ConditionEncoder(model.vocabulary, (16, 16)).encode(
        [{"pathology": "benign", "lesion_box": (1, 1, 8, 8)}, {"birads": "4"}]
    )
    x = torch.randn((2, 4, 8, 8), generator=stream)
    with torch.no_grad():
        expected = denoiser(x, torch.ones(2), conditions)
        assert torch.allclose(plain(x, torch.ones(2), conditions), expected, atol=1e-5)
        base = build_denoiser(model.architecture)
        base.load_state_dict(dict(model.weights))
        assert (base(x, torch.ones(2), conditions) - expected).abs().max() > 1e-3


def test_adapts_to_new_labels_and_devices(adapter: Path, model_folder: Path, site: Cohort) -> None:
    stored = read_adapter(adapter)
    assert stored.base == {"digest": read_model(model_folder).digest, "name": None}
    assert all(".base_layer." not in name for name in stored.weights)
    generator = Generator.load(adapter, "cpu", base=model_folder)
    assert generator.vocabulary == {k: tuple(v) for k, v in site.vocabulary.items()}
    assert generator.trained_on == site.digest
    asked = {"device": "matrix", "nodal_status": "positive", "pathology": "benign"}
    assert generator.sample([asked], [1], steps=2).shape == (1, 16, 16)
    # Its record names the base's digest and cohort, not its place.
    assert str(model_folder) not in json.dumps(read_record(adapter))
    assert generator.training["base"]["cohort"]["kind"] == "phantom"


def test_adapter_is_small(adapter: Path, model_folder: Path) -> None:
    size = (adapter / "adapter.safetensors").stat().st_size
    assert size < 0.3 * (model_folder / "weights.safetensors").stat().st_size


def test_only_updates_embeddings_and_means_are_trained(adapter: Path) -> None:
    names = set(load_file(adapter / "adapter.safetensors"))
    whole = ("network.columns.", "network.box_state.", "network.mean.")
    assert all(".lora_" in name or name.startswith(whole) for name in names)


def test_workers_generate_from_an_adapter(
    adapter: Path, model_folder: Path, tmp_path: Path
) -> None:
    config = GenerateConfig(n=6, steps=2, chunk_size=3)
    digests = set()
    for workers in (1, 2):
        made = generate_cohort(
            adapter,
            tmp_path / str(workers),
            config,
            base=model_folder,
            options=RunOptions(device="cpu", workers=workers),
        )
        digests.add(made.digest)
    assert len(digests) == 1


def test_interrupted_adaptation_goes_on(
    site: Cohort, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = AdaptConfig(base=str(model_folder), rank=2, steps=5, batch_size=4, checkpoint_steps=2)
    Generator.adapt(site, tmp_path / "whole", config, options=CPU)
    step = training._Run.step

    def power_cut(run: training._Run, position: Position) -> torch.Tensor:
        if position.step == 3:
            raise KeyboardInterrupt
        return step(run, position)

    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "step", power_cut)
        with pytest.raises(KeyboardInterrupt):
            Generator.adapt(site, tmp_path / "parts", config, options=CPU)
    with pytest.raises(IntegrityError, match="unfinished"):
        Generator.load(tmp_path / "parts", "cpu", model_folder)
    Generator.adapt(site, tmp_path / "parts", config, options=CPU)
    assert read_adapter(tmp_path / "whole").digest == read_adapter(tmp_path / "parts").digest


def test_another_base_is_refused(adapter: Path, cohort: Cohort, tmp_path: Path) -> None:
    config = TrainConfig(preset="tiny-32", steps=1, batch_size=4, seed=7)
    Generator.train(cohort, tmp_path / "other", config, options=CPU)
    with pytest.raises(IntegrityError, match="another base"):
        Generator.load(adapter, "cpu", tmp_path / "other")
    with pytest.raises(UsageError, match="--base"):
        Generator.load(adapter, "cpu")
    with pytest.raises(UsageError, match="whole model"):
        Generator.load(tmp_path / "other", "cpu", tmp_path / "other")
    with pytest.raises(UsageError, match="name the model that it was fitted to"):
        open_base(str(adapter))


def test_a_base_of_another_size_is_refused(
    model_folder: Path, larger_site: Cohort, tmp_path: Path
) -> None:
    larger = larger_site
    with pytest.raises(UsageError, match="16x16 pixels, the cohort has 32x32"):
        check_adapt(larger, tmp_path / "a", short(model_folder))
    with pytest.raises(UsageError, match="16x16 pixels, the cohort has 32x32"):
        check_train(larger, tmp_path / "a", TrainConfig(base=str(model_folder)))


def test_unknown_names(site: Cohort, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no builtin:phantom-46"):
        check_adapt(site, tmp_path / "a", AdaptConfig(base="builtin:phantom-46"))
    with pytest.raises(UsageError, match=r"no part 'atention'; did you mean \"attention\""):
        AdaptConfig(targets=("atention",))
    with pytest.raises(UsageError, match="at least 1"):
        AdaptConfig(rank=0)
    with pytest.raises(DataError, match="no model"):
        open_base(str(tmp_path))


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.nan, math.inf])
def test_alpha_is_a_positive_number(alpha: float) -> None:
    with pytest.raises(UsageError, match="alpha="):
        AdaptConfig(alpha=alpha)


def test_alpha_is_the_rank_if_not_given() -> None:
    assert AdaptConfig(rank=3).scale == 3.0
    assert AdaptConfig(rank=3, alpha=0.5).scale == 0.5


def test_parts_that_the_base_lacks(site: Cohort, model_folder: Path, tmp_path: Path) -> None:
    """The base of these tests has no attention."""
    for targets in (("attention",), ("projection", "attention")):
        config = replace(short(model_folder), targets=targets)
        with pytest.raises(
            UsageError, match=r"no attention; choose among convolution, projection, c"
        ):
            Generator.adapt(site, tmp_path / "a", config, options=CPU)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "targets",
    [
        TARGETS,
        ("attention",),
        ("convolution", "projection"),
        ("conditions",),
        ("means", "attention"),
        ("biases", "attention"),
        ("output", "convolution"),
    ],
)
def test_the_size_of_an_adapter_is_foretold(targets: tuple[str, ...]) -> None:
    values = (3, 2, 3)
    architecture = Architecture.of(PRESETS["small-64"], (16, 16), {}, augmented=True)
    denoiser = build_denoiser(replace(architecture, values=values))
    shapes = sorted(adapter_shapes(denoiser.get_submodule("network"), 3, targets))
    inject(denoiser, 3, 3.0, targets, seed=0)
    assert shapes == sorted(p.numel() for p in denoiser.parameters() if p.requires_grad)


def test_the_plan_tells_the_size_of_the_file(
    adapter: Path, model_folder: Path, site: Cohort, cohort: Cohort, tmp_path: Path
) -> None:
    plan = check_adapt(site, tmp_path / "a", short(model_folder))
    size = (adapter / "adapter.safetensors").stat().st_size
    assert plan.to_dict()["file_bytes"] == pytest.approx(size, rel=0.1)
    size = (model_folder / "weights.safetensors").stat().st_size
    for precision, share in (("float32", 1.0), ("float16", 0.5)):
        train = check_train(cohort, tmp_path / "m", TrainConfig(preset="tiny-32", store=precision))
        assert train.file_bytes == pytest.approx(share * size, rel=0.1)


def test_dry_run_tells_the_size(site: Cohort, model_folder: Path, tmp_path: Path) -> None:
    arguments = ["adapt", str(site.path), "--base", str(model_folder), "--dry-run"]
    arguments += ["--out", str(tmp_path / "a")]
    shown = CliRunner().invoke(app.app, arguments)
    assert shown.exit_code == 0, shown.output
    assert "adapter file of about 0." in shown.stdout
    finished = CliRunner().invoke(app.app, [*arguments, "--finish"])
    assert finished.exit_code == 2
    assert "holds no training" in finished.stderr


def test_an_adaptation_can_be_finished_early(
    site: Cohort, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(short(model_folder), checkpoint_steps=2)
    step = training._Run.step

    def power_cut(run: training._Run, position: Position) -> torch.Tensor:
        if position.step == 3:
            raise KeyboardInterrupt
        return step(run, position)

    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "step", power_cut)
        with pytest.raises(KeyboardInterrupt):
            Generator.adapt(site, tmp_path / "a", config, options=CPU)
        # Of a training, the checkpoint is what is left: two steps.
        made = bussynth.adapt(site, tmp_path / "a", device="cpu", finish=True, **_given(config))
    assert (made.training["finished_early"], made.training["steps"]) == (True, 2)
    assert made.sample([{}], [0], steps=2).shape == (1, 16, 16)


def _given(config: AdaptConfig) -> dict[str, Any]:
    return {k: v for k, v in config.to_dict().items() if v is not None}


def test_pickled_weights_are_never_read(adapter: Path, model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(DataError, match="only safetensors"):
        open_base(str(tmp_path))
    copy = Path(shutil.copytree(model_folder, tmp_path / "copy"))
    (copy / "weights.safetensors").unlink()
    (copy / "weights.pt").write_bytes(b"\x80\x04.")
    with pytest.raises(IntegrityError, match="only safetensors"):
        open_base(str(copy))


def test_training_from_a_base(cohort: Cohort, model_folder: Path, tmp_path: Path) -> None:
    config = TrainConfig(
        preset="tiny-32", steps=1, batch_size=4, learning_rate=1e-7, base=str(model_folder)
    )
    model = Generator.train(cohort, tmp_path / "m", config, options=CPU)
    assert model.training["base"]["digest"] == read_model(model_folder).digest
    assert "base" not in model.training["config"]
    old, new = read_model(model_folder).weights, read_model(tmp_path / "m").weights
    assert all((old[name] - new[name]).abs().max() < 1e-4 for name in old)
    with pytest.raises(UsageError, match="augment"):
        check_train(
            cohort,
            tmp_path / "n",
            TrainConfig(preset="tiny-32", base=str(model_folder), augment=0.1),
        )


def test_settings_that_contradict_the_base(
    cohort: Cohort, model_folder: Path, tmp_path: Path
) -> None:
    base = TrainConfig(preset="tiny-32", base=str(model_folder))
    for change, found in (
        ({"factor": 1}, "factor=1, the base has 2"),
        ({"prediction": "epsilon"}, "prediction='epsilon', the base has 'edm'"),
        ({"preset": "small-64"}, "preset='small-64' is another network"),
    ):
        with pytest.raises(UsageError) as caught:
            check_train(cohort, tmp_path / "m", replace(base, **change))
        assert caught.value.problems == (found,)
    # The same said twice is the same training.
    said = replace(base, factor=2, prediction="edm")
    plans = [check_train(cohort, tmp_path / "m", config) for config in (base, said)]
    assert plans[0].identity == plans[1].identity


def test_open_model_takes_plain_models(model_folder: Path) -> None:
    assert open_model(model_folder).digest == read_model(model_folder).digest


def test_a_cohort_with_the_same_conditions(
    model_folder: Path, cohort: Cohort, tmp_path: Path
) -> None:
    plan = check_adapt(cohort, tmp_path / "a", AdaptConfig(base=str(model_folder), steps=2))
    assert plan.config.embedding_rate == 10  # new values have far to go
    plain = check_train(cohort, tmp_path / "m", TrainConfig(preset="tiny-32"))
    assert plain.config.embedding_rate == 1
    assert plan.architecture == read_model(model_folder).architecture
    assert plan.to_dict()["base"]["name"] is None
