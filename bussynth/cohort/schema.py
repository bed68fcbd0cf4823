"""The form of a cohort on disk: ``cohort.json`` and the columns of its Parquet shards.

The shards follow the image layout of Hugging Face ``datasets`` (a struct of bytes and
path, described in the schema metadata), so pandas, DuckDB and ``datasets`` read them
without bussynth.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from bussynth.atomic import canonical_json
from bussynth.config import suggest
from bussynth.errors import DataError

__all__ = [
    "KINDS",
    "PATHOLOGIES",
    "RESERVED",
    "SCHEMA",
    "Shard",
    "arrow_schema",
    "build_manifest",
    "check_vocabulary",
    "content_digest",
    "parse_manifest",
]

SCHEMA = "bussynth-cohort/1"
KINDS = ("real", "phantom", "synthetic")
PATHOLOGIES = ("normal", "benign", "malignant")
RESERVED = ("id", "image", "mask", "sha256", "patient", "split", "lesion_box")

_COLUMN_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_SHARD_PATH = re.compile(r"data[a-z0-9-]{0,20}/[a-z]+-[0-9]{5}(-of-[0-9]{5})?\.parquet")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One Parquet file of a cohort."""

    path: str
    rows: int
    bytes: int
    sha256: str


def check_vocabulary(vocabulary: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Check the condition columns and their values and return them as plain lists.

    Raises:
        DataError: A name is reserved or malformed, a value is empty or listed twice, or
            ``pathology`` is missing or holds other values than normal, benign, malignant.
    """
    problems = []
    for column, values in vocabulary.items():
        if column in RESERVED:
            problems.append(f"condition {column!r}: the name is reserved")
        elif not _COLUMN_NAME.fullmatch(column):
            problems.append(f"condition {column!r}: use lower-case letters, digits, underscores")
        if not values or len(set(values)) != len(values):
            problems.append(f"condition {column!r}: needs distinct values, at least one")
        if any(not value or not value.isprintable() or len(value) > 100 for value in values):
            problems.append(f"condition {column!r}: a value is empty, long or not printable")
    unknown = set(vocabulary.get("pathology", ["?"])) - set(PATHOLOGIES)
    if unknown:
        word = next(iter(unknown))
        problems.append(
            f"condition 'pathology': its values must be among {', '.join(PATHOLOGIES)}"
            f"{suggest(word, PATHOLOGIES)}"
        )
    if problems:
        raise DataError("The vocabulary of the cohort is not valid.", problems)
    return {column: list(values) for column, values in vocabulary.items()}


def arrow_schema(
    vocabulary: Mapping[str, Sequence[str]], *, patients: bool, masks: bool
) -> pa.Schema:
    """Build the Parquet schema of a cohort.

    Args:
        vocabulary: Condition columns and their values.
        patients: Whether the columns ``patient`` and ``split`` exist (not if synthetic).
        masks: Whether the column ``mask`` exists.
    """
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    text = {"dtype": "string", "_type": "Value"}
    fields = [("id", pa.string()), ("image", image), ("sha256", pa.string())]
    features: dict[str, Any] = {"id": text, "image": {"_type": "Image"}, "sha256": text}
    if patients:
        fields += [("patient", pa.string()), ("split", pa.string())]
        features |= {"patient": text, "split": text}
    for column in vocabulary:
        fields.append((column, pa.string()))
        features[column] = text
    fields.append(("lesion_box", pa.list_(pa.float32())))
    features["lesion_box"] = {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "List"}
    if masks:
        fields.append(("mask", image))
        features["mask"] = {"_type": "Image"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema(fields, metadata=metadata)


def content_digest(
    kind: str,
    image_size: tuple[int, int],
    vocabulary: Mapping[str, Sequence[str]],
    shards: Sequence[Shard],
) -> str:
    """Return the digest of a cohort: ``sha256:`` over what its rows are made of."""
    content = {
        "schema": SCHEMA,
        "kind": kind,
        "image_size": list(image_size),
        "vocabulary": {column: list(values) for column, values in vocabulary.items()},
        "shards": [[shard.path.split("/")[-1], shard.rows, shard.sha256] for shard in shards],
    }
    return "sha256:" + hashlib.sha256(canonical_json(content).encode()).hexdigest()


def build_manifest(
    *,
    kind: str,
    image_size: tuple[int, int],
    vocabulary: Mapping[str, Sequence[str]],
    masks: bool,
    counts: Mapping[str, Any],
    shards: Sequence[Shard],
    split: Mapping[str, Any] | None,
    provenance: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the content of a ``cohort.json``."""
    return {
        "schema": SCHEMA,
        "kind": kind,
        "image_size": list(image_size),
        "vocabulary": {column: list(words) for column, words in vocabulary.items()},
        "masks": masks,
        "counts": dict(counts),
        "shards": [asdict(shard) for shard in shards],
        "split": None if split is None else dict(split),
        "provenance": dict(provenance),
        "digest": content_digest(kind, image_size, vocabulary, shards),
    }


def parse_manifest(text: str) -> dict[str, Any]:
    """Parse and check the text of a ``cohort.json``.

    Returns:
        The manifest with ``shards`` as :class:`Shard` records.

    Raises:
        DataError: The text is not a cohort manifest that this version can read.
    """
    try:
        manifest = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError("cohort.json is not valid JSON; the cohort is damaged.") from error
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else None
        raise DataError(
            f"cohort.json has schema {found!r}, but this version reads {SCHEMA!r}; "
            "use the version of bussynth that wrote it."
        )
    try:
        shards = [Shard(**shard) for shard in manifest["shards"]]
        height, width = (int(edge) for edge in manifest["image_size"])
        valid = (
            manifest["kind"] in KINDS
            and height > 0
            and width > 0
            and bool(_DIGEST.fullmatch(manifest["digest"]))
            and isinstance(manifest["counts"]["images"], int)
            and isinstance(manifest["masks"], bool)
            and all(_SHARD_PATH.fullmatch(shard.path) for shard in shards)
            and sum(shard.rows for shard in shards) == manifest["counts"]["images"]
        )
        check_vocabulary(manifest["vocabulary"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError("cohort.json lacks fields or holds wrong ones.") from error
    if not valid:
        raise DataError("cohort.json holds values out of range; the cohort is damaged.")
    return manifest | {"shards": shards, "image_size": (height, width)}
