"""Verbs that read a scanner's DICOM files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bussynth.api.dependent import full
from bussynth.config import RunOptions
from bussynth.progress import SILENT, Progress

if TYPE_CHECKING:
    from bussynth.dicom.cohort import DicomIngestResult
    from bussynth.dicom.deidentify import DeidentifyResult

__all__ = ["deidentify", "ingest_dicom"]


@full
def deidentify(
    source: Path | str,
    out: Path | str,
    *,
    site_key: Path | str | None = None,
    site_rules: Path | str | None = None,
    link: Path | str | None = None,
    workers: int = 1,
    force: bool = False,
    progress: Progress = SILENT,
    **settings: Any,
) -> DeidentifyResult:
    """Turn a folder of ultrasound DICOM files into de-identified ones.

    Args:
        source: The folder; everything below it is looked at.
        out: Folder of the de-identified files.
        site_key: Secret under which identifiers are replaced; a file in the user's data folder by
            default.
        site_rules: TOML file with the tissue rectangles of machines that write none.
        link: Private CSV of which file became what; beside the site key by default.
        workers: Worker processes.
        force: Replace an earlier output.
        progress: Where to report.
        settings: Fields of :class:`bussynth.dicom.config.DeidentifyConfig`.

    Raises:
        UsageError: A setting, a place, the key or the rules cannot be used, or no text engine is
            installed.
        DataError: The source holds no file or cannot be read.
    """
    from bussynth.dicom.config import DeidentifyConfig
    from bussynth.dicom.deidentify import deidentify_folder

    return deidentify_folder(
        source,
        out,
        config=DeidentifyConfig.from_dict(settings),
        site_key=site_key,
        site_rules=site_rules,
        link=link,
        options=RunOptions(workers=workers),
        progress=progress,
        force=force,
    )


@full
def ingest_dicom(
    source: Path | str,
    out: Path | str,
    *,
    map: Path | str,
    table: Path | str | None = None,
    site_key: Path | str | None = None,
    site_rules: Path | str | None = None,
    link: Path | str | None = None,
    workers: int = 1,
    force: bool = False,
    progress: Progress = SILENT,
    **settings: Any,
) -> DicomIngestResult:
    """Turn a folder of ultrasound DICOM files, and a table of labels, into a cohort.

    Args:
        source: The folder; everything below it is looked at.
        out: Folder of the new cohort.
        map: TOML map with a table ``[dicom]``.
        table: CSV table of labels, if the map names columns.
        site_key: See :func:`deidentify`, as the others.
        site_rules: TOML file with the tissue rectangles of machines that write none.
        link: Private CSV of which file became what; beside the site key by default.
        workers: Worker processes.
        force: Replace an earlier cohort.
        progress: Where to report.
        settings: Fields of :class:`bussynth.ingest.config.IngestConfig`.

    Raises:
        UsageError: A setting, a place, the key, the map or the rules cannot be used, or no text
            engine is installed.
        DataError: The table does not fit the map, or no image can be kept.
    """
    from bussynth.dicom.cohort import ingest_dicom
    from bussynth.ingest.config import IngestConfig

    return ingest_dicom(
        source,
        out,
        map_path=map,
        table=table,
        site_key=site_key,
        site_rules=site_rules,
        link=link,
        config=IngestConfig.from_dict(settings),
        options=RunOptions(workers=workers),
        progress=progress,
        force=force,
    )
