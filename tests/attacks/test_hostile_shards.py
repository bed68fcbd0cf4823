"""Parquet shards and images that a trusted key signed and that are malicious all the same."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from bussynth.errors import DataError
from bussynth.images import encode_png
from bussynth.package import load


def loads(built: Path, forge: Any) -> Any:
    return load(built, trust=forge.trust, framework="numpy")


def refused(built: Path, forge: Any, match: str | None = None) -> None:
    with pytest.raises(DataError, match=match) as caught:
        loads(built, forge)
    assert str(caught.value).replace("\n", "").isprintable()


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


def with_png(table: pa.Table, png: bytes, *, digest: str | None = None) -> pa.Table:
    cells = table.column("image").to_pylist()
    cells[1]["bytes"] = png
    digests = table.column("sha256").to_pylist()
    digests[1] = digest or hashlib.sha256(png).hexdigest()
    table = with_column(table, "image", pa.array(cells, table.schema.field("image").type))
    return with_column(table, "sha256", pa.array(digests))


def png(width: int, height: int, *, depth: int = 8, colour: int = 0, body: bytes = b"") -> bytes:
    """A PNG that claims a size and holds the image data it is given."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + (chunk(b"IDAT", body) if body else b"")
        + chunk(b"IEND", b"")
    )


class Exotic(pa.ExtensionType):  # type: ignore[misc]
    """An extension type whose deserialiser must never run."""

    def __init__(self) -> None:
        super().__init__(pa.string(), "bussynth.test.exotic")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"payload"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: Any, serialized: bytes) -> Exotic:
        return cls()


