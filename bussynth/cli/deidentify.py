"""``bussynth deidentify``: DICOM files become de-identified DICOM files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bussynth.cli.ingest import new_key
from bussynth.cli.verb import Outcome, Run, verb
from bussynth.dicom.config import DeidentifyConfig
from bussynth.errors import DataError

__all__ = ["deidentify"]


@verb("deidentify", config=DeidentifyConfig, dry_run=True, force=True, speed=["workers"])
def deidentify(
    source: Annotated[Path, typer.Argument(help="Folder of DICOM files; all below it are read.")],
    out: Annotated[Path, typer.Argument(help="Folder of the de-identified files.")],
    config: DeidentifyConfig,
    run: Run,
    site_key: Annotated[
        Path | None,
        typer.Option(
            help="Secret under which identifiers are replaced; it must never leave the site. "
            "Made on first use.",
            show_default="in your data folder",
        ),
    ] = None,
    site_rules: Annotated[
        Path | None,
        typer.Option(help="TOML file with the tissue rectangles of machines that write none."),
    ] = None,
    link: Annotated[
        Path | None,
        typer.Option(
            help="Private CSV of which file became what; it names files and stays at the site.",
            show_default="beside the site key",
        ),
    ] = None,
) -> Outcome:
    """Turn a folder of ultrasound DICOM files into de-identified DICOM files.

    The exit code is 3 if no file could be kept.

    Example: bussynth deidentify export deidentified --dates shift --workers 4
    """
    from bussynth.dicom.deidentify import check_deidentify, deidentify_folder

    if run.dry_run:
        check_deidentify(
            source,
            out,
            config=config,
            site_key=site_key,
            site_rules=site_rules,
            link=link,
            force=run.force,
        )
        return Outcome(data=config.to_dict(), text=f"{out} can be written.")
    result = deidentify_folder(
        source,
        out,
        config=config,
        site_key=site_key,
        site_rules=site_rules,
        link=link,
        options=run.options,
        progress=run.progress,
        force=run.force,
    )
    text = summary(result.counts, result.link)
    if result.counts["kept"]:
        text += f"\nlook at what was kept    bussynth review {out}"
    return Outcome(
        data=result.to_dict(),
        text=text,
        notes=(
            *(str(note) for note in result.notes),
            *new_key(result.site_key, result.site_key_created),
        ),
        exit_code=0 if result.counts["kept"] else DataError.exit_code,
    )


def summary(counts: dict[str, Any], link: Path) -> str:
    """Say what became of the files, a line a reason."""
    from bussynth.dicom.reasons import told

    lines = [
        f"{counts['kept']} of {_number(counts['files'], 'file')} kept: "
        f"{_number(counts['images'], 'image')} of {_number(counts['patients'], 'patient')}, "
        f"{counts['blanked_images']} with something painted over"
    ]
    for key, word in (("quarantined", "quarantined"), ("left_out", "left out")):
        reasons = counts[key]
        if reasons:
            lines += [f"{_number(sum(reasons.values()), 'file')} {word}:", *told(reasons)]
    lines.append(f"which file became what   {link}   must not leave the site")
    return "\n".join(lines)


def _number(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
