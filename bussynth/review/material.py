"""What a de-identification leaves for the person who checks it.

``previews.parquet`` holds a picture of every image that was kept, with what was cut and blanked;
``decisions.jsonl`` one line for every file of the source. Both lie in the folder ``review`` of a
cohort or of de-identified files. Pictures are those of patients: the folder stays at the site.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from bussynth import atomic
from bussynth.errors import DataError, IntegrityError
from bussynth.package.strict_json import strict_json

__all__ = [
    "DECISIONS_FILE",
    "DECISION_KINDS",
    "MAX_PICTURE_BYTES",
    "PREVIEWS_FILE",
    "PREVIEWS_SCHEMA",
    "REVIEW_FOLDER",
    "Decision",
    "Preview",
    "read_decisions",
    "read_previews",
    "write_decisions",
    "write_previews",
]

#: Name of the folder that holds everything of a review.
REVIEW_FOLDER: Final = "review"
PREVIEWS_FILE: Final = "previews.parquet"
DECISIONS_FILE: Final = "decisions.jsonl"
#: What may be decided of a source file.
DECISION_KINDS: Final = ("kept", "quarantined", "left-out")
MAX_PICTURE_BYTES: Final = 8 * 2**20
PREVIEWS_SCHEMA: Final = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("picture", pa.binary(), nullable=False),
        *(
            pa.field(name, pa.int32(), nullable=False)
            for name in ("frame_rows", "frame_columns", "left", "top", "right", "bottom")
        ),
        pa.field("blanked", pa.list_(pa.list_(pa.int32())), nullable=False),
        pa.field("flags", pa.list_(pa.string()), nullable=False),
        pa.field("frame", pa.int32(), nullable=False),
    ]
)

Edges: TypeAlias = tuple[int, int, int, int]

_ID: Final = re.compile(r"[!-~]{1,256}")
_KEYED: Final = re.compile(r"[0-9a-f]{32}")
_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}")
_PICTURES: Final = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_MAX_EDGE: Final = 65_535
_MAX_LIST: Final = 4096
_MAX_LINE: Final = 64 * 2**20
_ROWS: Final = 16
_BYTES: Final = 16 * 2**20
_MAX_PROBLEMS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """One kept image as it was left, and where in its frame it lay.

    Attributes:
        id: Row id of the cohort, or new SOP Instance UID, ``#`` and the number of the frame; 1 to
            256 printable ASCII characters without spaces, unique in the folder.
        picture: PNG or JPEG of the kept rectangle after cleaning, longest side up to 768 pixels.
        frame_rows: Rows of the source frame, in pixels.
        frame_columns: Columns of the source frame, in pixels.
        left: First kept column of the source frame.
        top: First kept row.
        right: Column behind the last kept one.
        bottom: Row behind the last kept one.
        blanked: Rectangles ``(left, top, right, bottom)`` that were blanked, half-open, in pixels
            of the kept rectangle at the resolution of the source.
        flags: What was suspected of the image, such as ``"text"`` or ``"doppler"``.
        frame: Number of the frame in its source file, from 0.
    """

    id: str
    picture: bytes = field(repr=False)
    frame_rows: int
    frame_columns: int
    left: int
    top: int
    right: int
    bottom: int
    blanked: tuple[Edges, ...] = ()
    flags: tuple[str, ...] = ()
    frame: int = 0

    @property
    def width(self) -> int:
        """Columns of the kept rectangle, in pixels of the source."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Rows of the kept rectangle, in pixels of the source."""
        return self.bottom - self.top

    def check(self) -> list[str]:
        """Return what is wrong with the preview, one line each, without echoing its values."""
        problems = []
        if not _ID.fullmatch(self.id):
            problems.append("id is not 1 to 256 printable ASCII characters without spaces")
        if not self.picture.startswith(_PICTURES):
            problems.append("picture is neither PNG nor JPEG")
        if len(self.picture) > MAX_PICTURE_BYTES:
            problems.append(f"picture is larger than {MAX_PICTURE_BYTES:,} bytes")
        if not (1 <= self.frame_rows <= _MAX_EDGE and 1 <= self.frame_columns <= _MAX_EDGE):
            problems.append("frame has no rows or columns, or too many")
        kept = (self.left, self.top, self.right, self.bottom)
        if not _inside(kept, self.frame_columns, self.frame_rows):
            problems.append("kept rectangle is empty, inverted or outside the frame")
        elif not all(_inside(edges, self.width, self.height) for edges in self.blanked):
            problems.append("a blanked rectangle is empty, inverted or outside the kept one")
        if len(self.blanked) > _MAX_LIST or len(self.flags) > _MAX_LIST:
            problems.append(f"more than {_MAX_LIST} blanked rectangles or flags")
        if not all(_WORD.fullmatch(flag) for flag in self.flags):
            problems.append("a flag is not a short word of letters and digits")
        if not 0 <= self.frame < 2**31:
            problems.append("number of the frame is out of range")
        return problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided of one file of the source.

    Attributes:
        file: Keyed name of the file, 32 lower-case hexadecimal digits.
        decision: ``"kept"``, ``"quarantined"`` or ``"left-out"``.
        reason: Short code of the reason.
        why: The reason as a sentence that names no value of the file.
        images: Ids of the images kept from it, as in the previews.
        frames: Frames of the file; 0 if it could not be told.
        frame_size: (rows, columns) of its frames in pixels, or None if it could not be told.
    """

    file: str
    decision: str
    reason: str
    why: str
    images: tuple[str, ...] = ()
    frames: int = 0
    frame_size: tuple[int, int] | None = None

    def check(self) -> list[str]:
        """Return what is wrong with the decision, one line each, without echoing its values."""
        problems = []
        if not _KEYED.fullmatch(self.file):
            problems.append("file is not 32 lower-case hexadecimal digits")
        if self.decision not in DECISION_KINDS:
            problems.append(f"decision is none of {', '.join(DECISION_KINDS)}")
        if not _WORD.fullmatch(self.reason):
            problems.append("reason is not a short word of letters and digits")
        if len(self.why) > 1000 or not self.why.isprintable():
            problems.append("why is not one printable line of at most 1000 characters")
        if not all(_ID.fullmatch(name) for name in self.images):
            problems.append("an id is not 1 to 256 printable ASCII characters without spaces")
        if self.images and self.decision != "kept":
            problems.append("images of a file that was not kept")
        if self.frames < 0 or (
            self.frame_size is not None and not all(0 <= n <= _MAX_EDGE for n in self.frame_size)
        ):
            problems.append("number or size of frames is out of range")
        return problems

    def to_dict(self) -> dict[str, Any]:
        """Return the line of ``decisions.jsonl``."""
        return {
            "file": self.file,
            "decision": self.decision,
            "reason": self.reason,
            "why": self.why,
            "images": list(self.images),
            "frames": self.frames,
            "frame_size": None if self.frame_size is None else list(self.frame_size),
        }


def write_previews(path: Path | str, rows: Iterable[Preview]) -> int:
    """Write previews as a Parquet file, whole or not at all; rows stream.

    No more than 16 rows or some 24 MiB of pictures are held in memory.

    Args:
        path: The file, normally ``FOLDER/review/previews.parquet``; its folder is made, an earlier
            file is replaced.
        rows: The previews, taken one by one. That ids are unique is checked by who reads.

    Returns:
        The number of rows; a file without rows is written too.

    Raises:
        DataError: Rows are not valid; they are listed by number. Or the file system refused.
    """
    path = Path(path)
    count = 0
    problems: list[str] = []
    with _whole(path) as temporary, pq.ParquetWriter(temporary, PREVIEWS_SCHEMA) as writer:
        pending: list[Preview] = []
        size = 0
        for count, row in enumerate(rows, start=1):
            problems += [f"row {count}: {problem}" for problem in row.check()]
            if len(problems) >= _MAX_PROBLEMS:
                break
            if problems:
                continue
            pending.append(row)
            size += len(row.picture)
            if len(pending) >= _ROWS or size >= _BYTES:
                writer.write_table(_table(pending))
                pending, size = [], 0
        if pending:
            writer.write_table(_table(pending))
        if problems:
            raise DataError("Previews are not valid, so none was written.", problems)
    return count


def read_previews(path: Path | str, *, pictures: bool = True) -> Iterator[Preview]:
    """Stream the previews of a file.

    Args:
        path: What :func:`write_previews` wrote.
        pictures: Whether to read the pictures; without, each is empty bytes.

    Yields:
        Each preview, checked.

    Raises:
        DataError: The file is missing.
        IntegrityError: It is no such file, or rows of it are not valid.
    """
    path = Path(path)
    names = [name for name in PREVIEWS_SCHEMA.names if pictures or name != "picture"]
    number = 0
    try:
        # Buffered ahead, a file of pictures would end up in memory whole.
        with pq.ParquetFile(path, pre_buffer=False) as file:
            if not file.schema_arrow.remove_metadata().equals(PREVIEWS_SCHEMA):
                raise IntegrityError(f"{path} has other columns than previews have.")
            for batch in file.iter_batches(batch_size=_ROWS, columns=names):
                for values in batch.to_pylist():
                    number += 1
                    yield _preview(values, number, path)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; there is nothing to review.") from error
    except (pa.ArrowException, OSError) as error:
        raise IntegrityError(f"{path} cannot be read; it is damaged.") from error


def write_decisions(path: Path | str, rows: Iterable[Decision]) -> int:
    """Write decisions as JSON, one object a line; see :func:`write_previews`.

    Args:
        path: The file, normally ``FOLDER/review/decisions.jsonl``.
        rows: The decisions, taken one by one.

    Returns:
        The number of rows.

    Raises:
        DataError: Rows are not valid; they are listed by number. Or the file system refused.
    """
    path = Path(path)
    count = 0
    problems: list[str] = []
    with _whole(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as stream:
        for count, row in enumerate(rows, start=1):
            problems += [f"row {count}: {problem}" for problem in row.check()]
            if len(problems) >= _MAX_PROBLEMS:
                break
            stream.write(atomic.canonical_json(row.to_dict()) + "\n")
        if problems:
            raise DataError("Decisions are not valid, so none was written.", problems)
    return count


def read_decisions(path: Path | str) -> Iterator[Decision]:
    """Stream the decisions that :func:`write_decisions` wrote, each checked.

    Raises:
        DataError: The file is missing.
        IntegrityError: A line of it is not valid.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream:
            number = 0
            while line := stream.readline(_MAX_LINE + 1):
                number += 1
                yield _decision(line, f"line {number} of {path}")
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; there is nothing to review.") from error
    except OSError as error:
        raise IntegrityError(f"{path} cannot be read; it is damaged.") from error


