"""The cohort: open, create, select, stream, count and verify."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bussynth import __version__, atomic
from bussynth.cohort.row import SPLITS, Row
from bussynth.cohort.schema import (
    KINDS,
    Shard,
    arrow_schema,
    build_manifest,
    check_vocabulary,
    content_digest,
    parse_manifest,
)
from bussynth.cohort.store import file_sha256, read_batches, rows_of, write_shards
from bussynth.config import suggest
from bussynth.errors import DataError, IntegrityError, UsageError
from bussynth.images import decode_image

__all__ = ["LEDGER_FILE", "Cohort"]

#: What private trainings on the cohort have spent, see :mod:`privacy.dp.ledger`.
LEDGER_FILE: Final = "privacy-ledger.sqlite"
_MANIFEST: Final = "cohort.json"
_MAX_MANIFEST_BYTES: Final = 64 * 2**20


class Cohort:
    """A table with images: one row an image, stored in Parquet shards.

    Opening reads ``cohort.json`` only, whatever the number of rows; reading streams by
    shard. :meth:`select` gives a view of some rows that is itself a cohort.

    Example:
        >>> import tempfile, numpy as np
        >>> from bussynth.cohort import Cohort, Row
        >>> row = Row.from_arrays(
        ...     id="a",
        ...     image=np.zeros((8, 8), np.uint8),
        ...     conditions={"pathology": "normal", "device": None},
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cohort = Cohort.create(
        ...         folder + "/c",
        ...         [row],
        ...         kind="synthetic",
        ...         image_size=8,
        ...         vocabulary={"pathology": ["normal", "benign"], "device": ["x"]},
        ...     )
        ...     len(cohort), cohort.images().shape
        (1, (1, 8, 8))
    """

    def __init__(
        self,
        path: Path,
        manifest: Mapping[str, Any],
        filters: Mapping[str, frozenset[str | None]] | None = None,
    ) -> None:
        self._path = path
        self._manifest = manifest
        self._filters = dict(filters or {})
        self._length: int | None = None

    @classmethod
    def open(cls, path: Path | str) -> Cohort:
        """Open a cohort.

        Raises:
            DataError: The folder holds no cohort, or one that this version cannot read.
        """
        path = Path(path)
        file = path / _MANIFEST
        try:
            if file.stat().st_size > _MAX_MANIFEST_BYTES:
                raise DataError(f"{file} is larger than 64 MiB; it is no cohort manifest.")
            text = file.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise DataError(f"{path} holds no cohort: {_MANIFEST} is missing.") from error
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file} cannot be read.") from error
        return cls(path, parse_manifest(text))

    @classmethod
    def check_place(cls, path: Path | str, kind: str, *, force: bool = False) -> None:
        """Refuse a place that a new cohort must not take.

        ``force`` replaces a cohort of the same kind only: synthetic images written over the
        patients' cohort, or over a model, would be a loss that nothing undoes.

        Args:
            path: The folder to make.
            kind: Kind of the new cohort.
            force: Replace an earlier cohort of this kind.

        Raises:
            UsageError: The place is taken by something else, or ``force`` is not given.
        """
        path = Path(path)
        atomic.check_output(path, force=force, markers=(_MANIFEST,))
        if (path / "bussynth.statement.dsse.json").exists():
            raise UsageError(f"{path} holds a signed package, which no cohort replaces.")
        if (path / LEDGER_FILE).exists():
            raise UsageError(
                f"{path} holds {LEDGER_FILE}, which knows what was spent of its patients' privacy, "
                "so the folder is not replaced; choose another name and keep the ledger."
            )
        if not (path / _MANIFEST).is_file():
            return
        try:
            found = cls.open(path).kind
        except DataError:
            return  # damaged: nothing to protect
        if found != kind:
            raise UsageError(
                f"{path} holds a {found} cohort, which a {kind} one does not replace; choose "
                "another name."
            )

    @classmethod
    def create(
        cls,
        path: Path | str,
        rows: Iterable[Row],
        *,
        kind: str,
        image_size: int | tuple[int, int],
        vocabulary: Mapping[str, Sequence[str]],
        masks: bool = False,
        split: Mapping[str, Any] | None = None,
        provenance: Mapping[str, Any] | None = None,
        force: bool = False,
        rows_per_shard: int = 4096,
        beside: Callable[[Path], None] | None = None,
    ) -> Cohort:
        """Write rows into a new cohort; the folder appears whole or not at all.

        Args:
            path: The folder to make.
            rows: The rows, taken one by one.
            kind: ``"real"``, ``"phantom"`` or ``"synthetic"``.
            image_size: Edge length, or (height, width), in pixels.
            vocabulary: The allowed values of each condition column.
            masks: Whether the cohort has a mask column.
            split: Record of the split that the rows carry, if they come from a cohort that was
                split; see :func:`bussynth.cohort.split.kept_record`.
            provenance: How the cohort came to be, as plain values; no patient values.
            force: Replace an earlier output of bussynth.
            rows_per_shard: Rows a Parquet file.
            beside: Called with the folder, once the rows are in it, to write further files that
                appear together with the cohort; readers of cohorts take no notice of them.

        Raises:
            UsageError: The folder exists, or ``kind`` is unknown.
            DataError: There are no rows, or rows do not fit; all are listed.
        """
        if kind not in KINDS:
            raise UsageError(f"kind={kind!r}: must be one of {', '.join(KINDS)}.")
        size = (image_size, image_size) if isinstance(image_size, int) else image_size
        words = check_vocabulary(vocabulary)
        cls.check_place(path, kind, force=force)
        with atomic.new_directory(path, force=force, markers=(_MANIFEST,)) as staging:
            shards, tally = write_shards(
                staging,
                rows,
                folder="data",
                vocabulary=words,
                image_size=size,
                patients=kind != "synthetic",
                masks=masks,
                rows_per_shard=rows_per_shard,
            )
            if not tally.images:
                raise DataError("There are no images, so no cohort was written.")
            manifest = build_manifest(
                kind=kind,
                image_size=size,
                vocabulary=words,
                masks=masks,
                counts=tally.to_dict(),
                shards=shards,
                split=split,
                provenance={"bussynth": __version__, **(provenance or {})},
            )
            atomic.write_json(staging / _MANIFEST, manifest)
            if beside is not None:
                beside(staging)
        return cls.open(path)

    @property
    def path(self) -> Path:
        """The folder of the cohort."""
        return self._path

    @property
    def kind(self) -> str:
        """``"real"``, ``"phantom"`` or ``"synthetic"``."""
        return str(self._manifest["kind"])

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of every image, in pixels."""
        height, width = self._manifest["image_size"]
        return height, width

    @property
    def vocabulary(self) -> dict[str, tuple[str, ...]]:
        """The allowed values of each condition column."""
        return {column: tuple(words) for column, words in self._manifest["vocabulary"].items()}

    @property
    def has_masks(self) -> bool:
        """Whether the cohort has a mask column."""
        return bool(self._manifest["masks"])

    @property
    def counts(self) -> dict[str, Any]:
        """Numbers of images, patients and images a split, of the whole cohort."""
        return dict(self._manifest["counts"])

    @property
    def split_record(self) -> dict[str, Any] | None:
        """How the patients were split, or None before :func:`bussynth.split`."""
        record = self._manifest["split"]
        return None if record is None else dict(record)

    @property
    def provenance(self) -> dict[str, Any]:
        """How the cohort came to be."""
        return dict(self._manifest["provenance"])

    @property
    def derived(self) -> dict[str, Any] | None:
        """How the images were derived from those of another cohort, or None.

        Derived images show what their sources show. Those of a real cohort are personal data.
        """
        record = self.provenance.get("derived")
        return dict(record) if isinstance(record, dict) else None

    @property
    def digest(self) -> str:
        """``sha256:…`` of the whole cohort's content; changes when a split is recorded."""
        return str(self._manifest["digest"])

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The Parquet files of the whole cohort, in order."""
        return tuple(self._manifest["shards"])

    def __repr__(self) -> str:
        height, width = self.image_size
        view = f", selected by {', '.join(self._filters)}" if self._filters else ""
        return (
            f"Cohort({str(self._path)!r}, {self.kind}, {self.counts['images']} images "
            f"of {width}x{height}{view})"
        )

    def __len__(self) -> int:
        if not self._filters:
            return int(self._manifest["counts"]["images"])
        if self._length is None:
            self._length = sum(batch.num_rows for batch in self._record_batches([], rows=65_536))
        return self._length

    def __iter__(self) -> Iterator[Row]:
        for batch in self._record_batches(None, rows=256):
            yield from rows_of(batch, self.vocabulary)

    def batches(self, rows: int = 256) -> Iterator[list[Row]]:
        """Stream the rows in lists of at most ``rows``."""
        for batch in self._record_batches(None, rows=rows):
            yield rows_of(batch, self.vocabulary)

    def select(
        self,
        split: str | Sequence[str] | None = None,
        **conditions: str | Sequence[str | None] | None,
    ) -> Cohort:
        """Return a view of the rows with the given split and condition values.

        Args:
            split: One or several of ``"train"``, ``"control"``, ``"test"``.
            conditions: Allowed value or values of a condition column; None is "unknown".

        Raises:
            UsageError: A column or a value does not exist, or the cohort was not split.
        """
        filters: dict[str, frozenset[str | None]] = {}
        problems = []
        for column, wanted in conditions.items():
            if column not in self.vocabulary:
                problems.append(f"no condition {column!r}{suggest(column, self.vocabulary)}")
                continue
            values = [wanted] if isinstance(wanted, str) or wanted is None else list(wanted)
            for value in values:
                if value is not None and value not in self.vocabulary[column]:
                    words = self.vocabulary[column]
                    problems.append(
                        f"{column}={value!r}: must be one of {', '.join(words)}"
                        f"{suggest(value, words)}"
                    )
            filters[column] = frozenset(values)
        if split is not None:
            splits = [split] if isinstance(split, str) else list(split)
            problems += [
                f"split={name!r}: must be one of {', '.join(SPLITS)}{suggest(name, SPLITS)}"
                for name in splits
                if name not in SPLITS
            ]
            if self.split_record is None:
                problems.append("the cohort was not split; run `bussynth split` first")
            filters["split"] = frozenset(splits)
        if problems:
            raise UsageError("Rows cannot be selected.", problems)
        for column, allowed in self._filters.items():
            filters[column] = filters.get(column, allowed) & allowed
        return Cohort(self._path, self._manifest, filters)

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return everything but pixels as a table; all of it is held in memory.

        Args:
            columns: Names of columns; all but ``image`` and ``mask`` by default.
        """
        names = list(columns) if columns is not None else self._light_columns()
        batches = [batch.select(names) for batch in self._record_batches(names, rows=65_536)]
        if not batches:
            raise DataError("The selection holds no images.")
        return pa.Table.from_batches(batches).replace_schema_metadata(None)

    def images(self) -> npt.NDArray[np.uint8]:
        """Decode all images of the selection: shape (n, H, W), uint8."""
        images = np.empty((len(self), *self.image_size), dtype=np.uint8)
        position = 0
        for batch in self._record_batches(["id", "image"], rows=256):
            for name, cell in zip(
                batch.column("id").to_pylist(), batch.column("image").to_pylist(), strict=True
            ):
                pixels = decode_image(cell["bytes"], what=f"image {name}")
                if pixels.shape != self.image_size:
                    raise IntegrityError(f"Image {name} has another size than its cohort.")
                images[position] = pixels
                position += 1
        return images

    def statistics(self) -> dict[str, Any]:
        """Count images and patients by split and by condition, of the selection."""
        table = self.table()
        result: dict[str, Any] = {"images": table.num_rows}
        if self.kind != "synthetic":
            patients = table.group_by("patient").aggregate([([], "count_all")])
            images = patients.column("count_all")
            result["patients"] = patients.num_rows
            result["images_per_patient"] = {
                "min": pc.min(images).as_py(),
                "mean": round(table.num_rows / patients.num_rows, 3),
                "max": pc.max(images).as_py(),
            }
            if self.split_record is not None:
                result["splits"] = {
                    name: {
                        "images": part.num_rows,
                        "patients": pc.count_distinct(part.column("patient")).as_py(),
                    }
                    for name in SPLITS
                    for part in [table.filter(pc.equal(table.column("split"), name))]
                }
        result["conditions"] = {}
        for column, words in self.vocabulary.items():
            counted = pc.value_counts(table.column(column)).to_pylist()
            counts = {entry["values"]: entry["counts"] for entry in counted}
            result["conditions"][column] = {
                word if word is not None else "(unknown)": counts[word]
                for word in (*words, None)
                if word in counts
            }
        result["lesion_boxes"] = table.num_rows - table.column("lesion_box").null_count
        return result

    def verify(self) -> None:
        """Compare every shard with the recorded digest.

        Raises:
            IntegrityError: Shards are missing or changed; all are listed.
        """
        problems = []
        for shard in self.shards:
            path = self._path / shard.path
            if path.is_symlink() or not path.is_file():
                problems.append(f"{shard.path} is missing")
            elif path.stat().st_size != shard.bytes or file_sha256(path) != shard.sha256:
                problems.append(f"{shard.path} was changed")
        expected = content_digest(self.kind, self.image_size, self.vocabulary, self.shards)
        if expected != self.digest:
            problems.append("the digest in cohort.json does not match its entries")
        if problems:
            raise IntegrityError(f"The cohort {self._path} is damaged.", problems)

    def _light_columns(self) -> list[str]:
        person = [] if self.kind == "synthetic" else ["patient", "split"]
        return ["id", "sha256", *person, *self.vocabulary, "lesion_box"]

    def _record_batches(
        self, columns: Sequence[str] | None, *, rows: int
    ) -> Iterator[pa.RecordBatch]:
        read = None if columns is None else list(dict.fromkeys([*columns, *self._filters]))
        schema = arrow_schema(
            self.vocabulary, patients=self.kind != "synthetic", masks=self.has_masks
        )
        for shard in self.shards:
            for batch in read_batches(
                self._path / shard.path, schema=schema, columns=read, rows=rows
            ):
                kept = batch
                for column, allowed in self._filters.items():
                    mask = pc.is_in(
                        kept.column(column),
                        value_set=pa.array(sorted(allowed, key=str), pa.string()),
                    )
                    kept = kept.filter(mask)
                if kept.num_rows:
                    yield kept
