from __future__ import annotations

import dataclasses
import io
import json
import signal
import subprocess
import sys

import numpy as np
import pandas
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bussynth.cohort import Cohort, Row
from bussynth.errors import DataError, IntegrityError, UsageError

ROW = Row.from_arrays(
    id="a",
    image=np.arange(64, dtype=np.uint8).reshape(8, 8),
    mask=np.eye(8, dtype=bool),
    patient="p",
    conditions={"pathology": "benign"},
    lesion_box=(0, 0, 8, 8),
)


def create(tmp_path, *rows: Row, kind: str = "real", **more) -> Cohort:
    vocabulary = {"pathology": ["benign", "normal"]}
    more = {"image_size": 8, "vocabulary": vocabulary, "masks": True} | more
    return Cohort.create(tmp_path / "c", rows, kind=kind, **more)


def test_what_goes_in_comes_out(tmp_path) -> None:
    row = next(iter(create(tmp_path, ROW)))
    assert row == ROW
    assert row.mask is not None
    np.testing.assert_array_equal(row.image, ROW.image)
    np.testing.assert_array_equal(row.mask, np.eye(8, dtype=bool))


def test_shards_stream_in_order_whatever_their_size(make_cohort) -> None:
    whole = make_cohort(60)
    parts = make_cohort(60, name="d", rows_per_shard=7)
    assert len(parts.shards) == 9
    assert [row.id for row in parts] == [row.id for row in whole]
    assert [len(batch) for batch in whole.batches(25)] == [25, 25, 10]
    np.testing.assert_array_equal(whole.images(), parts.images())


def test_same_rows_same_bytes(make_cohort) -> None:
    assert make_cohort(20).digest == make_cohort(20, name="d").digest
    assert make_cohort(20, name="e").digest != make_cohort(22, name="f").digest


def test_selection_is_a_cohort(make_cohort) -> None:
    cohort = make_cohort(60)
    chosen = cohort.select(pathology=["benign", "malignant"], device="b")
    assert len(chosen) == len(list(chosen)) == chosen.images().shape[0] > 0
    assert all(row.conditions["device"] == "b" for row in chosen)
    assert len(chosen.select(pathology="normal")) == 0
    assert len(cohort.select(birads=None)) == len(cohort.select(pathology="normal"))


def test_selection_refuses_what_does_not_exist(make_cohort) -> None:
    cohort = make_cohort(12)
    with pytest.raises(UsageError, match='did you mean "malignant"'):
        cohort.select(pathology="malignent")
    with pytest.raises(UsageError, match="no condition 'devise'"):
        cohort.select(devise="a")
    with pytest.raises(UsageError, match="bussynth split"):
        cohort.select(split="train")


def test_statistics_count_images_patients_and_unknowns(make_cohort) -> None:
    statistics = make_cohort(60).statistics()
    assert statistics["images"] == 60
    assert statistics["patients"] == 30
    assert statistics["conditions"]["pathology"] == {"normal": 20, "benign": 20, "malignant": 20}
    assert statistics["conditions"]["birads"] == {"4": 40, "(unknown)": 20}
    assert statistics["lesion_boxes"] == 40


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lesion_box": (5, 1, 2, 4)}, "empty, inverted or outside"),
        ({"lesion_box": (0, 0, 9, 4)}, "empty, inverted or outside"),
        ({"lesion_box": (0, 0, float("nan"), 4)}, "not finite"),
        ({"conditions": {"pathology": "SECRET"}}, "pathology is none of benign, normal"),
        ({"conditions": {"stage": "x"}}, "vocabulary lacks"),
        ({"patient": None}, "has no patient"),
        ({"split": "validation"}, "split is none of"),
        ({"id": ""}, "no id"),
    ],
)
def test_rows_that_do_not_fit_are_refused_without_echo(tmp_path, change, message) -> None:
    with pytest.raises(DataError, match=message) as caught:
        create(tmp_path, ROW, dataclasses.replace(ROW, **change))
    assert "row 2" in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert not (tmp_path / "c").exists()


def test_wrong_image_size_is_refused(tmp_path) -> None:
    wrong = Row.from_arrays(id="a", image=np.zeros((8, 9), np.uint8), patient="p")
    with pytest.raises(DataError, match="image is not 8x8"):
        create(tmp_path, wrong)


