"""``bussynth review``: the human check of what de-identification kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb
from bussynth.errors import UsageError
from bussynth.review.config import ReviewConfig

if TYPE_CHECKING:
    from bussynth.review.approval import Approval

__all__ = ["review"]

_STAYS = "The pages show images of patients; they must stay inside the site."


@verb("review", config=ReviewConfig, dry_run=True, force=True)
def review(
    folder: Annotated[
        Path, typer.Argument(help="A cohort from DICOM files, or a folder of de-identified files.")
    ],
    config: ReviewConfig,
    run: Run,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the pages; FOLDER/review/pages if not given.", show_default=False
        ),
    ] = None,
    record: Annotated[
        list[Path] | None,
        typer.Option(
            help="Record what was marked: a file that a page saved; may be repeated.",
            metavar="FILE",
            show_default=False,
        ),
    ] = None,
    reviewer: Annotated[
        str | None,
        typer.Option(
            help="With --record: who looked. The name stays at the site.", show_default=False
        ),
    ] = None,
    drop_rejected: Annotated[
        Path | None,
        typer.Option(
            help="Write a new cohort here without the images that the recorded review rejected.",
            metavar="OUT",
            show_default=False,
        ),
    ] = None,
    status: Annotated[
        bool, typer.Option("--status", help="Only tell where the review stands.")
    ] = False,
) -> Outcome:
    """Look at what de-identification kept and blanked, and record who approved it.

    Writes contact sheets as HTML pages that load nothing. Mark there what must not stay, save the
    decisions, and record them with --record; then take out what was rejected with --drop-rejected.

    Example: bussynth review cohort --record review-decisions.json --reviewer "A. Example"
    """
    asked = [record is not None and record != [], drop_rejected is not None, status]
    if sum(asked) > 1 or (any(asked) and out is not None):
        raise UsageError("Give one of --out, --record, --drop-rejected and --status at a time.")
    if (reviewer is not None) != asked[0]:
        raise UsageError("--record and --reviewer belong together; give both or none.")
    if any(asked) and run.dry_run:
        raise UsageError("--dry-run is for writing pages; leave it out here.")
    if status:
        from bussynth.review.approval import check_review

        state = check_review(folder)
        held = None if state.approval is None else state.approval.to_dict()
        return Outcome(data={"state": state.state, "approval": held}, text=state.sentence)
    if record and reviewer is not None:
        return _record(folder, record, reviewer, run)
    if drop_rejected is not None:
        return _drop(folder, drop_rejected, run)
    from bussynth.review.folder import ReviewFolder
    from bussynth.review.pages import check_pages, write_pages

    if run.dry_run:
        images = len(ReviewFolder.open(folder).previews())
        place = check_pages(folder, out, force=run.force)
        text = f"{images} images can be shown in {place}."
        return Outcome(data={"images": images, "out": str(place)}, text=text)
    made = write_pages(folder, out, config=config, force=run.force, progress=run.progress)
    return Outcome(
        data=made.to_dict(),
        text=f"{made.images} images on {made.pages} {'page' if made.pages == 1 else 'pages'}, "
        f"{made.risky} of them flagged or blanked.\nOpen {made.index} in a browser.",
        notes=(_STAYS,),
    )


def _record(folder: Path, files: list[Path], reviewer: str, run: Run) -> Outcome:
    from bussynth.review.approval import record_review, rejected_files

    approval = record_review(folder, files, reviewer=reviewer, force=run.force)
    sources = rejected_files(folder, approval) if approval.rejected else []
    return Outcome(
        data=approval.to_dict() | {"files": sources},
        text=f"{approval.images} images: {approval.looked_at} looked at, "
        f"{len(approval.rejected)} rejected.\n{_verdict(approval)}",
        notes=_notes(approval, sources),
    )


def _drop(folder: Path, out: Path, run: Run) -> Outcome:
    from bussynth.review.removal import drop_rejected

    made, approval = drop_rejected(folder, out, force=run.force, progress=run.progress)
    return Outcome(
        data={"cohort": str(out), "digest": made.digest, "approval": approval.to_dict()},
        text=f"{len(made)} images in {out}. {_verdict(approval)}",
        notes=(
            f"{folder} still holds the rejected images: delete it when it is no longer needed.",
            "The new cohort is not split: run `bussynth split` before training.",
        ),
    )


def _verdict(approval: Approval) -> str:
    if not approval.complete:
        return "Not approved: not every image was looked at."
    return "Not approved: rejected images are still here." if approval.rejected else "Approved."


def _notes(approval: Approval, sources: list[str]) -> tuple[str, ...]:
    notes = []
    if missing := approval.images - approval.looked_at:
        notes.append(f"{missing} images were not looked at.")
    if approval.rejected:
        notes.append(
            f"The rejected images come from {len(sources)} source files, named by their keyed "
            "names with --json. Take them out with --drop-rejected, or de-identify anew."
        )
    return tuple(notes)
