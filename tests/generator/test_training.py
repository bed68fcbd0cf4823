from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bussynth.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.errors import IntegrityError, UsageError
from bussynth.generator import training
from bussynth.generator.batches import Batch
from bussynth.generator.checkpoint import CHECKPOINT_FILE, TRAINING_FILE, LossLog, Position
from bussynth.generator.config import TrainConfig
from bussynth.generator.generator import Generator
from bussynth.generator.training import Schedule
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


def test_resumed_equals_uninterrupted(cohort: Cohort, tmp_path: Path) -> None:
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
    assert [line["step"] for line in loss_lines(parts)] == [9]


def test_another_seed_gives_other_weights(cohort: Cohort, tmp_path: Path) -> None:
    digests = set()
    for seed in (0, 1):
        config = TrainConfig(preset="tiny-32", steps=1, batch_size=4, seed=seed)
        digests.add(Generator.train(cohort, tmp_path / str(seed), config, options=CPU).digest)
    assert len(digests) == 2


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
        with pytest.raises(UsageError, match="no longer a number at step 6"):
            Generator.train(cohort, tmp_path / "m", SHORT, options=CPU)
    stored = load_file(tmp_path / "m" / CHECKPOINT_FILE)
    assert all(tensor.isfinite().all() for tensor in stored.values())
    # The fault gone, the same command goes on from there.
    assert Generator.train(cohort, tmp_path / "m", SHORT, options=CPU).training["steps"] == 9
    whole = Generator.train(cohort, tmp_path / "whole", SHORT, options=CPU)
    assert Generator.load(tmp_path / "m").digest == whole.digest


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
