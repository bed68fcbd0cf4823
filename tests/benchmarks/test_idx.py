from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.idx import find_idx, read_idx
from bussynth.errors import DataError


def packed(values: np.ndarray, kind: int = 0x08) -> bytes:
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    return bytes([0, 0, kind, values.ndim]) + sizes + values.astype(np.uint8).tobytes()


IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize("name", ["x-idx3-ubyte", "x.idx3-ubyte", "x.idx3-ubyte.gz"])
def test_a_file_is_found_and_read(name: str, tmp_path: Path) -> None:
    content = packed(IMAGES)
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    found = read_idx(find_idx(tmp_path, "x", 3), 3)
    assert found.dtype == np.uint8
    assert np.array_equal(found, IMAGES)


def test_a_plain_file_comes_before_a_packed_one(tmp_path: Path) -> None:
    for name in ("x-idx3-ubyte.gz", "x.idx3-ubyte"):
        (tmp_path / name).touch()
    assert find_idx(tmp_path, "x", 3).name == "x.idx3-ubyte"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither x-idx1-ubyte nor x\.idx1-ubyte"):
        find_idx(tmp_path, "x", 1)
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path / "absent", 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not begin"),
        (b"\x89PNG\r\n", "does not begin"),
        (packed(IMAGES, kind=0x0D), "type 0x0d"),
        (packed(IMAGES[0]), "2 dimensions; expected 3"),
        (packed(IMAGES)[:9], "cut off in its header"),
        (packed(IMAGES[:0]), "empty"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, "too large"),
        (packed(IMAGES)[:-1], "23 of 24 values"),
        (packed(IMAGES) + b"\0", "goes on behind the 24"),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_what_the_header_does_not_explain_is_refused(
    content: bytes, message: str, zipped: bool, tmp_path: Path
) -> None:
    path = tmp_path / ("x.gz" if zipped else "x")
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(DataError, match=message):
        read_idx(path, 3)


@pytest.mark.parametrize("damage", ["short", "header", "inside"])
def test_a_damaged_gzip_file_is_refused(damage: str, tmp_path: Path) -> None:
    whole = bytearray(gzip.compress(packed(IMAGES)))
    if damage == "short":
        whole = whole[:-9]
    else:
        whole[0 if damage == "header" else 12] ^= 0xFF
    path = tmp_path / "x.gz"
    path.write_bytes(whole)
    with pytest.raises(DataError):
        read_idx(path, 3)
