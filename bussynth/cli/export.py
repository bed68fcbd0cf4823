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
    audit: Annotated[Path, typer.Option(help="Folder that `bussynth audit` wrote.")],
    key: Annotated[Path, typer.Option(help="Private key that signs the package.")],
    out: Annotated[Path, typer.Option(help="Folder of the package.")],
    config: ExportConfig,
    run: Run,
) -> Outcome:
    """Pack an audited synthetic cohort and sign it.

    Refused if the audit is missing, belongs to other images or failed.

    Example: bussynth export synthetic --audit audit --key hospital.key --out package
    """
    from bussynth.package.export import check_export, export_package

    if run.dry_run:
        check_export(synthetic, audit, key, out, config=config, force=run.force)
        return Outcome(data=config.to_dict(), text=f"{out} can be written.")
    info = export_package(
        synthetic, audit, key, out, config=config, force=run.force, progress=run.progress
    )
    return Outcome(
        data=info.to_dict(),
        text=f"Package {info.name} {info.version} in {out}: {info.images} images, signed.\n"
        f"audit  {info.verdict}",
        notes=info.warnings,
    )
