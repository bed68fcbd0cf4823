"""Verbs that make cohorts of patients and phantoms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bussynth.api.dependent import full
from bussynth.config import RunOptions
from bussynth.progress import SILENT, Progress

if TYPE_CHECKING:
    from bussynth.cohort.cohort import Cohort
    from bussynth.cohort.split import SplitResult
    from bussynth.ingest.folder import IngestResult

__all__ = ["ingest_folder", "phantom", "split"]


@full
def phantom(
    out: Path | str,
    *,
    workers: int = 1,
    force: bool = False,
    progress: Progress = SILENT,
    **settings: Any,
) -> Cohort:
    """Simulate a cohort of phantoms.

    Args:
        out: Folder of the new cohort.
        workers: Worker processes.
        force: Replace an earlier output.
        progress: Where to report.
        settings: Fields of :class:`bussynth.cohort.phantom.config.PhantomConfig`.

    Raises:
        UsageError: A setting is wrong or ``out`` is taken.
    """
    from bussynth.cohort.phantom.cohort import write_phantom_cohort
    from bussynth.cohort.phantom.config import PhantomConfig

    config = PhantomConfig.from_dict(settings)
    options = RunOptions(workers=workers)
    return write_phantom_cohort(Path(out), config, options=options, progress=progress, force=force)


def ingest_folder(
    source: Path | str,
    out: Path | str,
    *,
    table: Path | str,
    map: Path | str,
    site_key: Path | str | None = None,
    workers: int = 1,
    force: bool = False,
    progress: Progress = SILENT,
    **settings: Any,
) -> IngestResult:
    """Turn a folder of images and a table into a pseudonymised cohort.

    Args:
        source: Folder of PNG, JPEG or TIFF images.
        out: Folder of the new cohort.
        table: CSV table, one row an image.
        map: TOML map that names the columns.
        site_key: Secret of the pseudonyms; a file in the user's data folder by default.
        workers: Worker processes.
        force: Replace an earlier output.
        progress: Where to report.
        settings: Fields of :class:`bussynth.ingest.config.IngestConfig`.

    Raises:
        UsageError: A setting or the map is wrong, or ``out`` is taken.
        DataError: The table or images were refused; all problems are listed.
    """
    from bussynth.ingest import folder
    from bussynth.ingest.config import IngestConfig

    return folder.ingest_folder(
        Path(source),
        Path(out),
        table=Path(table),
        map_path=Path(map),
        site_key=None if site_key is None else Path(site_key),
        config=IngestConfig.from_dict(settings),
        options=RunOptions(workers=workers),
        progress=progress,
        force=force,
    )


def split(
    cohort: Path | str, *, force: bool = False, progress: Progress = SILENT, **settings: Any
) -> SplitResult:
    """Draw each patient for training, control or test, and record the draw.

    Args:
        cohort: Folder of the cohort.
        force: Split again although a split is recorded.
        progress: Where to report.
        settings: Fields of :class:`bussynth.cohort.split_config.SplitConfig`.

    Raises:
        UsageError: A setting is wrong, or the cohort is split already.
        DataError: The cohort has too few patients.
    """
    from bussynth.cohort.split import split_cohort
    from bussynth.cohort.split_config import SplitConfig

    return split_cohort(cohort, SplitConfig.from_dict(settings), force=force, progress=progress)
