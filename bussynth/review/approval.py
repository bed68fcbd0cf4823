"""The approval: who looked at how many images of a folder, and what became of those rejected.

``review/approval.json`` is a record between people of one site. It is not signed: it guards
against forgetting and mixing up, not against a colleague who edits it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bussynth import atomic
from bussynth.errors import IntegrityError, UsageError
from bussynth.package.names import text_problem
from bussynth.package.strict_json import strict_json
from bussynth.record import digest as as_digest
from bussynth.record import whole
from bussynth.review.folder import ReviewFolder
from bussynth.review.marks import read_marks
from bussynth.review.material import REVIEW_FOLDER, read_decisions

__all__ = [
    "APPROVAL_FILE",
    "APPROVAL_SCHEMA",
    "Approval",
    "ReviewState",
    "check_review",
    "read_approval",
    "record_review",
    "rejected_files",
    "write_approval",
]

APPROVAL_FILE: Final = "approval.json"
APPROVAL_SCHEMA: Final = "bussynth-review/1"
_MAX_BYTES: Final = 256 * 2**20
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")


@dataclass(frozen=True, kw_only=True)
class Approval:
    """Content of ``approval.json``.

    Attributes:
        digest: Of the folder that was reviewed, see :class:`bussynth.review.folder.ReviewFolder`.
        previews: Digest of the pictures that were looked at.
        reviewer: Who looked.
        recorded: When it was recorded, UTC, ISO 8601.
        images: Number of images of the folder.
        looked_at: How many of them were looked at.
        rejected: Ids of those that must not stay, sorted.
        dropped: How many rejected images were left out to make this folder from another one.
    """

    digest: str
    previews: str
    reviewer: str
    recorded: str
    images: int
    looked_at: int
    rejected: tuple[str, ...] = ()
    dropped: int = 0

    @property
    def complete(self) -> bool:
        """Whether every image was looked at."""
        return self.looked_at == self.images

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the file."""
        fields = asdict(self) | {"rejected": list(self.rejected)}
        return {"schema": APPROVAL_SCHEMA, **fields, "complete": self.complete}


@dataclass(frozen=True, kw_only=True)
class ReviewState:
    """Where the review of a folder stands.

    Attributes:
        state: ``"none"``, ``"stale"``, ``"incomplete"``, ``"rejected-left"`` or ``"approved"``.
        sentence: The same for people.
        approval: The record, or None if there is none.
    """

    state: str
    sentence: str
    approval: Approval | None = None

    @property
    def approved(self) -> bool:
        """Whether every image was looked at and none that was rejected is left."""
        return self.state == "approved"


def check_review(folder: Path | str) -> ReviewState:
    """Tell where the review of a folder stands.

    Of a cohort the digests in its shards are compared, not its pixels: call
    :meth:`bussynth.cohort.cohort.Cohort.verify` where they may have been touched.

    Args:
        folder: A cohort or a folder of de-identified files.

    Raises:
        DataError: The folder is neither, or cannot be read.
        IntegrityError: The approval, or a shard, is damaged.
    """
    opened = ReviewFolder.open(folder)
    approval = read_approval(opened.path)
    if approval is None:
        return ReviewState(state="none", sentence="Nobody has recorded a review of this folder.")
    pictures = opened.previews_digest()
    if approval.digest != opened.digest() or pictures not in (None, approval.previews):
        state = "stale"
        sentence = "The review is of other images than those that are here now."
    elif not approval.complete:
        state = "incomplete"
        sentence = f"{approval.looked_at} of {approval.images} images were looked at."
    elif approval.rejected:
        state = "rejected-left"
        sentence = f"{len(approval.rejected)} images were rejected and are still here."
    else:
        state = "approved"
        sentence = f"All {approval.images} images were looked at and approved."
        if approval.dropped:
            sentence += f" {approval.dropped} that were rejected had been removed."
    return ReviewState(state=state, sentence=sentence, approval=approval)


