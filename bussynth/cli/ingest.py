"""``bussynth ingest``: DICOM files, or images and a table, become a cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb
from bussynth.errors import UsageError
from bussynth.ingest.config import IngestConfig

__all__ = ["ingest", "new_key"]


@verb("ingest", config=IngestConfig, dry_run=True, force=True, speed=["workers"])
def ingest(
    source: Annotated[
        Path, typer.Argument(help="Folder of DICOM files, or of PNG, JPEG or TIFF images.")
    ],
    out: Annotated[Path, typer.Argument(help="Folder of the new cohort.")],
    map: Annotated[Path, typer.Option(help="TOML map: which column is which.")],
    config: IngestConfig,
    run: Run,
    table: Annotated[Path | None, typer.Option(help="CSV table, one row an image.")] = None,
    site_key: Annotated[
        Path | None,
        typer.Option(
            help="Secret that turns patient keys into pseudonyms; it must never leave the "
            "site. Made on first use.",
            show_default="in your data folder",
        ),
    ] = None,
    site_rules: Annotated[
        Path | None,
        typer.Option(
            help="DICOM: TOML file with the tissue rectangles of machines that write none."
        ),
    ] = None,
    link: Annotated[
        Path | None,
        typer.Option(
            help="DICOM: private CSV of which file became what; it names files and stays at the "
            "site.",
            show_default="beside the site key",
        ),
    ] = None,
) -> Outcome:
    """Turn DICOM files, or images and a table, into a pseudonymised cohort.

    A map that has a table named dicom makes it read DICOM files.

    Example: bussynth ingest scans cohort --table scans.csv --map map.toml --image-size 64
    """
    from bussynth.dicom.mapping import is_dicom_map
    from bussynth.ingest.check import check_ingest
    from bussynth.ingest.folder import ingest_folder

    if is_dicom_map(map):
        return _dicom(
            source,
            out,
            map=map,
            table=table,
            site_key=site_key,
            site_rules=site_rules,
            link=link,
            config=config,
            run=run,
        )
    if table is None or site_rules is not None or link is not None:
        raise UsageError(
            "A map without [dicom] reads images: it needs --table, and neither --site-rules nor "
            "--link."
        )

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
    return Outcome(
        data=result.to_dict(),
        text=f"{result.images} images of {result.patients} patients in {out}\n"
        f"site key  {result.site_key}   must not leave the site",
        notes=(
            *(str(note) for note in result.notes),
            *new_key(result.site_key, result.site_key_created),
        ),
    )


def _dicom(
    source: Path,
    out: Path,
    *,
    map: Path,
    table: Path | None,
    site_key: Path | None,
    site_rules: Path | None,
    link: Path | None,
    config: IngestConfig,
    run: Run,
) -> Outcome:
    from bussynth.cli.deidentify import summary
    from bussynth.dicom.cohort import check_dicom_ingest, ingest_dicom

    if run.dry_run:
        check_dicom_ingest(
            source,
            out,
            map_path=map,
            table=table,
            site_key=site_key,
            site_rules=site_rules,
            link=link,
            config=config,
            force=run.force,
        )
        return Outcome(data=config.to_dict(), text=f"{out} can be written.")
    result = ingest_dicom(
        source,
        out,
        map_path=map,
        table=table,
        site_key=site_key,
        site_rules=site_rules,
        link=link,
        config=config,
        options=run.options,
        progress=run.progress,
        force=run.force,
    )
    data = result.to_dict()
    return Outcome(
        data=data,
        text=f"{data['images']} images of {data['patients']} patients in {out}\n"
        f"{summary(result.counts, result.link)}\n"
        f"look at what was kept    bussynth review {out}\n"
        f"site key                 {result.site_key}   must not leave the site",
        notes=(
            *(str(note) for note in result.notes),
            *new_key(result.site_key, result.site_key_created),
        ),
    )


def new_key(key: Path, created: bool) -> tuple[str, ...]:
    """Tell of a site key that was drawn just now; nothing otherwise."""
    if not created:
        return ()
    return (
        f"a new site key was drawn: {key}. Back it up and keep it secret: without it, later "
        "images of the same patients get other pseudonyms.",
    )
