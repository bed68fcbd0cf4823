"""``bussynth export``: make a signed package of an audited synthetic cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb
from bussynth.package.export_config import ExportConfig

__all__ = ["export"]


@verb("export", config=ExportConfig, dry_run=True, force=True)
def export(
    synthetic: Annotated[Path, typer.Argument(help="The synthetic cohort.")],
    key: Annotated[Path, typer.Option(help="Private key that signs the package.")],
    out: Annotated[Path, typer.Option(help="Folder of the package.")],
    config: ExportConfig,
    run: Run,
    audit: Annotated[
        Path | None,
        typer.Option(
            help="Folder that `bussynth audit` wrote; not with --claim formal-dp.",
            show_default=False,
        ),
    ] = None,
    ledger: Annotated[
        Path | None,
        typer.Option(
            help="With --claim formal-dp: the real cohort, to compare the statement with its "
            "ledger and to state what was spent by now.",
            metavar="COHORT",
            show_default=False,
        ),
    ] = None,
    require_review: Annotated[
        Path | None,
        typer.Option(
            help="The real cohort that the images were learned from, as it is now: refuse unless "
            "`bussynth review` recorded that somebody looked at all of it and approved it.",
            metavar="COHORT",
            show_default=False,
        ),
    ] = None,
) -> Outcome:
    """Pack a synthetic cohort under one of two privacy claims and sign it.

    With the claim empirically-audited: refused if the audit is missing, belongs to other images
    or failed. With the claim formal-dp: refused if anything looked at the patients that their
    ledger did not count, such as an audit or a guard; the package holds the privacy statement.

    Example: bussynth export synthetic --audit audit --key hospital.key --out package
    """
    from bussynth.package.export import check_export, export_package

    plan = check_export(
        synthetic,
        audit,
        key,
        out,
        config=config,
        ledger=ledger,
        require_review=require_review,
        force=run.force,
    )
    if run.dry_run:
        return Outcome(data=config.to_dict(), text=f"{out} can be written.", notes=plan.notes)
    info = export_package(
        synthetic,
        audit,
        key,
        out,
        config=config,
        ledger=ledger,
        require_review=require_review,
        force=run.force,
        progress=run.progress,
    )
    guarantee = info.manifest.guarantee
    claimed = f"audit  {info.verdict}" if guarantee is None else f"claim  {info.privacy_words}"
    return Outcome(
        data=info.to_dict(),
        text=f"Package {info.name} {info.version} in {out}: {info.images} images, signed.\n"
        f"{claimed}",
        notes=(*plan.notes, *info.warnings),
    )