def record_review(
    folder: Path | str, files: Sequence[Path], *, reviewer: str, force: bool = False
) -> Approval:
    """Check what a reviewer marked and write ``review/approval.json``.

    Args:
        folder: The folder that was reviewed.
        files: What the pages saved, one or several; marks are joined.
        reviewer: Who looked: a name that stays at the site.
        force: Replace an approval of the same images.

    Returns:
        What was written. It may be incomplete, or name rejected images.

    Raises:
        UsageError: The reviewer is no line of text, or there is an approval already.
        DataError: The marks or the folder cannot be used.
        IntegrityError: The marks were made for other images, or something is damaged.
    """
    problem = text_problem(reviewer, what="reviewer", max_length=200)
    if problem is not None:
        raise UsageError(f"The review cannot be recorded: {problem}.")
    opened = ReviewFolder.open(folder)
    digest, pictures = opened.digest(), opened.previews_digest()
    earlier = None if force else read_approval(opened.path)
    if earlier is not None and earlier.digest == digest:
        raise UsageError(
            f"{opened.path} has a recorded review already, by {earlier.reviewer}; use --force to "
            "replace it, and give all files of marks again."
        )
    ids = {preview.id for preview in opened.previews()}
    marks = read_marks(files, digest=digest, previews=pictures, ids=ids)
    approval = Approval(
        digest=digest,
        previews=pictures or "",
        reviewer=reviewer,
        recorded=datetime.now(UTC).isoformat(timespec="seconds"),
        images=len(ids),
        looked_at=len(marks.looked_at),
        rejected=tuple(sorted(marks.rejected)),
    )
    write_approval(opened.path, approval)
    return approval


def rejected_files(folder: Path | str, approval: Approval) -> list[str]:
    """Return keyed names of the source files that rejected images came from, sorted.

    Args:
        folder: The folder that was reviewed.
        approval: Its approval.

    Raises:
        DataError: The record of decisions is missing.
        IntegrityError: It is damaged.
    """
    rejected = set(approval.rejected)
    file = ReviewFolder.open(folder).decisions_file
    return sorted(row.file for row in read_decisions(file) if not rejected.isdisjoint(row.images))


def write_approval(folder: Path, approval: Approval) -> None:
    """Write ``review/approval.json`` of a folder, whole or not at all."""
    (folder / REVIEW_FOLDER).mkdir(exist_ok=True)
    atomic.write_json(folder / REVIEW_FOLDER / APPROVAL_FILE, approval.to_dict())


def read_approval(folder: Path) -> Approval | None:
    """Read ``review/approval.json`` of a folder; None if there is none.

    Raises:
        IntegrityError: It is damaged, was edited against itself, or is of another version.
    """
    file = folder / REVIEW_FOLDER / APPROVAL_FILE
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise IntegrityError(f"{file} cannot be read.") from error
    value = strict_json(data, what=str(file), max_bytes=_MAX_BYTES, max_depth=3)
    approval = _approval(value)
    if approval is None or approval.to_dict() != value:
        raise IntegrityError(
            f"{file} is damaged or of another version; record the review again with "
            "`bussynth review --record`."
        )
    return approval


def _approval(value: Any) -> Approval | None:
    """Build the record from JSON; None where a value is of a wrong kind or out of range."""
    if not isinstance(value, dict):
        return None
    counts = [whole(value.get(key)) for key in ("images", "looked_at", "dropped")]
    digests = [as_digest(value.get(key)) for key in ("digest", "previews")]
    rejected, reviewer, recorded = (value.get(k) for k in ("rejected", "reviewer", "recorded"))
    images, looked_at, dropped = counts
    digest, previews = digests
    if (
        images is None
        or looked_at is None
        or dropped is None
        or digest is None
        or previews is None
        or not 0 <= looked_at <= images
        or images < 1
        or dropped < 0
        or not isinstance(rejected, list)
        or not all(isinstance(name, str) for name in rejected)
        or sorted(set(rejected)) != rejected
        or len(rejected) > looked_at
        or text_problem(reviewer, what="reviewer") is not None
        or not isinstance(recorded, str)
        or not _TIME.fullmatch(recorded)
    ):
        return None
    return Approval(
        digest=digest,
        previews=previews,
        reviewer=str(reviewer),
        recorded=recorded,
        images=images,
        looked_at=looked_at,
        rejected=tuple(rejected),
        dropped=dropped,
    )
