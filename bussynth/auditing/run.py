"""The verb: check, read, measure, write."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from audits.errors import AuditInputError
from audits.settings import AuditSettings
from bussynth import atomic
from bussynth.auditing.comparison import Comparison, PatientKeys, open_comparison
from bussynth.auditing.config import AuditConfig
from bussynth.auditing.record import MARKERS, AuditReport, build_report
from bussynth.auditing.sources import Source
from bussynth.config import RunOptions
from bussynth.errors import DataError, UsageError
from bussynth.progress import SILENT, Progress, Task

__all__ = ["AuditReport", "PatientKeys", "Source", "audit", "check_audit"]


def audit(
    synthetic: Source,
    *,
    train: Source | None = None,
    control: Source | None = None,
    real: Source | None = None,
    patients: PatientKeys | None = None,
    out: Path | str | None = None,
    config: AuditConfig | None = None,
    options: RunOptions | None = None,
    progress: Progress = SILENT,
    force: bool = False,
) -> AuditReport:
    """Measure whether synthetic images reveal the patients their generator learned from.

    Args:
        synthetic: What is to be released: a synthetic cohort (or its path), a folder of images,
            or a uint8 array (n, H, W).
        train: What the generator learned from, in any of these forms.
        control: Images of patients it never saw, drawn by the same lottery.
        real: Instead of train and control: a cohort split by ``bussynth split``.
        patients: Patients of images that are in no cohort: a CSV with the columns file and
            patient, or ``{"train": [...], "control": [...]}`` with one key an image.
        out: Folder for report.html, report.json, metrics.csv and private.json, or None to
            write nothing.
        config: What to compute and where to draw lines; fix it before looking at the images.
        options: How to run; never changes a number.
        progress: Where to report.
        force: Replace an earlier audit in ``out``.

    Returns:
        The report; ``passed`` tells whether there was no evidence above the demonstrated floor.

    Raises:
        UsageError: Arguments contradict each other, or ``out`` is taken.
        DataError: The images cannot be read or compared.
    """
    config = config or AuditConfig()
    options = options or RunOptions()
    settings = _settings(config)
    if out is not None:
        atomic.check_output(Path(out), force=force, markers=MARKERS)
    comparison = open_comparison(
        synthetic, train=train, control=control, real=real, patients=patients
    )
    pixels = _read(comparison, progress)
    report = _measure(comparison, pixels, config, settings, options, progress)
    if out is not None:
        report = report.save(out, force=force)
    return report


def check_audit(
    synthetic: Source,
    *,
    train: Source | None = None,
    control: Source | None = None,
    real: Source | None = None,
    patients: PatientKeys | None = None,
    out: Path | str | None = None,
    config: AuditConfig | None = None,
    force: bool = False,
) -> list[str]:
    """Make every check of :func:`audit` that needs no decoding.

    Returns:
        What the user should know before starting, one line each; first the sizes.

    Raises:
        UsageError: As :func:`audit`.
        DataError: As :func:`audit`.
    """
    config = config or AuditConfig()
    _settings(config)
    if out is not None:
        atomic.check_output(Path(out), force=force, markers=MARKERS)
    comparison = open_comparison(
        synthetic, train=train, control=control, real=real, patients=patients
    )
    height, width = comparison.size
    counted = []
    for source in comparison.sources:
        known = None if source.role == "synthetic" else comparison.n_patients(source.role)
        of = "" if known is None else f" of {known} patients"
        counted.append(f"{len(source)} {source.role} images{of}")
    notes = [f"{', '.join(counted)}, {width}x{height} pixels"]
    found = comparison.n_patients("control")
    if found is not None and found < config.min_control_patients:
        notes.append(
            f"{found} control patients are fewer than {config.min_control_patients}: the verdict "
            "can only be FAIL or INCONCLUSIVE"
        )
    if comparison.doubts:
        notes.append("the verdict can only be FAIL or INCONCLUSIVE: " + comparison.doubts[0])
    return [*notes, *comparison.doubts[1:], *comparison.notes]


def _settings(config: AuditConfig) -> AuditSettings:
    try:
        return AuditSettings(**config.to_dict())
    except AuditInputError as error:
        raise UsageError(error.message, error.problems) from error


def _read(comparison: Comparison, progress: Progress) -> dict[str, npt.NDArray[np.uint8]]:
    total = sum(len(source) for source in comparison.sources)
    with progress.task("Reading", total=total) as task:
        return {source.role: source.load(comparison.size, task) for source in comparison.sources}


def _measure(
    comparison: Comparison,
    pixels: dict[str, npt.NDArray[np.uint8]],
    config: AuditConfig,
    settings: AuditSettings,
    options: RunOptions,
    progress: Progress,
) -> AuditReport:
    from audits.audit import audit_images
    from audits.images import ImageSet

    def real(role: str) -> ImageSet:
        keys, strata = comparison.patients, comparison.strata
        return ImageSet(
            pixels[role],
            patients=None if keys is None else keys[role],
            strata=None if strata is None else strata[role],
        )

    with (
        _executor(options.workers) as executor,
        progress.task("Auditing", unit="steps") as task,
    ):
        try:
            result = audit_images(
                ImageSet(pixels["synthetic"]),
                real("train"),
                real("control"),
                settings=settings,
                randomised_split=comparison.randomised,
                executor=executor,
                shards=options.workers,
                progress=_Steps(task),
            )
        except AuditInputError as error:
            raise DataError(error.message, error.problems) from error
    return build_report(result, comparison, config, pixels["synthetic"])


@contextmanager
def _executor(workers: int) -> Iterator[Executor | None]:
    if workers == 1:
        yield None
        return
    # Forking a process that holds threads of FAISS or BLAS may hang; spawning does not.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield pool


class _Steps:
    """Turns "stage, done, total" into advances of a task."""

    def __init__(self, task: Task) -> None:
        self._task, self._done = task, 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        self._task.expect(total)
        self._task.advance(max(0, done - self._done), stage=stage)
        self._done = max(done, self._done)
