"""A cohort without the images that its review rejected."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from bussynth.cohort.cohort import LEDGER_FILE, Cohort
from bussynth.cohort.row import Row
from bussynth.errors import DataError, UsageError
from bussynth.progress import SILENT, Progress
from bussynth.review.approval import Approval, check_review, write_approval
from bussynth.review.folder import ReviewFolder
from bussynth.review.material import (
    DECISIONS_FILE,
    PREVIEWS_FILE,
    REVIEW_FOLDER,
    Decision,
    Preview,
    read_decisions,
    read_previews,
    write_decisions,
    write_previews,
)

__all__ = ["REJECTED", "drop_rejected"]

#: Code of the reason of a source file of which the reviewer rejected every image.
REJECTED = "rejected-by-reviewer"


def drop_rejected(
    folder: Path | str,
    out: Path | str,
    *,
    force: bool = False,
    progress: Progress = SILENT,
) -> tuple[Cohort, Approval]:
    """Write a new cohort without the rejected images; the review is carried over to it.

    The cohort at ``folder`` stays as it is, rejected images included: delete it when the new one
    is there. The new one is not split, whatever the old one was: without some patients, the draw
    would not be the lottery that was recorded.

    Args:
        folder: A cohort with a recorded review that rejected images.
        out: Folder of the new cohort.
        force: Replace an earlier cohort of the same kind.
        progress: Where to report.

    Returns:
        The new cohort and its approval, which is complete if that of ``folder`` was.

    Raises:
        UsageError: The folder is none of a cohort, has no review or one that rejected nothing, has
            a ledger of privacy or was derived, or ``out`` is taken or overlaps it.
        DataError: Every image was rejected, or material of the review is missing.
        IntegrityError: A shard or the material is damaged.
    """
    opened = ReviewFolder.open(folder)
    cohort, approval = opened.cohort, _rejecting(opened)
    if cohort is None:
        raise UsageError(
            f"{opened.path} holds DICOM files, of which frames cannot be taken out one by one. "
            "De-identify the source anew without the files that `bussynth review --record` names."
        )
    out = Path(out)
    inside, source = out.absolute().resolve(), opened.path.absolute().resolve()
    if inside == source or inside in source.parents or source in inside.parents:
        raise UsageError(f"{out} overlaps the cohort under review; choose another place.")
    if (opened.path / LEDGER_FILE).exists():
        raise UsageError(
            f"{opened.path} holds {LEDGER_FILE}: models learned from it privately, and a copy of "
            "the cohort would begin with nothing spent. De-identify the source anew instead."
        )
    if cohort.derived is not None:
        raise UsageError(
            f"{opened.path} was derived from another cohort and keeps its splits; drop the images "
            "from that cohort and derive from it anew."
        )
    rejected = frozenset(approval.rejected)
    if len(rejected) == len(cohort):
        raise DataError("Every image was rejected, so there is nothing to keep.")
    cohort.verify()
    pictures = opened.previews_digest()
    if pictures is None:
        raise DataError(f"{opened.previews_file} was deleted, so no review can be carried over.")

    def kept() -> Iterator[Row]:
        with progress.task("Copying", total=len(cohort)) as task:
            for row in cohort:
                task.advance()
                if row.id not in rejected:
                    yield replace(row, split=None)

    made = Cohort.create(
        out,
        kept(),
        kind=cohort.kind,
        image_size=cohort.image_size,
        vocabulary=cohort.vocabulary,
        masks=cohort.has_masks,
        provenance={
            **{key: value for key, value in cohort.provenance.items() if key != "bussynth"},
            "review": {
                "source": cohort.digest,
                "dropped": len(rejected),
                "times_split": (cohort.split_record or {}).get("times_split", 0),
            },
        },
        force=force,
        rows_per_shard=max(shard.rows for shard in cohort.shards),
    )
    _write_material(opened, made.path / REVIEW_FOLDER, rejected)
    copied = ReviewFolder(path=made.path, cohort=made)
    carried = replace(
        approval,
        digest=copied.digest(),
        previews=copied.previews_digest() or "",
        images=approval.images - len(rejected),
        looked_at=approval.looked_at - len(rejected),
        rejected=(),
        dropped=approval.dropped + len(rejected),
    )
    write_approval(made.path, carried)
    return made, carried


def _rejecting(opened: ReviewFolder) -> Approval:
    """The approval of the folder, which must be of its images and reject some."""
    found = check_review(opened.path)
    if found.approval is None or found.state == "stale":
        raise UsageError(f"{found.sentence} Record one first: `bussynth review --record`.")
    if not found.approval.rejected:
        raise UsageError("The review rejected no image, so there is nothing to drop.")
    return found.approval


def _write_material(opened: ReviewFolder, folder: Path, rejected: frozenset[str]) -> None:
    def previews() -> Iterator[Preview]:
        for preview in read_previews(opened.previews_file):
            if preview.id not in rejected:
                yield preview

    def decisions() -> Iterator[Decision]:
        for row in read_decisions(opened.decisions_file):
            left = tuple(name for name in row.images if name not in rejected)
            if left or not row.images:
                yield replace(row, images=left)
            else:
                why = "The reviewer rejected every image of it."
                yield replace(row, decision="left-out", reason=REJECTED, why=why, images=())

    write_previews(folder / PREVIEWS_FILE, previews())
    if os.path.lexists(opened.decisions_file):
        write_decisions(folder / DECISIONS_FILE, decisions())
