from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bussynth.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.errors import IntegrityError, UsageError
from bussynth.generator import folder, training
from bussynth.generator.batches import Batch
from bussynth.generator.checkpoint import CHECKPOINT_FILE, TRAINING_FILE, LossLog, Position
from bussynth.generator.config import TrainConfig
from bussynth.generator.distributed import World
from bussynth.generator.generator import Generator
from bussynth.generator.storage import read_model
from bussynth.generator.training import Schedule, build_denoiser
from bussynth.progress import Progress, Task

CPU = RunOptions(device="cpu")
SHORT = TrainConfig(preset="tiny-32", steps=9, batch_size=4, checkpoint_steps=2)

RUN = """
import sys, torch
torch.set_num_threads(1)
from bussynth.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.generator.config import TrainConfig
from bussynth.generator.generator import Generator
config = TrainConfig(preset="tiny-32", steps=2_000, batch_size=4, checkpoint_steps=1)
Generator.train(Cohort.open(sys.argv[1]), sys.argv[2], config, options=RunOptions(device="cpu"))
"""


class Stop(Exception):  # noqa: N818 - no error
    """The power cut of these tests."""


class StopAfter(Progress):
    """Interrupts a training after some batches."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    @staticmethod
    def stop(*_: object) -> None:
        raise Stop

    @contextmanager
    def task(
        self, description: str, total: int | None = None, unit: str = "images", done: int = 0
    ) -> Iterator[Task]:
        outer = self

        class Counting(Task):
            def advance(self, n: int = 1, **info: str | float) -> None:
                if description == "Training" and n > 0:
                    outer.batches -= 1
                    if outer.batches < 0:
                        raise Stop

        yield Counting()


def loss_lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "loss.jsonl").read_text().splitlines()]


def test_training_reduces_the_loss(model_folder: Path) -> None:
    losses = [line["loss"] for line in loss_lines(model_folder)]
    assert len(losses) == 3
    assert losses[-1] < 0.8 * losses[0]


def test_resumed_equals_uninterrupted(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_LOG_STEPS", 4)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    Generator.train(cohort, whole, SHORT, options=CPU)
    for batches in (5, 3):
        with pytest.raises(Stop):
            Generator.train(cohort, parts, SHORT, options=CPU, progress=StopAfter(batches))
        with pytest.raises(IntegrityError, match="unfinished"):
            Generator.load(parts)
    Generator.train(cohort, parts, SHORT, options=CPU)
    weights, resumed = (load_file(f / "weights.safetensors") for f in (whole, parts))
    assert all((weights[name] == resumed[name]).all() for name in weights)
    assert Generator.load(whole).digest == Generator.load(parts).digest
    assert not (parts / CHECKPOINT_FILE).exists()
    assert not (parts / TRAINING_FILE).exists()
    # The second run went on from step 6, with a line for 5 to 8 still to be written.
    assert [line["step"] for line in loss_lines(parts)] == [4, 8, 9]
    clock = {"seconds", "images_per_second"}
    one, other = (
        [{k: v for k, v in line.items() if k not in clock} for line in loss_lines(folder)]
        for folder in (whole, parts)
    )
    assert one == other


def test_another_seed_gives_other_weights(cohort: Cohort, tmp_path: Path) -> None:
    digests = set()
    for seed in (0, 1):
        config = TrainConfig(preset="tiny-32", steps=1, batch_size=4, seed=seed)
        digests.add(Generator.train(cohort, tmp_path / str(seed), config, options=CPU).digest)
    assert len(digests) == 2


@pytest.mark.parametrize("rate", [0.0, 20.0])
def test_condition_embeddings_have_a_rate_of_their_own(
    cohort: Cohort, tmp_path: Path, rate: float
) -> None:
    config = TrainConfig(
        preset="tiny-32",
        steps=3,
        batch_size=4,
        learning_rate=1e-3,
        embedding_rate=rate,
        ema_decay=0.0,
        warmup_steps=0,
    )
    Generator.train(cohort, tmp_path / "m", config, options=CPU)
    model = read_model(tmp_path / "m")
    before = build_denoiser(model.architecture, config.seed).state_dict()
    for name, value in model.weights.items():
        moved = (value - before[name]).abs().max().item()
        embeds = name.startswith("network.columns.")
        farthest = 1.2 * 3 * 1e-3  # in three steps of Adam at the rate of the rest
        assert moved <= farthest * (rate if embeds else 1), name
        if rate and embeds:
            assert moved > farthest, name


def test_kill_and_resume(cohort: Cohort, tmp_path: Path) -> None:
    out = tmp_path / "model"
    process = subprocess.Popen([sys.executable, "-c", RUN, str(cohort.path), str(out)])
    try:
        deadline = time.monotonic() + 120
        while not (out / CHECKPOINT_FILE).exists():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail("the training process wrote no checkpoint")
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with pytest.raises(IntegrityError, match="unfinished"):
        Generator.load(out)
    # The same command goes on; a shorter one is another training.
    with pytest.raises(UsageError, match="steps: 2000 there, 9 now"):
        Generator.train(cohort, out, SHORT, options=CPU)
    config = TrainConfig(preset="tiny-32", steps=2_000, batch_size=4)
    with pytest.raises(Stop):
        Generator.train(cohort, out, config, options=CPU, progress=StopAfter(3))
    assert Generator.train(cohort, out, SHORT, options=CPU, force=True).training["steps"] == 9


def test_finished_training_is_not_repeated(cohort: Cohort, tmp_path: Path) -> None:
    config = TrainConfig(preset="tiny-32", steps=1, batch_size=4)
    first = Generator.train(cohort, tmp_path / "m", config, options=CPU)
    before = (tmp_path / "m" / "model.json").stat().st_mtime_ns
    again = Generator.train(cohort, tmp_path / "m", config, options=CPU)
    assert again.digest == first.digest
    assert (tmp_path / "m" / "model.json").stat().st_mtime_ns == before


def test_damaged_checkpoint_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(Stop):
        Generator.train(cohort, tmp_path / "m", SHORT, options=CPU, progress=StopAfter(4))
    file = tmp_path / "m" / CHECKPOINT_FILE
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(IntegrityError, match="--force"):
        Generator.train(cohort, tmp_path / "m", SHORT, options=CPU)


def _stopped(cohort: Cohort, folder: Path) -> Path:
    with pytest.raises(Stop):
        Generator.train(cohort, folder, SHORT, options=CPU, progress=StopAfter(4))
    return folder / CHECKPOINT_FILE


def _rewrite(file: Path, tensors: dict[str, torch.Tensor], **metadata: str) -> None:
    with safe_open(file, framework="pt") as opened:
        found = opened.metadata()
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, file, found | metadata)


@pytest.mark.parametrize(
    ("schema", "match"),
    [("bussynth-training/9", "newer bussynth"), ("bussynth-training/0", "older bussynth.*--force")],
)
def test_trainings_of_other_versions_are_refused(
    cohort: Cohort, tmp_path: Path, schema: str, match: str
) -> None:
    file, record = _stopped(cohort, tmp_path / "m"), tmp_path / "m" / TRAINING_FILE
    _rewrite(file, load_file(file), schema=schema)
    with pytest.raises(IntegrityError, match=match):
        Generator.train(cohort, tmp_path / "m", SHORT, options=CPU)
    content = json.loads(record.read_text())
    record.write_text(json.dumps(content | {"schema": schema}))
    with pytest.raises(IntegrityError, match=match):
        Generator.train(cohort, tmp_path / "m", SHORT, options=CPU)
    record.write_text(json.dumps(content["identity"]))  # before there was a schema
    with pytest.raises(IntegrityError, match=r"names no schema.*--force"):
        Generator.train(cohort, tmp_path / "m", SHORT, options=CPU)
    Generator.train(cohort, tmp_path / "m", SHORT, options=CPU, force=True)


@pytest.mark.parametrize("change", ["rename", "reshape", "broadcast", "add", "no losses"])
def test_a_checkpoint_of_another_network_is_refused(
    cohort: Cohort, tmp_path: Path, change: str
) -> None:
    file = _stopped(cohort, tmp_path / "m")
    tensors = load_file(file)
    name = "ema/network.unet.conv_in.weight"
    tensor = tensors.pop("losses" if change == "no losses" else name)
    changed = {
        "rename": {name.replace("conv_in", "conv_inn"): tensor},
        "reshape": {name: tensor.flatten()},
        "broadcast": {name: torch.zeros(1)},
        "add": {name: tensor, "model/more": tensor},
        "no losses": {},
    }
    _rewrite(file, tensors | changed[change])
    with pytest.raises(IntegrityError, match=r"another network.*--force"):
        Generator.train(cohort, tmp_path / "m", SHORT, options=CPU)


def test_minutes_stop_the_training(cohort: Cohort, tmp_path: Path) -> None:
    config = TrainConfig(preset="tiny-32", minutes=0.01, batch_size=2)
    record = Generator.train(cohort, tmp_path / "m", config, options=CPU).training
    assert record["steps"] >= 1
    assert record["seconds"] >= 0.6


def test_schedule() -> None:
    schedule = Schedule(steps=100, minutes=None, warmup_steps=9, cosine=True)
    rates = [schedule.rate(Position(step, 0.0)) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1, abs=0.03)
    assert rates[-1] == pytest.approx(0.01, abs=0.01)
    assert schedule.progress(Position(50, 1e9)) == 0.5
    timed = Schedule(steps=None, minutes=2, warmup_steps=0, cosine=False)
    assert timed.progress(Position(10**9, 60.0)) == 0.5
    assert timed.rate(Position(5, 119.0)) == 1


def test_loss_log_drops_what_is_past_the_checkpoint(tmp_path: Path) -> None:
    log = LossLog(tmp_path, 0)
    for step in (50, 100, 150):
        log.write({"step": step, "loss": step / 100})
    with (tmp_path / "loss.jsonl").open("a") as stream:
        stream.write('{"step": 20')  # cut short by a kill
    assert LossLog(tmp_path, 120).last == 1.0
    assert [line["step"] for line in loss_lines(tmp_path)] == [50, 100]


def test_accumulated_steps_are_the_same_steps(cohort: Cohort, tmp_path: Path) -> None:
    models = []
    for parts in (1, 4):
        config = TrainConfig(preset="tiny-32", steps=3, batch_size=8, accumulate=parts)
        models.append(Generator.train(cohort, tmp_path / str(parts), config, options=CPU))
    whole, parts_ = (load_file(tmp_path / name / "weights.safetensors") for name in "14")
    assert all((whole[name] - parts_[name]).abs().max() < 2e-4 for name in whole)
    with pytest.raises(UsageError, match="cannot be cut into 3"):
        Generator.train(
            cohort, tmp_path / "x", TrainConfig(preset="tiny-32", batch_size=8, accumulate=3)
        )


def test_two_processes_train_as_one(cohort: Cohort, tmp_path: Path) -> None:
    """As torchrun and accelerate launch do it: RANK and WORLD_SIZE in the environment."""
    command = [sys.executable, "-m", "bussynth", "train", str(cohort.path), "--device", "cpu"]
    command += ["--preset", "tiny-32", "--steps", "3", "--batch-size", "8", "--quiet", "--out"]
    subprocess.run([*command, str(tmp_path / "one")], check=True, timeout=300)
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [sys.executable, *launch, *command[1:], str(tmp_path / "two")], check=True, timeout=300
    )
    one, two = (load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    assert all((one[name] - two[name]).abs().max() < 2e-4 for name in one)
    assert Generator.load(tmp_path / "two").training["processes"] == 2
    assert [line["step"] for line in loss_lines(tmp_path / "two")] == [3]


def test_a_loss_that_is_no_number_keeps_the_last_good_weights(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = training._Run._loss

    def poisoned(run: training._Run, batch: Batch) -> torch.Tensor:
        value = loss(run, batch)
        return value * math.nan if run.batches.batch(5).sigma[0] == batch.sigma[0] else value

    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "_loss", poisoned)
        with pytest.raises(UsageError, match=r"no longer a number at step 6.*--finish"):
            Generator.train(cohort, tmp_path / "m", SHORT, options=CPU)
        shutil.copytree(tmp_path / "m", tmp_path / "kept")
        # No way on, but the average of the five good steps makes a model.
        with monkeypatch.context() as killed:
            killed.setattr(folder, "write_trained", StopAfter.stop)
            with pytest.raises(Stop):
                Generator.train(cohort, tmp_path / "kept", SHORT, options=CPU, finish=True)
        early = Generator.train(cohort, tmp_path / "kept", SHORT, options=CPU, finish=True)
    stored = load_file(tmp_path / "m" / CHECKPOINT_FILE)
    assert all(tensor.isfinite().all() for tensor in stored.values())
    weights = load_file(tmp_path / "kept" / "weights.safetensors")
    assert all(torch.equal(weights[name], stored[f"ema/{name}"]) for name in weights)
    record = early.training
    assert (record["finished_early"], record["steps"]) == (True, 5)
    lines = [(line["step"], line["loss"]) for line in loss_lines(tmp_path / "kept")]
    assert lines == [(5, record["loss"])]
    assert not (tmp_path / "kept" / CHECKPOINT_FILE).exists()
    assert Generator.train(cohort, tmp_path / "kept", SHORT, options=CPU).digest == early.digest
    # The fault gone, the same command goes on from there.
    assert Generator.train(cohort, tmp_path / "m", SHORT, options=CPU).training["steps"] == 9
    whole = Generator.train(cohort, tmp_path / "whole", SHORT, options=CPU)
    assert Generator.load(tmp_path / "m").digest == whole.digest
    assert whole.training["finished_early"] is False


def test_there_must_be_something_to_finish(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "m"

    def finish(**arguments: bool) -> None:
        Generator.train(cohort, out, SHORT, options=CPU, finish=True, **arguments)

    with pytest.raises(UsageError, match="holds no training"):
        finish()
    assert not out.exists()
    with pytest.raises(UsageError, match="choose one"):
        finish(force=True)
    with pytest.raises(Stop):
        Generator.train(cohort, out, SHORT, options=CPU, progress=StopAfter(0))
    with pytest.raises(UsageError, match="first checkpoint"):
        finish()
    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "_loss", lambda run, _: math.nan * _weights(run).sum())
        with pytest.raises(UsageError, match="at step 1"):
            Generator.train(cohort, out, SHORT, options=CPU)
    with pytest.raises(UsageError, match="not taken a step"):
        finish()
    with pytest.raises(UsageError, match="steps: 9 there, 8 now"):
        Generator.train(cohort, out, replace(SHORT, steps=8), options=CPU, finish=True)
    Generator.train(cohort, out, SHORT, options=CPU)
    with pytest.raises(UsageError, match="finished already"):
        finish()


def _weights(run: training._Run) -> torch.Tensor:
    return torch.stack([parameter.sum() for parameter in run.parameters])


def _launch(script: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", str(script), *map(str, arguments)]
    return subprocess.run(command, check=False, timeout=250, capture_output=True, text=True)


POISONED = """
import math, os, sys, time
from bussynth.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.generator import training
from bussynth.generator.config import TrainConfig
from bussynth.generator.generator import Generator
loss, store, calls = training._Run._loss, training.store, []

