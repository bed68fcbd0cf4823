from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from bussynth.cohort import Cohort
from bussynth.cohort.phantom.cohort import phantom_rows, write_phantom_cohort
from bussynth.cohort.phantom.config import PhantomConfig
from bussynth.config import RunOptions
from bussynth.errors import UsageError
from bussynth.progress import Progress, Task

CONFIG = PhantomConfig(patients=40, image_size=16, seed=2, min_views=1, max_views=2)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return write_phantom_cohort(tmp_path_factory.mktemp("cohort") / "phantoms", CONFIG)


def test_the_cohort_says_what_it_is(cohort: Cohort) -> None:
    assert cohort.kind == "phantom"
    assert cohort.image_size == (16, 16)
    assert cohort.counts["patients"] == 40
    assert cohort.has_masks
    assert cohort.vocabulary["birads"] == ("1", "2", "3", "4", "5")
    assert PhantomConfig.from_dict(cohort.provenance["config"]) == CONFIG
    cohort.verify()


def test_rows_hold_the_simulated_views(cohort: Cohort) -> None:
    expected = phantom_rows(0, CONFIG.patients, CONFIG)
    stored = list(cohort)
    assert [row.id for row in stored] == [row.id for row in expected]
    for row in stored:
        mask = row.mask
        assert mask is not None
        assert (row.lesion_box is None) == (not mask.any())
        assert (row.lesion_box is None) == (row.conditions["pathology"] == "normal")
    np.testing.assert_array_equal(stored[0].image, expected[0].image)


def test_names_are_opaque_unique_and_unordered(cohort: Cohort) -> None:
    table = cohort.table(["id", "patient"]).to_pydict()
    ids, patients = table["id"], list(dict.fromkeys(table["patient"]))
    assert len(set(ids)) == len(ids)
    assert len(patients) == 40
    assert all(re.fullmatch(r"[0-9a-f]{24}", name) for name in ids + patients)
    assert not set(ids) & set(patients)
    assert patients != sorted(patients)


def test_the_number_of_workers_does_not_change_a_byte(cohort: Cohort, tmp_path: Path) -> None:
    parallel = write_phantom_cohort(tmp_path / "two", CONFIG, options=RunOptions(workers=2))
    assert parallel.digest == cohort.digest
    assert contents(parallel.path) == contents(cohort.path)


def test_a_larger_cohort_starts_with_the_smaller_one() -> None:
    larger = PhantomConfig(**{**CONFIG.to_dict(), "patients": 80})
    assert phantom_rows(3, 5, CONFIG) == phantom_rows(3, 5, larger)


def test_one_patient_is_a_cohort_and_many_workers_do_no_harm(tmp_path: Path) -> None:
    config = PhantomConfig(patients=1, image_size=16, min_views=1, max_views=1)
    made = write_phantom_cohort(tmp_path / "one", config, options=RunOptions(workers=8))
    assert len(made) == 1


def test_a_taken_place_is_refused_before_any_work(cohort: Cohort) -> None:
    before = contents(cohort.path)
    huge = PhantomConfig(patients=10_000_000, image_size=512)
    with pytest.raises(UsageError):
        write_phantom_cohort(cohort.path, huge)
    assert contents(cohort.path) == before


def test_progress_counts_every_patient_once(tmp_path: Path) -> None:
    class Counter(Progress, Task):
        total: int | None = None
        done = 0

        @contextmanager
        def task(
            self, description: str, total: int | None = None, unit: str = "images", done: int = 0
        ) -> Iterator[Task]:
            self.total = total
            yield self

        def advance(self, n: int = 1, **info: str | float) -> None:
            self.done += n

    counter = Counter()
    write_phantom_cohort(tmp_path / "c", CONFIG, progress=counter)
    assert counter.done == counter.total == 40
