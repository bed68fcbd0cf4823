"""Writing rows into Parquet shards and reading them back as a stream."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bussynth.cohort.row import Row
from bussynth.cohort.schema import Shard, arrow_schema
from bussynth.errors import DataError, IntegrityError

__all__ = ["Tally", "file_sha256", "read_batches", "rows_of", "table_of", "write_shards"]

# A row group is the unit a reader holds in memory: about 2 MB of 64-pixel images.
_ROWS_PER_GROUP = 512
_MAX_PROBLEMS = 1000


class Tally:
    """Counts rows while they stream past."""

    def __init__(self) -> None:
        self.images = 0
        self.patients: set[str] = set()
        self.splits: Counter[str] = Counter()

    def add(self, row: Row) -> None:
        """Count one row."""
        self.images += 1
        if row.patient is not None:
            self.patients.add(row.patient)
        if row.split is not None:
            self.splits[row.split] += 1

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as they stand in ``cohort.json``."""
        counts: dict[str, Any] = {"images": self.images}
        if self.patients:
            counts["patients"] = len(self.patients)
        if self.splits:
            counts["splits"] = dict(self.splits)
        return counts


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in lower-case hex, reading it in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def table_of(rows: Sequence[Row], schema: pa.Schema) -> pa.Table:
    """Turn rows into a table of the given schema; each PNG is hashed on the way."""
    columns: dict[str, list[Any]] = {name: [] for name in schema.names}
    for row in rows:
        known: dict[str, Any] = {
            "id": row.id,
            "image": {"bytes": row.png, "path": f"{row.id}.png"},
            "sha256": hashlib.sha256(row.png).hexdigest(),
            "patient": row.patient,
            "split": row.split,
            "lesion_box": row.lesion_box,
            "mask": None
            if row.mask_png is None
            else {"bytes": row.mask_png, "path": f"{row.id}-mask.png"},
        }
        for name, values in columns.items():
            values.append(known[name] if name in known else row.conditions.get(name))
    return pa.table(columns, schema=schema)


def rows_of(batch: pa.RecordBatch, conditions: Iterable[str]) -> list[Row]:
    """Turn a batch that was read from a shard into rows."""
    columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
    names = list(conditions)
    absent: list[Any] = [None] * batch.num_rows
    patients, splits = columns.get("patient", absent), columns.get("split", absent)
    masks = columns.get("mask", absent)
    return [
        Row(
            id=columns["id"][i],
            png=columns["image"][i]["bytes"],
            patient=patients[i],
            split=splits[i],
            conditions={name: columns[name][i] for name in names},
            lesion_box=None
            if columns["lesion_box"][i] is None
            else tuple(columns["lesion_box"][i]),
            mask_png=None if masks[i] is None else masks[i]["bytes"],
        )
        for i in range(batch.num_rows)
    ]


def write_shards(
    root: Path,
    rows: Iterable[Row],
    *,
    folder: str,
    vocabulary: Mapping[str, Sequence[str]],
    image_size: tuple[int, int],
    patients: bool,
    masks: bool,
    rows_per_shard: int,
) -> tuple[list[Shard], Tally]:
    """Write rows to ``root/folder/part-00000.parquet`` and so on.

    Rows stream: no more than one row group is held in memory.

    Returns:
        The shards in order, and the counts.

    Raises:
        DataError: Rows do not fit the cohort; all such rows are listed by number.
    """
    schema = arrow_schema(vocabulary, patients=patients, masks=masks)
    (root / folder).mkdir(parents=True)
    shards: list[Shard] = []
    tally = Tally()
    problems: list[str] = []
    writer: pq.ParquetWriter | None = None
    path = root
    pending: list[Row] = []
    in_shard = 0

    def flush(*, close: bool) -> None:
        nonlocal writer, path, in_shard
        if pending:
            if writer is None:
                path = root / folder / f"part-{len(shards):05d}.parquet"
                # PNG bytes do not compress further; the other columns are small.
                writer = pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False)
            writer.write_table(table_of(pending, schema), row_group_size=_ROWS_PER_GROUP)
            in_shard += len(pending)
            pending.clear()
        if writer is not None and (close or in_shard >= rows_per_shard):
            writer.close()
            writer = None
            shards.append(
                Shard(
                    path=path.relative_to(root).as_posix(),
                    rows=in_shard,
                    bytes=path.stat().st_size,
                    sha256=file_sha256(path),
                )
            )
            in_shard = 0

    try:
        for number, row in enumerate(rows, start=1):
            found = row.check(image_size, vocabulary)
            if not patients and (row.patient is not None or row.split is not None):
                found.append("has a patient or a split, which a synthetic cohort must not have")
            if patients and not row.patient:
                found.append("has no patient")
            problems += [f"row {number}: {problem}" for problem in found]
            if len(problems) >= _MAX_PROBLEMS:
                break
            if problems:
                continue
            tally.add(row)
            pending.append(row)
            if len(pending) == min(_ROWS_PER_GROUP, rows_per_shard - in_shard):
                flush(close=False)
        if not problems:
            flush(close=True)
    finally:
        if writer is not None:
            writer.close()
    if problems:
        raise DataError("Rows do not fit the cohort.", problems)
    return shards, tally


def read_batches(
    path: Path, *, schema: pa.Schema, columns: Sequence[str] | None, rows: int
) -> Iterator[pa.RecordBatch]:
    """Stream one shard in batches of at most ``rows`` rows.

    Raises:
        IntegrityError: The shard is missing, no Parquet file, or lacks columns of ``schema``.
    """
    try:
        with pq.ParquetFile(path) as file:
            if not set(schema.names) <= set(file.schema_arrow.names):
                raise IntegrityError(f"The shard {path.name} lacks columns; the cohort is damaged.")
            yield from file.iter_batches(
                batch_size=rows, columns=None if columns is None else list(columns)
            )
    except FileNotFoundError as error:
        raise IntegrityError(f"The shard {path.name} is missing; the cohort is damaged.") from error
    except (pa.ArrowException, OSError) as error:
        raise IntegrityError(
            f"The shard {path.name} cannot be read; the cohort is damaged."
        ) from error
