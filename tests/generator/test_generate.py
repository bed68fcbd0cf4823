from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bussynth.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.errors import DataError, IntegrityError, UsageError
from bussynth.generator import generate
from bussynth.generator.config import GenerateConfig, TrainConfig
from bussynth.generator.distributed import World
from bussynth.generator.generate import generate_cohort
from bussynth.generator.generator import Generator
from bussynth.generator.sampler import SAMPLER
from bussynth.progress import Progress, Task


class StopAtChunk(Progress):
    """Interrupts after some chunks, like a power cut."""

    def __init__(self, chunks: int) -> None:
        self.calls = chunks

    @contextmanager
    def task(
        self, description: str, total: int | None = None, unit: str = "images", done: int = 0
    ) -> Iterator[Task]:
        outer = self

        class Counting(Task):
            def advance(self, n: int = 1, **info: str | float) -> None:
                outer.calls -= 1
                if outer.calls == 0:
                    raise KeyboardInterrupt

        yield Counting()


def same(a: Cohort, b: Cohort) -> bool:
    close = np.abs(a.images().astype(int) - b.images().astype(int)).max() <= 1
    columns = ["id", *a.vocabulary, "lesion_box"]
    return bool(close and a.table(columns).equals(b.table(columns)))


def test_cohort(generator: Generator, tmp_path: Path) -> None:
    config = GenerateConfig(n=12, seed=4, steps=3, conditions={"pathology": "malignant"})
    made = generate_cohort(generator, tmp_path / "c", config)
    assert made.kind == "synthetic"
    assert len(made) == 12
    assert made.provenance["generator"] == generator.digest
    assert made.provenance["sampler"] == SAMPLER
    assert made.provenance["request"]["seed"] == 4
    assert not [key for key in made.provenance["request"] if key.startswith("guard")]
    for row in made:
        assert row.conditions["pathology"] == "malignant"
        assert row.lesion_box is not None
        assert row.patient is None
        assert row.split is None
    made.verify()


def test_normal_images_have_no_box(generator: Generator, tmp_path: Path) -> None:
    config = GenerateConfig(n=3, steps=2, conditions={"pathology": "normal"})
    assert [row.lesion_box for row in generate_cohort(generator, tmp_path / "c", config)] == [
        None
    ] * 3


def test_chunks_and_batches_change_nothing(generator: Generator, tmp_path: Path) -> None:
    config = GenerateConfig(n=10, steps=3)
    whole = generate_cohort(generator, tmp_path / "a", config)
    small = GenerateConfig(n=10, steps=3, chunk_size=3)
    parts = generate_cohort(
        generator, tmp_path / "b", small, options=RunOptions(batch_size=2), progress=Progress()
    )
    assert same(whole, parts)
    # More images of the same seed begin with the same images.
    more = generate_cohort(generator, tmp_path / "c", GenerateConfig(n=12, steps=3))
    assert np.abs(more.images()[:10].astype(int) - whole.images().astype(int)).max() <= 1
    other = generate_cohort(generator, tmp_path / "d", GenerateConfig(n=10, steps=3, seed=1))
    assert not same(whole, other)


def test_workers_change_nothing(model_folder: Path, generator: Generator, tmp_path: Path) -> None:
    config = GenerateConfig(n=6, steps=2, chunk_size=3)
    alone = generate_cohort(generator, tmp_path / "a", config)
    options = RunOptions(workers=2, device="cpu")
    pooled = generate_cohort(model_folder, tmp_path / "b", config, options=options)
    assert same(alone, pooled)
    with pytest.raises(UsageError, match="path of a model folder"):
        generate_cohort(generator, tmp_path / "c", config, options=options)


def test_an_interrupted_run_goes_on(generator: Generator, tmp_path: Path) -> None:
    config = GenerateConfig(n=9, steps=2, chunk_size=3)
    out = tmp_path / "c"
    with pytest.raises(KeyboardInterrupt):
        generate_cohort(generator, out, config, progress=StopAtChunk(2))
    assert not out.exists()
    (staging,) = tmp_path.glob(".c.generating-*")
    kept = {path: path.stat().st_mtime_ns for path in staging.iterdir()}
    assert len(kept) == 2
    times: dict[Path, int] = {}

    class Watch(Progress):
        @contextmanager
        def task(
            self, description: str, total: int | None = None, unit: str = "images", done: int = 0
        ) -> Iterator[Task]:
            yield Task()
            times.update({path: path.stat().st_mtime_ns for path in staging.iterdir()})

    made = generate_cohort(generator, out, config, progress=Watch())
    assert len(made) == 9
    assert len(times) == 3
    assert all(times[path] == time for path, time in kept.items())  # not made again
    assert list(tmp_path.iterdir()) == [out]
    assert same(made, generate_cohort(generator, tmp_path / "d", config))


