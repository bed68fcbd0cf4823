from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bussynth.cohort import Cohort
from bussynth.cohort.split import (
    LOTTERY,
    check_assignment,
    check_split,
    draw,
    kept_record,
    patient_strata,
    split_cohort,
)
from bussynth.cohort.split_config import SplitConfig
from bussynth.errors import DataError, IntegrityError, UsageError


def test_all_images_of_a_patient_share_a_split_and_pixels_stay(make_cohort) -> None:
    cohort = make_cohort(200)
    before = {row.id: row.png for row in cohort}
    result = split_cohort(cohort.path, SplitConfig(seed=1))
    split = Cohort.open(cohort.path)
    split.verify()
    assert {row.id: row.png for row in split} == before
    seen: dict[str, set[str]] = {}
    for row in split:
        seen.setdefault(row.patient or "", set()).add(row.split or "")
    assert all(len(splits) == 1 for splits in seen.values())
    assert result.patients == {"train": 60, "control": 20, "test": 20}
    assert len(split.select("train")) == result.images["train"] == 120
    assert split.digest != cohort.digest
    assert not list(cohort.path.glob("data/"))


def test_strata_get_their_share(make_cohort) -> None:
    cohort = make_cohort(600)
    split_cohort(cohort.path, SplitConfig(control=0.25, test=0.25, seed=0))
    split = Cohort.open(cohort.path)
    strata = patient_strata(split, ("pathology", "device"))
    control = {row.patient for row in split.select("control")}
    total = Counter(strata.values())
    for stratum, count in Counter(strata[str(patient)] for patient in control).items():
        assert abs(count - 0.25 * total[stratum]) <= 1


def test_each_patient_has_exactly_the_asked_chance() -> None:
    # Tiny strata are where naive rounding would be biased: sizes 1, 2 and 3.
    strata = {f"p{i}": s for i, s in enumerate(["a", "b", "b", "c", "c", "c"])}
    fractions = {"control": 0.2, "test": 0.3}
    draws = 4000
    counts: Counter[tuple[str, str]] = Counter()
    for seed in range(draws):
        for patient, name in draw(strata, fractions, np.random.default_rng(seed)).items():
            counts[patient, name] += 1
    for patient in strata:
        for name, expected in (("control", 0.2), ("test", 0.3), ("train", 0.5)):
            error = abs(counts[patient, name] / draws - expected)
            assert error < 4.5 * np.sqrt(expected * (1 - expected) / draws)


def test_a_patient_counts_by_the_most_severe_finding(make_cohort) -> None:
    cohort = make_cohort(12)
    assert set(patient_strata(cohort, ("pathology",)).values()) == {
        "normal",
        "benign",
        "malignant",
    }


def test_record_allows_the_same_draw_again_and_hides_patients(make_cohort) -> None:
    first, second = make_cohort(100), make_cohort(100, name="d")
    one = split_cohort(first.path, SplitConfig(seed=3)).cohort.split_record or {}
    two = split_cohort(second.path, SplitConfig(seed=3)).cohort.split_record or {}
    assert one["assignment_sha256"] == two["assignment_sha256"]
    assert one["seed"] == 3
    assert "p00001" not in str(one)


def test_seed_is_drawn_when_not_given(make_cohort) -> None:
    seeds = {
        (split_cohort(make_cohort(20, name=name).path, SplitConfig()).cohort.split_record or {})[
            "seed"
        ]
        for name in "abc"
    }
    assert len(seeds) == 3


def test_second_split_is_refused_without_force(make_cohort) -> None:
    path = make_cohort(40).path
    split_cohort(path, SplitConfig())
    with pytest.raises(UsageError, match="split already"):
        split_cohort(path, SplitConfig())
    again = split_cohort(path, SplitConfig(), force=True)
    assert (again.cohort.split_record or {})["times_split"] == 2
    assert len(list(path.glob("data*"))) == 1


def test_a_cohort_derived_from_a_split_one_keeps_its_splits(make_cohort, tmp_path) -> None:
    source = make_cohort(60)
    assert kept_record(source) is None
    source = split_cohort(source.path, SplitConfig(seed=1)).cohort
    view = source.select(device="a")
    record = kept_record(view)
    derived = Cohort.create(
        tmp_path / "derived",
        view,
        kind="real",
        image_size=8,
        vocabulary=source.vocabulary,
        split=record,
        provenance={"derived": {"by": "test", "source": source.digest}},
    )
    assert derived.derived == {"by": "test", "source": source.digest}
    assert source.derived is None
    # Patients are missing, yet nobody's split was edited.
    check_assignment(derived)
    assert 0 < len(derived.select("train")) < len(source.select("train"))
    assert record["source"]["method"] == LOTTERY != record["method"]
    for force in (False, True):
        with pytest.raises(UsageError, match="keeps its splits"):
            split_cohort(derived.path, SplitConfig(), force=force)


def test_impossible_requests(make_cohort) -> None:
    with pytest.raises(UsageError, match="nobody to train on"):
        check_split(make_cohort(40), SplitConfig(control=0.5, test=0.5))
    with pytest.raises(DataError, match="synthetic"):
        check_split(make_cohort(4, kind="synthetic", name="s"), SplitConfig())
    with pytest.raises(DataError, match="3 splits need"):
        check_split(make_cohort(4, name="few"), SplitConfig())
    with pytest.raises(UsageError, match="no condition"):
        check_split(make_cohort(40, name="by"), SplitConfig(by=("site",)))


def test_few_control_patients_are_announced(make_cohort) -> None:
    assert "200" in check_split(make_cohort(40), SplitConfig())[0]


def test_kill_while_splitting_leaves_the_cohort_unsplit(make_cohort) -> None:
    cohort = make_cohort(80)
    program = (
        "import os, signal, sys\n"
        "from bussynth import atomic\n"
        "from bussynth.cohort import split\n"
        "atomic.write_json = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
        "split.split_cohort(sys.argv[1], split.SplitConfig())\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(cohort.path)], check=False)
    assert done.returncode == -signal.SIGKILL
    left = Cohort.open(cohort.path)
    left.verify()
    assert left.split_record is None
    assert left.digest == cohort.digest
    split_cohort(cohort.path, SplitConfig())
    assert len(list(cohort.path.glob("data*"))) == 1


def test_edited_splits_are_noticed(make_cohort) -> None:
    cohort = make_cohort(40)
    check_assignment(cohort)
    split_cohort(cohort.path, SplitConfig(seed=1))
    cohort = Cohort.open(cohort.path)
    check_assignment(cohort)
    path = cohort.path / cohort.shards[0].path
    table = pq.read_table(path)
    splits = table.column("split").to_pylist()
    splits[0] = "control" if splits[0] == "train" else "train"
    where = table.schema.get_field_index("split")
    pq.write_table(table.set_column(where, "split", pa.array(splits)), path)
    with pytest.raises(IntegrityError, match="not those"):
        check_assignment(cohort)


def test_a_share_of_less_than_one_patient_is_refused_before_the_draw(make_cohort) -> None:
    cohort = make_cohort(20)
    with pytest.raises(DataError, match="too few for control"):
        check_split(cohort, SplitConfig(control=0.01, test=0.2))
    check_split(cohort, SplitConfig(control=0.1, test=0.1))
