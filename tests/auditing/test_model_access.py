from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bussynth.auditing.comparison import Comparison, open_comparison
from bussynth.auditing.config import AuditConfig
from bussynth.auditing.model_access import ModelAccess, check_model, open_model
from bussynth.auditing.run import audit, check_audit
from bussynth.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.errors import BussynthError, DataError, IntegrityError, UsageError
from bussynth.generator.config import AdaptConfig, GenerateConfig, TrainConfig
from bussynth.generator.generate import generate_cohort
from bussynth.generator.generator import Generator

Worlds = dict[str, Callable[..., Any]]


@pytest.fixture(scope="module")
def model(real: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    config = TrainConfig(preset="tiny-32", steps=2, batch_size=4)
    Generator.train(real, folder, config, options=RunOptions(device="cpu"))
    return folder


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    out = tmp_path_factory.mktemp("made") / "synthetic"
    return generate_cohort(
        model, out, GenerateConfig(n=6, steps=1), options=RunOptions(device="cpu")
    )


@pytest.fixture(scope="module")
def comparison(made: Cohort, real: Cohort) -> Comparison:
    return open_comparison(made, real=real)


@pytest.fixture(scope="module")
def access(model: Path, comparison: Comparison, real: Cohort) -> ModelAccess:
    pixels = {role: real.select(split=role).images() for role in ("train", "control")}
    checked = check_model(model, comparison)
    return open_model(checked, comparison, pixels, seed=1, device="cpu")


def test_a_model_that_belongs_needs_no_trust(model: Path, comparison: Comparison) -> None:
    checked = check_model(model, comparison)
    assert checked.notes == ()
    assert checked.digest == Generator.load(model, "cpu").digest


def test_a_foreign_model_is_refused(
    model: Path, real: Cohort, worlds: Worlds, tmp_path: Path
) -> None:
    images = worlds["images"](4, 5)
    foreign = worlds["synthetic"](tmp_path / "a", images, {"generator": "sha256:" + "0" * 64})
    with pytest.raises(DataError, match="does not belong to these images") as caught:
        check_model(model, open_comparison(foreign, real=real))
    assert caught.value.problems == ("the synthetic cohort names another model as its generator",)
    other = worlds["real"](tmp_path / "r", seed=5)
    with pytest.raises(DataError, match="does not belong") as caught:
        check_model(model, open_comparison(images, real=other))
    assert "trained on another cohort" in caught.value.problems[0]
    small = worlds["images"](6, 5, 8)
    with pytest.raises(DataError, match="does not belong") as caught:
        check_model(model, open_comparison(small[:2], train=small[2:4], control=small[4:]))
    assert caught.value.problems == ("its images have another size",)


def test_what_is_not_a_model(comparison: Comparison, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no model"):
        check_model(tmp_path, comparison)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(IntegrityError):
        check_model(tmp_path, comparison)


def test_arrays_are_taken_on_trust(model: Path, worlds: Worlds) -> None:
    images = worlds["images"](6, 5)
    found = open_comparison(images[:2], train=images[2:4], control=images[4:])
    assert len(check_model(model, found).notes) == 2
    pixels = {"train": images[2:4], "control": images[4:]}
    access = open_model(check_model(model, found), found, pixels, seed=1, device="cpu")
    assert access.conditions == (({}, {}), ({}, {}))
    assert access.renoise(np.array([1]), 0.3, 5).shape == (1, 16, 16)


def test_renoised_rows_belong_to_the_row_and_the_seed(access: ModelAccess, real: Cohort) -> None:
    train = real.select(split="train").images()
    rows = np.array([2, 0], np.int64)
    found = access.renoise(rows, 1e-6, 5)
    assert np.abs(found.astype(int) - train[rows].astype(int)).mean() < 2
    strong = access.renoise(rows, 0.5, 5)
    alone = access.renoise(rows[:1], 0.5, 5)
    assert np.abs(strong[:1].astype(int) - alone.astype(int)).max() <= 1
    assert not np.array_equal(strong, access.renoise(rows, 0.5, 6))
    assert access.renoise(rows[:0], 0.5, 5).shape == (0, 16, 16)


def test_conditions_are_those_of_the_rows(access: ModelAccess, real: Cohort) -> None:
    for given, role in zip(access.conditions, ("train", "control"), strict=True):
        rows = list(real.select(split=role))
        assert [row["pathology"] for row in given] == [row.conditions["pathology"] for row in rows]
        assert all(row["device"] == "a" for row in given)


def test_losses_are_one_number_an_image(access: ModelAccess) -> None:
    found = access.losses()
    n = len(access.images[0]) + len(access.images[1])
    assert len(found) == 6
    assert {name.rpartition(" ")[0] for name in found} == {"random noise", "proximal noise"}
    for scores in found.values():
        assert scores.shape == (n,)
        assert scores.dtype == np.float64
        assert np.isfinite(scores).all()
    again = access.losses()
    assert all(np.array_equal(found[name], again[name]) for name in found)


class _SeenError(Exception):
    pass


def test_the_audit_is_given_what_was_asked_for(
    model: Path, made: Cohort, real: Cohort, quick: AuditConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from audits import audit as audits_audit

    seen: dict[str, Any] = {}

    def spy(*sets: Any, **given: Any) -> None:
        seen.update(given, sets=sets)
        raise _SeenError

    monkeypatch.setattr(audits_audit, "audit_images", spy)
    for released in (False, True):
        seen.clear()
        with pytest.raises(_SeenError):
            audit(made, real=real, config=quick, model=model, release_model=released)
        assert seen["renoise"](np.array([0]), 0.2, 1).shape == (1, 16, 16)
        assert (seen["losses"] is not None) is released
    synthetic, train, control = seen["sets"]
    assert set(train.attributes) == set(control.attributes) == {"pathology", "device"}
    assert set(synthetic.attributes) == {"pathology", "device"}
    assert train.boxes.shape == (len(train), 4)


def test_dry_run_checks_the_model_too(
    model: Path, made: Cohort, real: Cohort, worlds: Worlds, tmp_path: Path
) -> None:
    assert check_audit(made, real=real, model=model)
    images = worlds["images"](3, 8)
    trusted = check_audit(worlds["synthetic"](tmp_path / "s", images), real=real, model=model)
    assert any("made the synthetic images is taken on trust" in note for note in trusted)
    with pytest.raises(UsageError, match="--release-model needs the model"):
        check_audit(made, real=real, release_model=True)
    with pytest.raises(BussynthError, match="overlaps"):
        check_audit(made, real=real, model=model, out=model / "audit")


def test_an_adapter_is_attacked_on_its_base(model: Path, real: Cohort, tmp_path: Path) -> None:
    config = AdaptConfig(base=str(model), rank=2, steps=2, batch_size=4)
    Generator.adapt(real, tmp_path / "adapter", config, options=RunOptions(device="cpu"))
    made = generate_cohort(
        tmp_path / "adapter",
        tmp_path / "made",
        GenerateConfig(n=6, steps=1),
        base=model,
        options=RunOptions(device="cpu"),
    )
    comparison = open_comparison(made, real=real)
    checked = check_model(tmp_path / "adapter", comparison, model)
    assert checked.notes == ()
    pixels = {role: real.select(split=role).images() for role in ("train", "control")}
    access = open_model(checked, comparison, pixels, seed=1, device="cpu")
    assert access.renoise(np.array([0]), 0.2, 1).shape == (1, *real.image_size)
    with pytest.raises(UsageError, match="--base"):
        open_model(
            check_model(tmp_path / "adapter", comparison), comparison, pixels, seed=1, device="cpu"
        )
    with pytest.raises(UsageError, match="give the adapter with --model"):
        check_audit(made, real=real, base=model)