def _inside(edges: Edges, width: int, height: int) -> bool:
    left, top, right, bottom = edges
    return 0 <= left < right <= width and 0 <= top < bottom <= height


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """Yield a file beside ``path`` that takes its place when the block succeeds."""
    temporary = path.parent / f".{path.name}.partial-{secrets.token_hex(4)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"Cannot write {path}: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _table(rows: list[Preview]) -> pa.Table:
    columns = {
        name: [getattr(row, name) for row in rows]
        for name in PREVIEWS_SCHEMA.names
        if name != "blanked"
    }
    blanked = [[list(edges) for edges in row.blanked] for row in rows]
    return pa.table({**columns, "blanked": blanked}, schema=PREVIEWS_SCHEMA)


def _preview(values: dict[str, Any], number: int, path: Path) -> Preview:
    where = f"Row {number} of {path}"
    blanked, flags = values.pop("blanked"), values.pop("flags")
    if (
        None in values.values()
        or not isinstance(blanked, list)
        or not isinstance(flags, list)
        or None in flags
        or any(edges is None or len(edges) != 4 or None in edges for edges in blanked)
    ):
        raise IntegrityError(f"{where} lacks values.")
    # Where pictures are not read, a stand-in passes the check.
    shown = values.pop("picture", None)
    preview = Preview(
        picture=_PICTURES[0] if shown is None else shown,
        blanked=tuple(tuple(edges) for edges in blanked),
        flags=tuple(flags),
        **values,
    )
    problems = preview.check()
    if problems:
        raise IntegrityError(f"{where} is not valid.", problems)
    return preview if shown is not None else replace(preview, picture=b"")


def _decision(line: bytes, where: str) -> Decision:
    value = strict_json(line, what=where, max_bytes=_MAX_LINE, max_depth=4)
    names = {item.name for item in fields(Decision)}
    if not isinstance(value, dict) or set(value) != names:
        raise IntegrityError(f"{where} lacks keys or has others than a decision has.")
    texts = [value[name] for name in ("file", "decision", "reason", "why")]
    images, size = value["images"], value["frame_size"]
    if (
        not all(isinstance(text, str) for text in texts)
        or not isinstance(images, list)
        or not all(isinstance(name, str) for name in images)
        or type(value["frames"]) is not int
        or (size is not None and not _is_size(size))
    ):
        raise IntegrityError(f"{where} holds values of a wrong kind.")
    decision = Decision(
        **{**value, "images": tuple(images), "frame_size": None if size is None else tuple(size)}
    )
    problems = decision.check()
    if problems:
        raise IntegrityError(f"{where} is not valid.", problems)
    return decision


def _is_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(n) is int for n in value)