def test_synthetic_cohorts_have_no_patients(tmp_path, make_cohort) -> None:
    with pytest.raises(DataError, match="synthetic cohort must not have"):
        create(tmp_path, ROW, kind="synthetic")
    cohort = make_cohort(4, kind="synthetic", name="s")
    assert not {"patient", "split"} & set(cohort.table().column_names)


def test_empty_cohort_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="no images"):
        create(tmp_path)
    assert not (tmp_path / "c").exists()


def test_vocabulary_is_checked(tmp_path) -> None:
    for vocabulary, message in [
        ({"pathology": ["begnin"]}, 'did you mean "benign"'),
        ({"device": ["a"]}, "pathology"),
        ({"pathology": ["benign"], "patient": ["x"]}, "reserved"),
        ({"pathology": ["benign"], "Bi Rads": ["x"]}, "lower-case"),
        ({"pathology": ["benign"], "device": ["a", "a"]}, "distinct"),
        ({"pathology": ["benign"], "device": ["a\x1b[31m"]}, "printable"),
    ]:
        with pytest.raises(DataError, match=message):
            create(tmp_path, ROW, vocabulary=vocabulary)


def test_existing_folder_needs_force(tmp_path) -> None:
    create(tmp_path, ROW)
    with pytest.raises(UsageError, match="--force"):
        create(tmp_path, ROW)
    assert len(create(tmp_path, ROW, dataclasses.replace(ROW, id="b"), force=True)) == 2


def test_datasets_and_pandas_read_the_shards_without_us(make_cohort, tmp_path) -> None:
    cohort = make_cohort(10, rows_per_shard=4)
    # In a process of its own: `datasets` warns and starts threads, and must not see bussynth.
    program = (
        "import sys, json, datasets\n"
        "sys.modules['bussynth'] = None\n"
        "data = datasets.load_dataset('parquet', data_files=sys.argv[1] + '/data/*.parquet',\n"
        "                             cache_dir=sys.argv[2])['train']\n"
        "row = data[3]\n"
        "print(json.dumps([len(data), row['image'].size, row['lesion_box'], row['pathology'],\n"
        "                  row['image'].getpixel((1, 0))]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(cohort.path), str(tmp_path / "cache")],
        check=True,
        capture_output=True,
        text=True,
        env={"HF_HUB_OFFLINE": "1", "HOME": str(tmp_path), "PATH": "/usr/bin"},
    )
    expected = list(cohort)[3]
    assert json.loads(done.stdout.splitlines()[-1]) == [
        10,
        [8, 8],
        list(expected.lesion_box or ()),
        expected.conditions["pathology"],
        int(expected.image[0, 1]),
    ]
    frame = pandas.concat(
        pandas.read_parquet(path) for path in sorted(cohort.path.glob("data/*.parquet"))
    )
    pixels = np.asarray(Image.open(io.BytesIO(frame["image"].iloc[3]["bytes"])))
    np.testing.assert_array_equal(pixels, expected.image)


def test_opening_millions_of_rows_reads_the_manifest_only(make_cohort) -> None:
    cohort = make_cohort(4)
    manifest = json.loads((cohort.path / "cohort.json").read_text())
    shard = manifest["shards"][0]
    manifest["shards"] = [
        shard | {"path": f"data/part-{i:05d}.parquet", "rows": 4096} for i in range(855)
    ]
    manifest["counts"]["images"] = 855 * 4096
    (cohort.path / "cohort.json").write_text(json.dumps(manifest))
    (cohort.path / "data" / "part-00000.parquet").unlink()
    assert len(Cohort.open(cohort.path)) == 3_502_080