Change = Callable[[pa.Table], pa.Table]
TABLES: dict[str, Change] = {
    "column missing": lambda t: t.drop_columns(["sha256"]),
    "column added": lambda t: t.append_column("seed", pa.array([1, 2, 3])),
    "patient column": lambda t: t.append_column("patient", pa.array(["a", "b", "c"])),
    "columns swapped": lambda t: t.select(list(reversed(t.column_names))),
    "column twice": lambda t: t.append_column("id", t.column("id")),
    "other type": lambda t: with_column(t, "id", pa.array([1, 2, 3])),
    "large string": lambda t: with_column(t, "id", t.column("id").cast(pa.large_string())),
    "dictionary type": lambda t: with_column(t, "id", t.column("id").dictionary_encode()),
    "box of doubles": lambda t: with_column(
        t, "lesion_box", t.column("lesion_box").cast(pa.list_(pa.float64()))
    ),
    "extension": lambda t: with_column(
        t, "id", pa.ExtensionArray.from_storage(Exotic(), t.column("id").combine_chunks())
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_other_schema(forge: Any, tmp_path: Path, name: str) -> None:
    data = forge.parquet(TABLES[name](forge.table()))
    refused(forge.shard(tmp_path / "p", data), forge, "other columns or types")


def test_registered_extension_type_is_refused(forge: Any, tmp_path: Path) -> None:
    data = forge.parquet(TABLES["extension"](forge.table()))
    built = forge.shard(tmp_path / "p", data)
    pa.register_extension_type(Exotic())
    try:
        refused(built, forge, "other columns or types")
    finally:
        pa.unregister_extension_type("bussynth.test.exotic")


@pytest.mark.parametrize(
    "data",
    [b"", b"PAR1", b"PAR1" * 100, b"PAR1" + b"\xff" * 50 + b"\xff\xff\xff\x7fPAR1", b"\0" * 5000],
    ids=["empty", "magic", "magics", "huge footer", "zeros"],
)
def test_no_parquet(forge: Any, tmp_path: Path, data: bytes) -> None:
    refused(forge.shard(tmp_path / "p", data), forge, "no shard this version can read")


def test_damaged_pages(forge: Any, tmp_path: Path) -> None:
    good = forge.parquet(forge.table())
    rng = np.random.default_rng(0)
    for number in range(40):
        data = bytearray(good)
        for position in rng.integers(4, len(data) - 8, 12):
            data[position] = rng.integers(256)
        built = forge.shard(tmp_path / str(number), bytes(data))
        try:
            data_set = loads(built, forge)
            for index in range(3):
                data_set[index]
        except DataError:
            continue


def test_rows_claimed(forge: Any, tmp_path: Path) -> None:
    data = forge.parquet(forge.table())
    refused(forge.shard(tmp_path / "more", data, rows=4), forge, "claims 3 rows")
    refused(forge.shard(tmp_path / "fewer", data, rows=2), forge, "claims 3 rows")
    refused(forge.shard(tmp_path / "billions", data, rows=2**40), forge, "too many")
    empty = forge.parquet(forge.table().slice(0, 0))
    refused(forge.shard(tmp_path / "none", empty, rows=0), forge)


def test_dictionary_bomb(forge: Any, tmp_path: Path) -> None:
    table = forge.table()
    cell = table.column("image").to_pylist()[0] | {"bytes": bytes(2**20)}
    count = 20_000
    rows = {
        name: pa.array([column[0].as_py()] * count, column.type)
        for name, column in zip(table.column_names, table.columns, strict=True)
        if name != "image"
    }
    index = pa.array(np.zeros(count, np.int32))
    image = pa.StructArray.from_arrays(
        [
            pa.DictionaryArray.from_arrays(index, pa.array([cell["bytes"]], pa.binary())),
            pa.array(["a"] * count),
        ],
        names=["bytes", "path"],
    )
    bomb = pa.table({name: rows.get(name, image) for name in table.column_names})
    data = forge.parquet(bomb, use_dictionary=True, compression="zstd", store_schema=False)
    assert len(data) < 2**20
    refused(forge.shard(tmp_path / "p", data, rows=count), forge, "dictionary")


def test_compression_bomb(forge: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = forge.table()
    big = with_png(table, bytes(2**20))
    many = pa.concat_tables([big.slice(1, 1)] * 3)
    monkeypatch.setattr("bussynth.package.shards._MAX_UNPACKED", 2**20)
    data = forge.parquet(many, compression="zstd")
    assert len(data) < 100_000
    refused(forge.shard(tmp_path / "p", data), forge, "unpacks to more")


GOOD = zlib.compress(bytes(9 * 8))
IMAGES: dict[str, bytes] = {
    "bomb": png(65_535, 65_535, body=GOOD),
    "other size": encode_png(np.zeros((8, 9), np.uint8)),
    "zero": png(0, 8, body=GOOD),
    "16 bit": png(8, 8, depth=16, body=zlib.compress(bytes(8 * 17))),
    "palette": png(8, 8, colour=3, body=GOOD),
    "colour": png(8, 8, colour=2, body=zlib.compress(bytes(8 * 25))),
    "alpha": png(8, 8, colour=4, body=zlib.compress(bytes(8 * 17))),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>" + bytes(40),
    "jpeg": b"\xff\xd8\xff" + bytes(40),
    "empty": b"",
}


@pytest.mark.parametrize("name", IMAGES)
def test_images_of_another_kind(forge: Any, tmp_path: Path, name: str) -> None:
    data = forge.parquet(with_png(forge.table(), IMAGES[name]))
    refused(forge.shard(tmp_path / "p", data), forge, "row 2: its image is not an 8-bit grey PNG")


@pytest.mark.parametrize(
    "bad",
    [
        png(8, 8),
        png(8, 8, body=b"\0"),
        png(8, 8, body=zlib.compress(bytes(20))),
        png(8, 8, body=GOOD)[:-14],
        png(8, 8, body=GOOD)[:45] + b"\xff" + png(8, 8, body=GOOD)[46:],
    ],
    ids=["no data", "no zlib", "too short", "truncated", "checksum"],
)
def test_damaged_image_is_reported_when_it_is_decoded(
    forge: Any, tmp_path: Path, bad: bytes
) -> None:
    built = forge.shard(tmp_path / "p", forge.parquet(with_png(forge.table(), bad)))
    data = loads(built, forge)
    with pytest.raises(DataError, match="image s0000001"):
        data[1]
    assert data[0]["image"].shape == (1, 8, 8)


def test_text_and_pixel_bombs_inside_a_small_png_stay_small(forge: Any, tmp_path: Path) -> None:
    body = b"Comment\0\0" + zlib.compress(bytes(64 * 2**20), 9)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body
    chunk += struct.pack(">I", zlib.crc32(b"zTXt" + body))
    start = png(8, 8, body=GOOD)
    pixels = png(8, 8, body=zlib.compress(bytes(64 * 2**20), 9))
    for number, bomb in enumerate((start[:33] + chunk + start[33:], pixels)):
        built = forge.shard(tmp_path / str(number), forge.parquet(with_png(forge.table(), bomb)))
        data = loads(built, forge)
        try:
            assert data[1]["image"].shape == (1, 8, 8)
        except DataError:
            continue


def test_animated_png(forge: Any, tmp_path: Path) -> None:
    frames = [Image.new("L", (8, 8), value) for value in (0, 128)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    data = forge.parquet(with_png(forge.table(), buffer.getvalue()))
    with pytest.raises(DataError, match="frames"):
        loads(forge.shard(tmp_path / "p", data), forge)[1]


def test_digest_of_another_image(forge: Any, tmp_path: Path) -> None:
    image = encode_png(np.zeros((8, 8), np.uint8))
    table = with_png(forge.table(), image, digest="0" * 64)
    built = forge.shard(tmp_path / "p", forge.parquet(table))
    refused(built, forge, "row 2: its image does not match its digest")


@pytest.mark.parametrize(
    ("column", "values", "match"),
    [
        ("pathology", ["benign", "tumour", None], "row 2: pathology"),
        ("id", ["a", "../x", "c"], "row 2: its id"),
        ("id", ["a", "\x1b[2J", "c"], "row 2: its id"),
        ("id", ["a", None, "c"], "row 2: its id"),
        ("id", ["a", "b", "a"], "same id"),
        ("sha256", ["0", None, ""], "digest"),
        ("lesion_box", [None, [float("nan"), 0, 1, 1], None], "row 2: its lesion box"),
        ("lesion_box", [None, [float("inf"), 0, 1, 1], None], "row 2: its lesion box"),
        ("lesion_box", [None, [0, 0, 1], None], "row 2: its lesion box"),
        ("lesion_box", [None, [0] * 1000, None], "row 2: its lesion box"),
        ("lesion_box", [None, [None] * 4, None], "row 2: its lesion box"),
        ("lesion_box", [None, [3, 3, 1, 1], None], "row 2: lesion box"),
        ("lesion_box", [None, [0, 0, 9, 8], None], "row 2: lesion box"),
        ("lesion_box", [None, [], None], "row 2: its lesion box"),
    ],
    ids=str,
)
def test_values(forge: Any, tmp_path: Path, column: str, values: list[Any], match: str) -> None:
    table = forge.table()
    table = with_column(table, column, pa.array(values, table.schema.field(column).type))
    refused(forge.shard(tmp_path / "p", forge.parquet(table)), forge, match)


def test_null_image(forge: Any, tmp_path: Path) -> None:
    table = forge.table()
    kind = table.schema.field("image").type
    for number, cell in enumerate((None, {"bytes": None, "path": "x"})):
        cells = table.column("image").to_pylist()
        cells[1] = cell
        data = forge.parquet(with_column(table, "image", pa.array(cells, kind)))
        refused(forge.shard(tmp_path / str(number), data), forge)


def test_second_shard_that_the_cohort_does_not_name(forge: Any, tmp_path: Path) -> None:
    extra = {"data/train-00001-of-00002.parquet": b"x"}
    built = forge.files(tmp_path / "p", extra)
    refused(built, forge, "shards are not the signed ones|not consistent")
