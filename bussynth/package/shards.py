"""Reading the Parquet shards of a verified package, with nothing taken for granted.

A signature says who wrote a file, not that it is harmless: the publisher's machine may
have been broken into. So the schema is fixed, counts and sizes are capped, and every image
must be what its row says.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bussynth.cohort.row import Row, png_size
from bussynth.cohort.schema import Shard, arrow_schema, parse_manifest
from bussynth.cohort.store import rows_of
from bussynth.errors import BussynthError, DataError
from bussynth.package.manifest import Manifest
from bussynth.package.strict_json import strict_json

__all__ = ["CohortFace", "read_cohort", "read_shard"]

MAX_SHARD_BYTES = 512 * 2**20
MAX_SHARD_ROWS = 1_000_000
_MAX_COHORT_JSON = 16 * 2**20
# What a shard may unpack to: PNG bytes hardly compress, so twice the size is generous.
_MAX_UNPACKED = 2 * MAX_SHARD_BYTES
# Few rows a batch: a lying file can blow up one batch before it is noticed, not more.
_BATCH_ROWS = 64
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_EXTENSION = b"ARROW:extension:name"
_GREY_8_BIT = b"\x08\x00"
_MAX_PROBLEMS = 1000


@dataclass(frozen=True, kw_only=True)
class CohortFace:
    """What ``cohort.json`` of a package says, checked.

    Attributes:
        image_size: (height, width) of every image, in pixels.
        vocabulary: Allowed values of each condition.
        masks: Whether there is a mask column.
        shards: The Parquet files, in order.
    """

    image_size: tuple[int, int]
    vocabulary: Mapping[str, Sequence[str]]
    masks: bool
    shards: tuple[Shard, ...]


def read_cohort(data: bytes, manifest: Manifest) -> CohortFace:
    """Parse ``cohort.json`` and compare it with the signed manifest.

    Args:
        data: Verified bytes of the file.
        manifest: The signed manifest.

    Raises:
        DataError: The two disagree, or the cohort is not a synthetic one.
        IntegrityError: The JSON is ambiguous.
    """
    raw = strict_json(data, what="cohort.json", max_bytes=_MAX_COHORT_JSON)
    cohort = parse_manifest(data.decode())
    problems = []
    if not all(type(edge) is int for edge in raw["image_size"]):
        problems.append("image_size does not hold two whole numbers")
    if cohort["kind"] != "synthetic":
        problems.append("the cohort is not synthetic")
    if cohort["counts"]["images"] != manifest.images:
        problems.append("the number of images differs from the signed one")
    named = {shard.path: shard for shard in cohort["shards"]}
    listed = {name for name in manifest.files if name.endswith(".parquet")}
    if set(named) != listed or len(named) != len(cohort["shards"]):
        problems.append("the shards are not the signed ones")
    for path, shard in named.items():
        entry = manifest.files.get(path)
        if entry is not None and (entry.sha256, entry.bytes) != (shard.sha256, shard.bytes):
            problems.append(f"{path}: digest or size differs from the signed one")
        if shard.bytes > MAX_SHARD_BYTES or not 0 < shard.rows <= MAX_SHARD_ROWS:
            problems.append(f"{path}: has too many bytes or rows, or no rows")
    height, width = cohort["image_size"]
    if height * width > 2**24:
        problems.append("the images are larger than 16,777,216 pixels")
    if problems:
        raise DataError("cohort.json of the package is not consistent.", problems)
    return CohortFace(
        image_size=cohort["image_size"],
        vocabulary=cohort["vocabulary"],
        masks=cohort["masks"],
        shards=tuple(cohort["shards"]),
    )


def read_shard(data: bytes, shard: Shard, face: CohortFace) -> list[Row]:
    """Parse one shard from verified bytes and check every row.

    Args:
        data: The bytes whose digest was checked.
        shard: Its entry in ``cohort.json``.
        face: What the rows must conform to.

    Returns:
        The rows; images are checked by digest and header and decoded only on access.

    Raises:
        DataError: The file or its rows are not what they must be; all problems are listed.
    """
    schema = arrow_schema(face.vocabulary, patients=False, masks=face.masks)
    rows: list[Row] = []
    problems: list[str] = []
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            _check_footer(file, shard, schema)
            digests: list[str | None] = []
            for batch in _bounded(file):
                rows += rows_of(batch, face.vocabulary)
                digests += batch.column("sha256").to_pylist()
    except BussynthError:
        raise
    # On hostile bytes pyarrow raises almost any type, and its messages quote them.
    except Exception as error:
        raise DataError(f"{shard.path} is no shard this version can read.") from error
    if len(rows) != shard.rows:
        problems.append(f"holds {len(rows)} rows, cohort.json says {shard.rows}")
    for number, (row, digest) in enumerate(zip(rows, digests, strict=True), start=1):
        problems += [f"row {number}: {problem}" for problem in _row_problems(row, digest, face)]
        if len(problems) > _MAX_PROBLEMS:
            break
    if problems:
        raise DataError(f"{shard.path} holds rows that do not fit.", problems)
    return rows


def _check_footer(file: pq.ParquetFile, shard: Shard, schema: pa.Schema) -> None:
    metadata = file.metadata
    if metadata.num_rows != shard.rows:
        raise DataError(
            f"{shard.path} claims {metadata.num_rows:,} rows, cohort.json says {shard.rows:,}."
        )
    found = file.schema_arrow.remove_metadata()
    # An extension type that is not registered is read as what it is stored as; refuse it too.
    extended = any(_EXTENSION in (field.metadata or {}) for field in found)
    if extended or not found.equals(schema.remove_metadata()):
        raise DataError(f"{shard.path} has other columns or types than a package may have.")
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if sum(group.total_byte_size for group in groups) > _MAX_UNPACKED:
        raise DataError(f"{shard.path} unpacks to more than {_MAX_UNPACKED:,} bytes.")
    for group in groups:
        for number in range(group.num_columns):
            # One entry of a dictionary can stand for a million rows: a bomb by reference.
            if any("DICTIONARY" in word for word in group.column(number).encodings):
                raise DataError(f"{shard.path} uses dictionary encoding, which is not accepted.")


def _bounded(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    unpacked = 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS):
        unpacked += batch.nbytes
        if unpacked > _MAX_UNPACKED:
            raise DataError(f"A shard unpacks to more than {_MAX_UNPACKED:,} bytes.")
        yield batch


def _row_problems(row: Row, digest: str | None, face: CohortFace) -> list[str]:
    problems: list[str] = []
    if not isinstance(row.id, str) or not _ID.fullmatch(row.id):
        problems.append("its id is not of plain letters and digits")
    if row.lesion_box is not None and (
        len(row.lesion_box) != 4
        or not all(isinstance(edge, float) and math.isfinite(edge) for edge in row.lesion_box)
    ):
        return [*problems, "its lesion box is not four finite numbers"]
    images: list[tuple[str, Any]] = [("image", row.png)]
    if row.mask_png is not None:
        images.append(("mask", row.mask_png))
    for what, png in images:
        if not isinstance(png, bytes) or png_problem(png, face.image_size):
            return [*problems, f"its {what} is not an 8-bit grey PNG of the declared size"]
    if hashlib.sha256(row.png).hexdigest() != digest:
        problems.append("its image does not match its digest")
    return problems + row.check(face.image_size, face.vocabulary)


def png_problem(png: bytes, image_size: tuple[int, int]) -> bool:
    """Tell whether the header is that of something else than a grey PNG of ``image_size``."""
    try:
        return png_size(png) != image_size or png[24:26] != _GREY_8_BIT
    except DataError:
        return True
