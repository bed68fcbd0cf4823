from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from bussynth.cohort import Cohort
from bussynth.config import RunOptions
from bussynth.errors import IntegrityError, UsageError
from bussynth.generator.config import GenerateConfig
from bussynth.generator.generate import generate_cohort
from bussynth.generator.generator import Generator
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
    assert made.provenance["request"]["seed"] == 4
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


def test_damaged_chunk_is_refused(generator: Generator, tmp_path: Path) -> None:
    config = GenerateConfig(n=4, steps=2, chunk_size=2)
    with pytest.raises(KeyboardInterrupt):
        generate_cohort(generator, tmp_path / "c", config, progress=StopAtChunk(1))
    (chunk,) = tmp_path.glob(".c.generating-*/chunk-*.npz")
    np.savez(chunk, images=np.zeros((2, 3, 3), np.uint8), rows=[0, 1], drawn=2)
    with pytest.raises(IntegrityError, match="damaged"):
        generate_cohort(generator, tmp_path / "c", config)
    assert not (tmp_path / "c").exists()


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
