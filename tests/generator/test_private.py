"""Private trainings of the generator: what they cost, what they leave, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bussynth.cli import app
from bussynth.cohort import Cohort
from bussynth.cohort.cohort import LEDGER_FILE
from bussynth.config import RunOptions
from bussynth.errors import UsageError
from bussynth.generator import private_training
from bussynth.generator.base import Base, open_base
from bussynth.generator.config import AdaptConfig, GenerateConfig, TrainConfig
from bussynth.generator.ema import WeightAverage
from bussynth.generator.generate import generate_cohort
from bussynth.generator.generator import Generator
from bussynth.generator.plan import check_adapt, check_train
from bussynth.generator.private_config import PrivateConfig
from bussynth.generator.private_plan import (
    budget_ledger,
    check_public_base,
    open_ledger,
    plan_private,
)
from bussynth.generator.storage import read_record
from bussynth.modelcard.privacy import dp_claim
from privacy.dp.errors import BudgetError
from privacy.dp.mechanism import SampledGaussian

CPU = RunOptions(device="cpu")
PUBLIC: dict[str, Any] = {
    "dp_epsilon": 6.0, "dp_patients": 20, "dp_batch": 5, "steps": 3, "images_per_patient": 1,
    "noise_multiplicity": 2,
}  # fmt: skip


def private(model_folder: Path, **settings: Any) -> AdaptConfig:
    return AdaptConfig(base=str(model_folder), rank=1, **PUBLIC | settings)


@pytest.fixture
def hospital(site: Cohort, tmp_path: Path) -> Cohort:
    """A cohort of its own, for a ledger of its own."""
    return Cohort.open(shutil.copytree(site.path, tmp_path / "hospital"))


@pytest.fixture(scope="module")
def trained(
    site: Cohort, model_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Cohort, Path]:
    folder = tmp_path_factory.mktemp("private")
    cohort = Cohort.open(shutil.copytree(site.path, folder / "hospital"))
    Generator.adapt(cohort, folder / "adapter", private(model_folder), options=CPU)
    return cohort, folder / "adapter"


def test_a_private_adapter_says_what_it_costs(trained: tuple[Cohort, Path]) -> None:
    cohort, folder = trained
    spent = open_ledger(cohort).spent()
    assert 0 < spent.epsilon <= 6.0
    record = read_record(folder)["training"]
    claim = dp_claim(record)
    assert claim is not None
    assert (claim.epsilon, claim.delta) == (spent.epsilon, spent.delta)
    assert claim.unit.startswith("a patient")
    statement = record["privacy"]["statement"]
    assert [m["purpose"] for m in statement["mechanisms"]] == [
        "counts of conditions and lesion boxes", "training of the generator",
    ]  # fmt: skip
    assert statement["public_inputs"].keys() == {"base"}


def test_nothing_else_of_the_patients_is_left_in_the_folder(trained: tuple[Cohort, Path]) -> None:
    cohort, folder = trained
    assert {path.name for path in folder.iterdir()} == {
        "adapter.json", "adapter.safetensors", "prior.json",
    }  # fmt: skip
    text = "".join(path.read_text(errors="replace") for path in folder.iterdir())
    assert cohort.digest not in text
    assert "matrix" not in text, "a value that nobody declared"
    record = read_record(folder)["training"]
    assert record["loss"] is record["seconds"] is None, "a step takes longer with more patients"
    assert record["images"] is record["patients"] is record["identity"]["images"] is None
    assert record["identity"]["cohort"].startswith("hmac-sha256:")


def test_it_generates_what_was_declared(
    trained: tuple[Cohort, Path], model_folder: Path, tmp_path: Path
) -> None:
    model = Generator.load(trained[1], "cpu", base=model_folder)
    assert model.trained_on is None
    assert model.vocabulary == open_base(str(model_folder)).model.vocabulary
    made = generate_cohort(model, tmp_path / "s", GenerateConfig(n=4, steps=2))
    assert len(made) == 4
    assert made.provenance["trained_on"] is None
    assert made.provenance["privacy"] == read_record(trained[1])["training"]["privacy"]


def test_the_same_command_again_spends_nothing(
    trained: tuple[Cohort, Path], model_folder: Path
) -> None:
    cohort, folder = trained
    head = open_ledger(cohort).head
    again = Generator.adapt(cohort, folder, private(model_folder), options=CPU)
    assert again.digest == read_record(folder)["digest"]
    assert open_ledger(cohort).head == head


def test_the_cap_holds(trained: tuple[Cohort, Path], model_folder: Path, tmp_path: Path) -> None:
    cohort, _ = trained
    before = open_ledger(cohort).spent()
    with pytest.raises(UsageError, match=r"cap of these patients is 6"):
        Generator.adapt(cohort, tmp_path / "second", private(model_folder), options=CPU)
    assert open_ledger(cohort).spent() == before
    with pytest.raises(UsageError, match=r"cap of these patients is 6"):
        check_adapt(cohort, tmp_path / "second", private(model_folder), options=CPU)


def test_a_second_training_keeps_to_the_cap_without_naming_it(
    hospital: Cohort, model_folder: Path, tmp_path: Path
) -> None:
    Generator.adapt(
        hospital, tmp_path / "a", private(model_folder, dp_cap=30.0, dp_epsilon=3.0), options=CPU
    )
    second = private(model_folder, dp_epsilon=4.0)
    Generator.adapt(hospital, tmp_path / "b", second, options=CPU)
    assert open_ledger(hospital).cap.epsilon == 30.0
    assert read_record(tmp_path / "b")["training"]["privacy"]["epsilon"] == 30.0
    for other in ({"dp_cap": 40.0}, {"dp_delta": 1e-3}, {"dp_patients": 30}):
        with pytest.raises(UsageError, match="stays so"):
            check_adapt(hospital, tmp_path / "c", replace(second, **other), options=CPU)


def test_a_stopped_training_goes_on_and_pays_once(
    hospital: Cohort, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, config = tmp_path / "adapter", private(model_folder)
    update, calls = WeightAverage.update, 0

    def interrupted(self: WeightAverage, *arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        update(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(WeightAverage, "update", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Generator.adapt(hospital, out, config, options=CPU)
    assert check_adapt(hospital, out, config, options=CPU).state == "resume"
    counts, steps = open_ledger(hospital).registered()
    assert (counts.taken, steps.taken) == (1, 2)
    Generator.adapt(hospital, out, config, options=CPU)
    assert [one.taken for one in open_ledger(hospital).registered()] == [1, 3]
    assert read_record(out)["training"]["steps"] == 3


def test_a_ledger_that_lost_the_training_or_is_in_use_stops_it(
    hospital: Cohort, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, config = tmp_path / "adapter", private(model_folder)
    budget_ledger(hospital, config)
    before = shutil.copy(hospital.path / LEDGER_FILE, tmp_path / "backup")
    with monkeypatch.context() as patch:
        # As if another run had taken all steps in the meantime.
        patch.setattr(private_training, "private_steps", _taken)
        with pytest.raises(UsageError, match="all 3 are charged"):
            Generator.adapt(hospital, out, config, options=CPU)
    shutil.copy(before, hospital.path / LEDGER_FILE)
    with pytest.raises(UsageError, match="older copy"):
        Generator.adapt(hospital, out, config, options=CPU)


def _taken(*_: Any, **__: Any) -> Iterator[int]:
    raise BudgetError("No further step may be taken: all 3 are charged.")
    yield 0


def test_finishing_early_keeps_what_there_is(
    hospital: Cohort, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, config = tmp_path / "adapter", private(model_folder, dp_cap=20.0)
    store = private_training.store

    def then_stop(*arguments: Any) -> None:
        store(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(private_training, "store", then_stop)
        with pytest.raises(KeyboardInterrupt):
            Generator.adapt(hospital, out, config, options=CPU)
    Generator.adapt(hospital, out, config, options=CPU, finish=True)
    record = read_record(out)["training"]
    assert record["finished_early"]
    assert record["steps"] == 1
    # A stop may be a matter of what came out, so the whole plan is paid for.
    assert record["privacy"]["epsilon"] > 5.5


def test_images_that_cannot_be_read_do_not_stop_the_counting_of_steps(
    hospital: Cohort, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose = private_training.compose

    def failing(data: Any, rows: Any, *rest: Any) -> Any:
        if rows.min() <= 1:  # the images of the first patient, or two
            raise OSError("unreadable")
        return compose(data, rows, *rest)

    monkeypatch.setattr(private_training, "compose", failing)
    config = private(model_folder, dp_batch=20)  # everybody, in each step
    for _ in range(3):
        with pytest.raises(OSError, match="unreadable"):
            Generator.adapt(hospital, tmp_path / "adapter", config, options=CPU)
    assert [one.taken for one in open_ledger(hospital).registered()] == [1, 3]


def test_training_from_scratch_takes_declared_values_only(hospital: Cohort, tmp_path: Path) -> None:
    config = TrainConfig(preset="tiny-32", **PUBLIC)
    with pytest.raises(UsageError, match="--dp-values"):
        check_train(hospital, tmp_path / "m", config, options=CPU)
    declared = replace(config, dp_values={"pathology": "benign,malignant"})
    plan = check_train(hospital, tmp_path / "m", declared, options=CPU)
    assert plan.vocabulary == {"pathology": ("benign", "malignant")}
    assert plan.architecture.values == (2,)
    assert not (hospital.path / LEDGER_FILE).exists(), "a plan spends nothing"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dp_epsilon": 1.0}, "dp_patients"),
        ({"dp_epsilon": 1.0, "dp_patients": 5, "dp_batch": 6}, "more than dp_patients"),
        ({"dp_epsilon": 3.0, "dp_patients": 50, "dp_cap": 1.0}, "below dp_epsilon"),
        ({"dp_epsilon": 0.0, "dp_patients": 50}, "at least"),
        ({"dp_epsilon": 1.0, "dp_patients": 5, "dp_values": {"a": "x,,y"}}, "each once"),
        ({"dp_patients": 50}, "needs dp_epsilon"),
        ({"dp_delta": 1e-5}, "needs dp_epsilon"),
        ({"noise_multiplicity": 8}, "noise_multiplicity needs dp_epsilon"),
    ],
)
def test_settings_that_mean_nothing(settings: Mapping[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        PrivateConfig.from_dict(settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"minutes": 1.0}, "minutes"),
        ({"batch_size": 8}, "dp_batch"),
        ({"accumulate": 2}, "accumulate"),
        ({"dp_delta": 0.01}, "tenth of one"),
        ({"dp_epsilon": 0.001, "dp_delta": 1e-9, "steps": 10**9}, "No noise"),
    ],
)
def test_plans_without_a_meaning_are_refused(
    hospital: Cohort, model_folder: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check_adapt(hospital, tmp_path / "a", private(model_folder, **settings), options=CPU)


def test_a_base_must_be_public(
    model_folder: Path, cohort: Cohort, site: Cohort, tmp_path: Path
) -> None:
    base = open_base(str(model_folder))
    check_public_base(base, site, declared=False)
    with pytest.raises(UsageError, match="very cohort"):
        check_public_base(base, cohort, declared=True)
    training = {**base.model.training, "cohort": {"digest": "sha256:" + "1" * 64, "kind": "real"}}
    clinic = Base(model=replace(base.model, training=training), name=None)
    with pytest.raises(UsageError, match="not known to be public"):
        check_public_base(clinic, site, declared=False)
    check_public_base(clinic, site, declared=True)
    check_public_base(replace(clinic, name="builtin:x"), site, declared=False)


def test_synthetic_cohorts_have_nobody_to_protect(
    generator: Generator, model_folder: Path, tmp_path: Path
) -> None:
    made = generate_cohort(generator, tmp_path / "s", GenerateConfig(n=4, steps=2))
    with pytest.raises(UsageError, match="no patients to protect"):
        check_adapt(made, tmp_path / "a", private(model_folder), options=CPU)


def test_a_hopeless_plan_is_called_so() -> None:
    config = AdaptConfig(dp_epsilon=1.0, dp_patients=60, steps=100, dp_batch=8)
    words = " ".join(plan_private(config, 300_000).advice())
    assert "hardly different from the base" in words
    assert "fewer than 100 patients" in words
    large = AdaptConfig(dp_epsilon=8.0, dp_patients=100_000, steps=100, dp_batch=5_000)
    assert not plan_private(large, 10_000).advice()


def test_an_adapter_learns_the_slower_the_noisier_it_is(
    hospital: Cohort, model_folder: Path, tmp_path: Path
) -> None:
    quiet = plan_private(AdaptConfig(dp_epsilon=8.0, dp_patients=100_000, steps=20), 10_000)
    assert quiet.adapt_rate == 0.03
    loud = plan_private(AdaptConfig(dp_epsilon=1.0, dp_patients=100, steps=20), 10_000)
    assert loud.adapt_rate == pytest.approx(0.03 / loud.noise_to_signal, abs=1e-5)
    plan = check_adapt(hospital, tmp_path / "a", private(model_folder), options=CPU)
    assert plan.private is not None
    assert plan.config.learning_rate == plan.private.adapt_rate
    given = private(model_folder, learning_rate=0.5)
    assert check_adapt(hospital, tmp_path / "a", given, options=CPU).config.learning_rate == 0.5


def test_delta_is_a_twentieth_of_a_patient_unless_given() -> None:
    assert PrivateConfig(dp_epsilon=1.0, dp_patients=640).delta == 7e-5
    assert PrivateConfig(dp_epsilon=1.0, dp_patients=640, dp_delta=1e-6).delta == 1e-6
    for patients in (1, 99, 1000, 123_456):
        assert 0 < PrivateConfig(dp_epsilon=1.0, dp_patients=patients).delta <= 1 / (20 * patients)


def test_on_the_command_line(
    trained: tuple[Cohort, Path], hospital: Cohort, model_folder: Path
) -> None:
    cohort, folder = trained
    run = CliRunner()
    flags = ["--base", str(model_folder), "--dp-epsilon", "2", "--dp-patients", "20", "--dry-run"]
    place = ["--out", str(folder) + "2"]
    shown = run.invoke(app.app, ["adapt", str(hospital.path), *place, *flags])
    assert shown.exit_code == 0, shown.output
    assert "Private for every patient" in shown.output
    assert "hardly different" in shown.output
    shown = run.invoke(app.app, ["adapt", str(cohort.path), *place, *flags])
    assert shown.exit_code == 2, "nothing is left of the budget"
    ledger = budget_ledger(hospital, private(model_folder))
    ledger.register("never begun", SampledGaussian(noise_multiplier=9.0))
    shown = run.invoke(app.app, ["ledger", str(hospital.path), "--close-idle"])
    assert "given back: never begun" in shown.output
    listed = run.invoke(app.app, ["ledger", str(cohort.path)])
    assert "training of the generator" in listed.output
    data = json.loads(run.invoke(app.app, ["ledger", str(cohort.path), "--json"]).stdout)
    assert data["result"]["mechanisms"][1]["taken"] == 3


def test_a_cohort_with_a_ledger_is_not_replaced(trained: tuple[Cohort, Path]) -> None:
    with pytest.raises(UsageError, match="privacy"):
        Cohort.check_place(trained[0].path, "phantom", force=True)


def test_an_edited_ledger_ends_everything(
    hospital: Cohort, model_folder: Path, tmp_path: Path
) -> None:
    (hospital.path / LEDGER_FILE).write_bytes(b"not a database")
    with pytest.raises(UsageError, match="ledger"):
        Generator.adapt(hospital, tmp_path / "a", private(model_folder), options=CPU)
    assert not (tmp_path / "a").exists()
