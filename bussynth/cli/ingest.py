"""``bussynth ingest``: a folder of images and a table become a cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb
from bussynth.ingest.config import IngestConfig

__all__ = ["ingest"]


@verb("ingest", config=IngestConfig, dry_run=True, force=True, speed=["workers"])
def ingest(
    source: Annotated[Path, typer.Argument(help="Folder of PNG, JPEG or TIFF images.")],
    out: Annotated[Path, typer.Argument(help="Folder of the new cohort.")],
    table: Annotated[Path, typer.Option(help="CSV table, one row an image.")],
    map: Annotated[Path, typer.Option(help="TOML map: which column is which.")],
    config: IngestConfig,
    run: Run,
    site_key: Annotated[
        Path | None,
        typer.Option(
            help="Secret that turns patient keys into pseudonyms; it must never leave the "
            "site. Made on first use.",
            show_default="in your data folder",
        ),
    ] = None,
) -> Outcome:
    """Turn a folder of images and a table into a pseudonymised cohort.

    Example: bussynth ingest scans cohort --table scans.csv --map map.toml --image-size 64
    """
    from bussynth.ingest.check import check_ingest
    from bussynth.ingest.folder import ingest_folder

    if run.dry_run:
        plan = check_ingest(
            source,
            out,
            table=table,
            map_path=map,
            site_key=site_key,
            config=config,
            progress=run.progress,
            force=run.force,
        )
        data = plan.to_dict()
        return Outcome(
            data=data,
            text=f"{data['images']} images of {data['patients']} patients can be ingested.",
            notes=tuple(str(note) for note in plan.notes),
        )
    result = ingest_folder(
        source,
        out,
        table=table,
        map_path=map,
        site_key=site_key,
        config=config,
        options=run.options,
        progress=run.progress,
        force=run.force,
    )
    notes = [str(note) for note in result.notes]
    if result.site_key_created:
        notes.append(
            f"a new site key was drawn: {result.site_key}. Back it up and keep it secret: "
            "without it, later images of the same patients get other pseudonyms."
        )
    return Outcome(
        data=result.to_dict(),
        text=f"{result.images} images of {result.patients} patients in {out}\n"
        f"site key  {result.site_key}   must not leave the site",
        notes=tuple(notes),
    )
