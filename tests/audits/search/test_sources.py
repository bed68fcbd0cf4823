from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from audits.errors import AuditInputError
from audits.search.exact import mismatch_rate, nearest, tied_rows
from audits.search.sources import ArraySource, FileSource, as_source


def test_paths_and_maps_give_the_bytes_of_arrays(tmp_path: Path, draw: Callable) -> None:
    vectors = draw("flat", 700, 9)
    np.save(tmp_path / "v.npy", vectors)
    mapped = np.load(tmp_path / "v.npy", mmap_mode="r")
    want = nearest(vectors[100:120], vectors[30:], 4)
    for queries, references in (
        (vectors[100:120], mapped[30:]),
        (mapped[100:120], np.asarray(mapped)[30:]),
    ):
        for shards in (1, 3):
            found = nearest(queries, references, 4, shards=shards)
            assert found.rows.tobytes() == want.rows.tobytes()
            assert found.squared.tobytes() == want.squared.tobytes()
    whole = nearest(tmp_path / "v.npy", str(tmp_path / "v.npy"), 1)
    assert (whole.squared == 0).all()
    first = [int(rows[0]) for rows in tied_rows(tmp_path / "v.npy", mapped, whole)]
    assert first == whole.rows[:, 0].tolist()
    rng = np.random.default_rng(0)
    assert mismatch_rate(tmp_path / "v.npy", mapped, whole, rng, 50) == (0.0, 50)


def test_a_map_travels_as_its_path(tmp_path: Path, draw: Callable) -> None:
    np.save(tmp_path / "v.npy", draw("gauss", 5000, 8))
    source = as_source(np.load(tmp_path / "v.npy", mmap_mode="r")[10:], "v").part(5, 4000)
    assert isinstance(source, FileSource)
    assert len(pickle.dumps(source)) < 1000
    assert source.read(0, 3).tolist() == draw("gauss", 5000, 8)[15:18].tolist()
    rows = np.array([7, 0, 7, 3984])
    assert source.take(rows).tolist() == draw("gauss", 5000, 8)[rows + 15].tolist()


def test_private_changes_of_a_map_are_seen(tmp_path: Path, draw: Callable) -> None:
    np.save(tmp_path / "v.npy", draw("gauss", 50, 3))
    changed = np.load(tmp_path / "v.npy", mmap_mode="c")
    changed[7] = 0
    assert isinstance(as_source(changed, "v"), ArraySource)
    assert isinstance(as_source(changed[:, :2], "v"), ArraySource)
    assert nearest(np.zeros((1, 3), np.float32), changed, 1).squared.tolist() == [[0.0]]
    shared = np.load(tmp_path / "v.npy", mmap_mode="r+")
    shared[9] = 1
    assert nearest(np.ones((1, 3), np.float32), shared, 1).rows.tolist() == [[9]]


def test_memory_stays_flat_in_the_references(tmp_path: Path) -> None:
    d, peaks = 512, []
    for rows in (20_000, 50_000):
        path = tmp_path / f"{rows}.npy"
        vectors = np.lib.format.open_memmap(path, "w+", np.float32, (rows, d))
        vectors[:] = (np.arange(rows * 8, dtype=np.uint32) * 2654435761 % 1000).reshape(rows, 8)[
            :, np.arange(d) % 8
        ]
        vectors.flush()
        tracemalloc.start()
        found = nearest(vectors[:5], path, 1)
        mismatch_rate(vectors[:5], path, found, np.random.default_rng(0))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert (found.squared == 0).all()
        path.unlink()
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] < 50_000 * d * 4


@pytest.mark.parametrize("kind", ["float64", "one dimension", "fortran", "text", "archive"])
def test_other_layouts_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    good = np.ones((4, 3), np.float32)
    if kind == "archive":
        path = tmp_path / "v.npz"
        np.savez(path, good)
    elif kind == "text":
        path.write_text("no array")
    elif kind == "fortran":
        np.save(path, np.asfortranarray(np.arange(12, dtype=np.float32).reshape(4, 3)))
        assert nearest(path, path, 1).rows[:, 0].tolist() == [0, 1, 2, 3]
        return
    else:
        np.save(path, good.astype(np.float64) if kind == "float64" else good[0])
    with pytest.raises(AuditInputError):
        nearest(path, good, 1)


def test_values_that_are_not_finite_are_refused() -> None:
    good = np.ones((4, 3), np.float32)
    for value in (np.nan, np.inf, 1e30):
        bad = good.copy()
        bad[2, 1] = value
        with pytest.raises(AuditInputError, match="finite"):
            nearest(good, bad, 1)
        with pytest.raises(AuditInputError, match="finite"):
            nearest(bad, good, 1)
    with pytest.raises(AuditInputError, match="dimensions"):
        nearest(good, good[:, :2], 1)


def test_a_file_that_shrinks_is_noticed(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.ones((40, 3), np.float32))
    source = as_source(tmp_path / "v.npy", "v")
    (tmp_path / "v.npy").write_bytes((tmp_path / "v.npy").read_bytes()[:-1])
    with pytest.raises(AuditInputError, match="shorter"):
        source.read(0, 40)


def test_threads_share_files(tmp_path: Path, draw: Callable) -> None:
    np.save(tmp_path / "v.npy", draw("gauss", 900, 8))
    with ThreadPoolExecutor(2) as pool:
        found = nearest(tmp_path / "v.npy", tmp_path / "v.npy", 2, shards=4, executor=pool)
    assert found.rows[:, 0].tolist() == list(range(900))