def test_reading_needs_no_more_memory_for_more_rows(tmp_path) -> None:
    program = (
        "import sys, numpy as np, pyarrow as pa\n"
        "from bussynth.cohort import Cohort, Row\n"
        "row = Row.from_arrays(id='a', patient='p',\n"
        "    image=np.random.default_rng(0).integers(0, 256, (64, 64)).astype('uint8'))\n"
        "cohort = Cohort.create(sys.argv[1], (row for _ in range(int(sys.argv[2]))), kind='real',\n"
        "    image_size=64, vocabulary={'pathology': ['benign']}, rows_per_shard=1024)\n"
        "print(sum(1 for _ in cohort), pa.default_memory_pool().max_memory())\n"
    )
    peaks = []
    for rows in (1024, 8192):
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / str(rows)), str(rows)],
            check=True,
            capture_output=True,
            text=True,
        )
        count, peak = map(int, done.stdout.split())
        assert count == rows
        peaks.append(peak)
    assert peaks[1] < 1.5 * peaks[0]


def test_damage_is_found(make_cohort) -> None:
    cohort = make_cohort(12, rows_per_shard=4)
    cohort.verify()
    first, second = (cohort.path / shard.path for shard in cohort.shards[:2])
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    second.unlink()
    with pytest.raises(IntegrityError) as caught:
        cohort.verify()
    assert len(caught.value.problems) == 2
    with pytest.raises(IntegrityError, match=r"part-00001\.parquet is missing"):
        list(Cohort(cohort.path, {**cohort._manifest, "shards": cohort.shards[1:]}))


def test_garbage_instead_of_a_shard(make_cohort) -> None:
    cohort = make_cohort(4)
    (cohort.path / cohort.shards[0].path).write_bytes(b"PAR1 no")
    with pytest.raises(IntegrityError, match="cannot be read"):
        cohort.images()


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "bussynth-cohort/9"},
        {"kind": "imaginary"},
        {"image_size": [0, 8]},
        {"counts": {"images": 5}},
        {"shards": [{"path": "../../etc/passwd", "rows": 4, "bytes": 1, "sha256": "0"}]},
        {"vocabulary": {"pathology": "benign"}},
        {"digest": "md5:0"},
    ],
)
def test_manifests_that_lie_are_refused(make_cohort, change) -> None:
    cohort = make_cohort(4)
    manifest = json.loads((cohort.path / "cohort.json").read_text()) | change
    (cohort.path / "cohort.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError):
        Cohort.open(cohort.path)


def test_folder_without_cohort(tmp_path) -> None:
    with pytest.raises(DataError, match="holds no cohort"):
        Cohort.open(tmp_path)
    (tmp_path / "cohort.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        Cohort.open(tmp_path)


def test_kill_while_writing_leaves_no_cohort(tmp_path) -> None:
    program = (
        "import os, signal, sys, numpy as np\n"
        "from bussynth.cohort import Cohort, Row\n"
        "def rows():\n"
        "    for i in range(2000):\n"
        "        if i == 1500:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        yield Row.from_arrays(id=str(i), image=np.zeros((8, 8), 'uint8'), patient='p')\n"
        "Cohort.create(sys.argv[1], rows(), kind='real', image_size=8,\n"
        "              vocabulary={'pathology': ['benign']}, rows_per_shard=512)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "c")], check=False)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(DataError, match="holds no cohort"):
        Cohort.open(tmp_path / "c")


def test_table_has_no_pixels(make_cohort) -> None:
    table = make_cohort(6).table()
    assert isinstance(table, pa.Table)
    assert "image" not in table.column_names
    assert table.num_rows == 6


def test_force_replaces_no_cohort_of_another_kind(tmp_path) -> None:
    real = create(tmp_path, ROW)
    made = dataclasses.replace(ROW, patient=None)
    with pytest.raises(UsageError, match="holds a real cohort"):
        create(tmp_path, made, kind="synthetic", force=True)
    assert len(list(Cohort.open(real.path))) == 1
    (real.path / "cohort.json").write_text("{")
    Cohort.check_place(real.path, "synthetic", force=True)


def test_force_replaces_no_model(tmp_path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("{}")
    with pytest.raises(UsageError, match="not replaced"):
        Cohort.check_place(tmp_path / "model", "phantom", force=True)


def test_a_shard_that_lost_a_column_is_damage(tmp_path) -> None:
    cohort = create(tmp_path, ROW)
    path = cohort.path / cohort.shards[0].path
    pq.write_table(pq.read_table(path).drop(["split"]), path)
    for read in (lambda: list(cohort), cohort.table, cohort.statistics):
        with pytest.raises(IntegrityError, match="lacks columns"):
            read()