def test_another_request_does_not_reuse_chunks(generator: Generator, tmp_path: Path) -> None:
    config = GenerateConfig(n=4, steps=2, chunk_size=2)
    with pytest.raises(KeyboardInterrupt):
        generate_cohort(generator, tmp_path / "c", config, progress=StopAtChunk(1))
    other = GenerateConfig(n=4, steps=2, chunk_size=2, seed=1)
    made = generate_cohort(generator, tmp_path / "c", other)
    assert same(made, generate_cohort(generator, tmp_path / "d", other))


def test_another_sampler_does_not_reuse_chunks(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = GenerateConfig(n=4, steps=2, chunk_size=2)
    out = tmp_path / "c"
    with monkeypatch.context() as patch:
        patch.setattr(generate, "SAMPLER", "bussynth-sampler/0")
        with pytest.raises(KeyboardInterrupt):
            generate_cohort(generator, out, config, progress=StopAtChunk(1))
    with pytest.raises(KeyboardInterrupt):
        generate_cohort(generator, out, config, progress=StopAtChunk(2))
    old, new = sorted(tmp_path.glob(".c.generating-*"), key=lambda path: len(list(path.iterdir())))
    assert (len(list(old.iterdir())), len(list(new.iterdir()))) == (1, 2)
    generate_cohort(generator, out, config)
    assert list(tmp_path.iterdir()) == [out]


def test_damaged_chunk_is_refused(generator: Generator, tmp_path: Path) -> None:
    config = GenerateConfig(n=4, steps=2, chunk_size=2)
    with pytest.raises(KeyboardInterrupt):
        generate_cohort(generator, tmp_path / "c", config, progress=StopAtChunk(1))
    (chunk,) = tmp_path.glob(".c.generating-*/chunk-*.npz")
    np.savez(chunk, images=np.zeros((2, 3, 3), np.uint8), rows=[0, 1], drawn=2)
    with pytest.raises(IntegrityError, match="damaged"):
        generate_cohort(generator, tmp_path / "c", config)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("guard", ["none", "rejection"])
@pytest.mark.parametrize("content", [b"", b"garbage", "cut off", "one byte", "rows", "twice"])
def test_unreadable_chunks_are_refused(
    generator: Generator, cohort: Cohort, tmp_path: Path, guard: str, content: bytes | str
) -> None:
    config = GenerateConfig(n=4, steps=2, chunk_size=2, guard=guard, guard_attempts=1000)
    real = cohort if guard != "none" else None
    with pytest.raises(KeyboardInterrupt):
        generate_cohort(generator, tmp_path / "c", config, real=real, progress=StopAtChunk(2))
    chunk = sorted(tmp_path.glob(".c.generating-*/chunk-*.npz"))[1]
    whole = chunk.read_bytes()
    if isinstance(content, bytes):
        chunk.write_bytes(content)
    elif content == "cut off":
        chunk.write_bytes(whole[: len(whole) // 2])
    elif content == "one byte":
        place = len(whole) // 4
        chunk.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
    else:
        rows = {"rows": [2.0, 3.0], "twice": [2, 2]}[content]
        np.savez(chunk, images=np.zeros((2, 16, 16), np.uint8), rows=rows, drawn=2)
    with pytest.raises(IntegrityError, match=r"chunk-000001\.npz is damaged; delete it"):
        generate_cohort(generator, tmp_path / "c", config, real=real)
    assert not (tmp_path / "c").exists()
    chunk.unlink()
    assert generate_cohort(generator, tmp_path / "c", config, real=real).counts["images"] == 4


def test_a_model_replaced_meanwhile_is_refused(
    model_folder: Path, cohort: Cohort, tmp_path: Path
) -> None:
    model, other = tmp_path / "model", tmp_path / "other"
    shutil.copytree(model_folder, model)
    settings = TrainConfig(preset="tiny-32", steps=1, batch_size=8)
    Generator.train(cohort, other, settings, options=RunOptions(device="cpu"))

    class Replace(Progress):
        @contextmanager
        def task(
            self, description: str, total: int | None = None, unit: str = "images", done: int = 0
        ) -> Iterator[Task]:
            shutil.rmtree(model)
            shutil.copytree(other, model)
            yield Task()

    config = GenerateConfig(n=2, steps=1, chunk_size=1)
    options = RunOptions(workers=2, device="cpu")
    with pytest.raises(IntegrityError, match="was replaced while images were drawn"):
        generate_cohort(model, tmp_path / "c", config, options=options, progress=Replace())
    assert not (tmp_path / "c").exists()


def _family(pid: int) -> set[int]:
    """Living children of a process, by /proc; a zombie has ended."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        if int(parent) == pid and state != "Z":
            found.add(int(stat.parent.name))
    return found


def _lives(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_workers_end_with_a_killed_parent(model_folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bussynth", "generate", str(model_folder), "--quiet"]
    command += ["--out", str(tmp_path / "c"), "-n", "100000", "--workers", "2", "--device", "cpu"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    workers: set[int] = set()
    with subprocess.Popen([*command, "--steps", "50"], env=environment) as parent:
        try:
            deadline = time.monotonic() + 120
            # The workers and the resource tracker of multiprocessing.
            while len(workers) < 3 and time.monotonic() < deadline and parent.poll() is None:
                workers = _family(parent.pid)
                time.sleep(0.1)
            assert len(workers) == 3
            # Long enough to have begun a piece that lasts for minutes.
            time.sleep(15)
            assert all(map(_lives, workers))
        finally:
            parent.kill()
    try:
        deadline = time.monotonic() + 30
        while any(map(_lives, workers)) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not any(map(_lives, workers))
    finally:
        for pid in filter(_lives, workers):
            os.kill(pid, signal.SIGKILL)


class Second:
    """As if a second process of two: the first one's decision arrives, and nothing waits."""

    def __init__(self, patch: pytest.MonkeyPatch, decided: Any = None) -> None:
        patch.setattr(World, "current", classmethod(lambda cls: cls(1, 2)))
        patch.setattr(World, "wait", lambda self: None)
        patch.setattr(generate.dist, "broadcast_object_list", self.receive)
        self.decided = decided

    def receive(self, shared: list[Any], src: int) -> None:
        assert src == 0
        if self.decided is not None:
            shared[0] = (shared[0][0], self.decided) if self.decided != "other" else ("x", [])


def test_processes_share_what_is_missing(
    generator: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = GenerateConfig(n=8, steps=2, chunk_size=2)
    with pytest.raises(KeyboardInterrupt):
        generate_cohort(generator, tmp_path / "c", config, progress=StopAtChunk(4))
    folder = next(tmp_path.glob(".c.generating-*"))
    made = {folder / f"chunk-{i:06d}.npz" for i in (0, 2)}
    for chunk in made:
        chunk.unlink()
    # By a fixed stride, 0 and 2 both belonged to the first process.
    for decided, expected in ((None, 2), ([0], None), ([2, 0], 0)):
        with monkeypatch.context() as patch:
            Second(patch, decided)
            # The first process puts the pieces together; here there is none.
            with pytest.raises(DataError):
                generate_cohort(generator, tmp_path / "c", config)
        present = [chunk for chunk in made if chunk.exists()]
        wanted = [] if expected is None else [folder / f"chunk-{expected:06d}.npz"]
        assert present == wanted
        for chunk in present:
            chunk.unlink()
    with monkeypatch.context() as patch:
        Second(patch, "other")
        with pytest.raises(IntegrityError, match="different models, guards or requests"):
            generate_cohort(generator, tmp_path / "c", config)


def test_two_processes_draw_as_one_and_answer_once(
    model_folder: Path, generator: Generator, tmp_path: Path
) -> None:
    command = ["-m", "bussynth", "generate", str(model_folder), "--out", str(tmp_path / "two")]
    command += ["-n", "6", "--steps", "2", "--chunk-size", "2", "--device", "cpu", "--json"]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    done = subprocess.run(
        [*launch, "2", *command], check=True, timeout=200, capture_output=True, text=True
    )
    assert json.loads(done.stdout)["result"]["images"] == 6
    config = GenerateConfig(n=6, steps=2, chunk_size=2)
    assert same(Cohort.open(tmp_path / "two"), generate_cohort(generator, tmp_path / "one", config))


def test_bad_requests_are_refused(generator: Generator, tmp_path: Path) -> None:
    for conditions, text in (
        ({"pathology": "malignnat"}, 'did you mean "malignant"'),
        ({"scanner": "x"}, "unknown condition 'scanner'"),
        ({"pathology": "normal", "lesion_box": [1, 1, 5, 5]}, "normal image has no lesion box"),
    ):
        with pytest.raises(UsageError, match=text):
            generate_cohort(generator, tmp_path / "c", GenerateConfig(n=1, conditions=conditions))
    with pytest.raises(UsageError, match="n=0"):
        GenerateConfig(n=0)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    with pytest.raises(UsageError, match="exists"):
        generate_cohort(generator, tmp_path / "taken", GenerateConfig(n=1))
    assert not list(tmp_path.glob(".*"))