def poisoned(run, batch):
    calls.append(batch)
    bad = os.environ["RANK"] == "1" and len(calls) == 4
    return loss(run, batch) * (math.nan if bad else 1)

def slow(*arguments):
    time.sleep(5)
    store(*arguments)

training._Run._loss, training.store = poisoned, slow
config = TrainConfig(preset="tiny-32", steps=6, batch_size=4)
Generator.train(Cohort.open(sys.argv[1]), sys.argv[2], config, options=RunOptions(device="cpu"))
"""


def test_the_first_process_writes_before_a_failure_ends_it(cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(POISONED)
    ended = _launch(tmp_path / "run.py", cohort.path, tmp_path / "m")
    assert ended.returncode != 0
    assert "no longer a number at step 4" in ended.stderr
    config = TrainConfig(preset="tiny-32", steps=6, batch_size=4)
    model = Generator.train(cohort, tmp_path / "m", config, options=CPU, finish=True)
    assert model.training["steps"] == 3


FROM_BASE = """
import sys
from bussynth.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.generator.config import TrainConfig
from bussynth.generator.generator import Generator
config = TrainConfig(preset="tiny-32", steps=2, batch_size=4, base=sys.argv[2])
Generator.train(Cohort.open(sys.argv[1]), sys.argv[3], config, options=RunOptions(device="cpu"))
"""


def test_an_augmented_base_trains_on_without_augmentation(cohort: Cohort, tmp_path: Path) -> None:
    base, one, two = (tmp_path / name for name in ("base", "one", "two"))
    config = TrainConfig(preset="tiny-32", steps=2, batch_size=4, augment=0.5)
    Generator.train(cohort, base, config, options=CPU)
    config = replace(config, augment=0.0, base=str(base))
    with pytest.raises(Stop):
        Generator.train(
            cohort, one, replace(config, checkpoint_steps=1), options=CPU, progress=StopAfter(1)
        )
    Generator.train(cohort, one, config, options=CPU)
    (tmp_path / "run.py").write_text(FROM_BASE)
    ended = _launch(tmp_path / "run.py", cohort.path, base, two)
    assert ended.returncode == 0, ended.stderr
    kept, alone, together = (load_file(f / "weights.safetensors") for f in (base, one, two))
    name = "network.altered.weight"
    assert torch.equal(kept[name], alone[name])
    assert torch.equal(kept[name], together[name])
    assert kept[name].abs().max() > 0
    assert alone.keys() == together.keys() == kept.keys()
    assert all((alone[name] - together[name]).abs().max() < 2e-4 for name in alone)


def test_the_clock_is_agreed_on_where_it_ends_the_training(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    monkeypatch.setattr(World, "agree", lambda _, value: asked.append(value) or value)
    config = TrainConfig(preset="tiny-32", steps=2, batch_size=2)
    Generator.train(cohort, tmp_path / "steps", config, options=CPU)
    assert asked == []
    Generator.train(cohort, tmp_path / "minutes", replace(config, minutes=9), options=CPU)
    assert len(asked) == 2


@pytest.mark.parametrize(
    "change", [{"factor": 1}, {"factor": 4}, {"prediction": "epsilon"}, {"augment": 0.2}]
)
def test_variants_learn(cohort: Cohort, tmp_path: Path, change: dict[str, Any]) -> None:
    config = TrainConfig(preset="tiny-32", steps=100, batch_size=8, **change)
    model = Generator.train(cohort, tmp_path / "m", config, options=CPU)
    first, last = loss_lines(tmp_path / "m")
    assert last["loss"] < 0.95 * first["loss"]
    assert model.sample([{}], [0], steps=3).shape == (1, 16, 16)


def test_half_precision_on_disk(cohort: Cohort, tmp_path: Path) -> None:
    sizes, images = [], []
    for precision in ("float32", "float16"):
        config = TrainConfig(preset="tiny-32", steps=2, batch_size=4, store=precision)
        model = Generator.train(cohort, tmp_path / precision, config, options=CPU)
        sizes.append((tmp_path / precision / "weights.safetensors").stat().st_size)
        images.append(model.sample([{}], [0], steps=3).astype(int))
    assert sizes[1] == pytest.approx(sizes[0] / 2, rel=0.1)
    assert abs(images[0] - images[1]).max() <= 1
