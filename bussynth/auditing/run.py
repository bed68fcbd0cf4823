"""The verb: check, read, measure, record, write."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from audits.errors import AuditInputError
from audits.settings import AuditSettings
from bussynth.auditing.comparison import Comparison, PatientKeys, open_comparison
from bussynth.auditing.config import AuditConfig
from bussynth.auditing.encoders import EncoderFile, find_encoders, load_encoders
from bussynth.auditing.executor import open_workers, require_dask
from bussynth.auditing.history import record_run, settings_digest
from bussynth.auditing.model_access import CheckedModel, check_model, open_model
from bussynth.auditing.places import check_place, place_of, refuse_overlap
from bussynth.auditing.record import AuditReport, build_report
from bussynth.auditing.sources import RoleImages, Source
from bussynth.config import RunOptions
from bussynth.errors import DataError, UsageError
from bussynth.progress import SILENT, Progress, Task

if TYPE_CHECKING:
    from audits.features.base import FeatureMap
    from audits.result import AuditResult

__all__ = ["AuditReport", "PatientKeys", "Source", "audit", "check_audit"]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Plan:
    """An audit that passed every check that needs no decoding."""

    comparison: Comparison
    settings: AuditSettings
    digest: str
    model: CheckedModel | None
    encoders: tuple[EncoderFile, ...]


def audit(
    synthetic: Source,
    *,
    train: Source | None = None,
    control: Source | None = None,
    real: Source | None = None,
    patients: PatientKeys | None = None,
    out: Path | str | None = None,
    config: AuditConfig | None = None,
    model: Path | str | None = None,
    base: Path | str | None = None,
    release_model: bool = False,
    encoders: Sequence[Path | str] = (),
    cluster: str | None = None,
    options: RunOptions | None = None,
    progress: Progress = SILENT,
    force: bool = False,
) -> AuditReport:
    """Measure whether synthetic images reveal the patients their generator learned from.

    The audit is written into the run ledger beside the real data (see
    :mod:`bussynth.auditing.ledger`) before its result is returned.

    Args:
        synthetic: What is to be released: a synthetic cohort (or its path), a folder of images,
            or a uint8 array (n, H, W).
        train: What the generator learned from, in any of these forms.
        control: Images of patients it never saw, drawn by the same lottery.
        real: Instead of train and control: a cohort split by ``bussynth split``.
        patients: Patients of images that are in no cohort: a CSV with the columns file and
            patient, or ``{"train": [...], "control": [...]}`` with one key an image.
        out: Folder for the report, or None to write no report.
        config: What to compute and where to draw lines; fix it before looking at the images.
        model: Folder of the model that made the images; its own near-duplicates of train images
            are then planted among the controls.
        base: If the model is an adapter: its base, if that is not a built-in one.
        release_model: The model is to be released too: attack it with its own losses.
        encoders: TorchScript or ONNX encoders of images, each one more space to search.
        cluster: Address of a Dask scheduler; never changes a number.
        options: How to run; never changes a number.
        progress: Where to report.
        force: Replace an earlier audit in ``out``.

    Returns:
        The report; ``passed`` tells whether there was no evidence above the demonstrated floor.

    Raises:
        UsageError: Arguments contradict each other, or ``out`` is taken or overlaps with inputs.
        DataError: The images cannot be read or compared.
        MissingDependencyError: Dask or what an encoder needs is not installed.
    """
    config = config or AuditConfig()
    options = options or RunOptions()
    out = None if out is None else Path(out)
    plan = _plan(
        synthetic,
        train=train,
        control=control,
        real=real,
        patients=patients,
        out=out,
        config=config,
        model=model,
        base=base,
        release_model=release_model,
        encoders=encoders,
        cluster=cluster,
        force=force,
    )
    comparison = plan.comparison
    loaded = load_encoders(plan.encoders, comparison.size)
    pixels = _read(comparison, progress)
    result = _measure(plan, pixels, loaded, release_model, cluster, options, progress)
    ledger = record_run(
        train=comparison.train,
        control=comparison.control,
        synthetic=comparison.synthetic,
        settings=plan.digest,
        verdict=result.verdict.state.value,
        out=out,
        generator=None if plan.model is None else plan.model.digest,
    )
    report = build_report(
        result,
        comparison,
        config,
        pixels["synthetic"],
        train=pixels["train"],
        control=pixels["control"],
    )
    report = replace(
        report,
        report={**report.report, "ledger": ledger.to_dict(), "model": _model(plan, release_model)},
    )
    return report if out is None else report.save(out, force=force)


def check_audit(
    synthetic: Source,
    *,
    train: Source | None = None,
    control: Source | None = None,
    real: Source | None = None,
    patients: PatientKeys | None = None,
    out: Path | str | None = None,
    config: AuditConfig | None = None,
    model: Path | str | None = None,
    base: Path | str | None = None,
    release_model: bool = False,
    encoders: Sequence[Path | str] = (),
    cluster: str | None = None,
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
    plan = _plan(
        synthetic,
        train=train,
        control=control,
        real=real,
        patients=patients,
        out=None if out is None else Path(out),
        config=config,
        model=model,
        base=base,
        release_model=release_model,
        encoders=encoders,
        cluster=cluster,
        force=force,
    )
    comparison = plan.comparison
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
    trusted = () if plan.model is None else plan.model.notes
    return [*notes, *comparison.doubts[1:], *comparison.notes, *trusted]


def _plan(
    synthetic: Source,
    *,
    train: Source | None,
    control: Source | None,
    real: Source | None,
    patients: PatientKeys | None,
    out: Path | None,
    config: AuditConfig,
    model: Path | str | None,
    base: Path | str | None,
    release_model: bool,
    encoders: Sequence[Path | str],
    cluster: str | None,
    force: bool,
) -> _Plan:
    settings, files = config.settings(), find_encoders(encoders)
    if release_model and model is None:
        raise UsageError("--release-model needs the model; give its folder with --model.")
    if base is not None and model is None:
        raise UsageError("--base names the base of an adapter; give the adapter with --model.")
    if cluster is not None:
        require_dask()
    folder = None if model is None else Path(model)
    if out is not None:
        check_place(out, force=force)
        places = {"synthetic": synthetic, "train": train, "control": control, "real": real}
        inputs = {name: place_of(source) for name, source in places.items()}
        inputs |= {
            "model": folder,
            **{f"encoder {i}": file.path for i, file in enumerate(files, start=1)},
        }
        inputs["patients"] = Path(patients) if isinstance(patients, (str, Path)) else None
        refuse_overlap(out, inputs)
    comparison = open_comparison(
        synthetic, train=train, control=control, real=real, patients=patients
    )
    return _Plan(
        comparison=comparison,
        settings=settings,
        digest=settings_digest(
            settings, encoders=[file.digest for file in files], release_model=release_model
        ),
        model=None if folder is None else check_model(folder, comparison, base),
        encoders=files,
    )


def _read(comparison: Comparison, progress: Progress) -> dict[str, npt.NDArray[np.uint8]]:
    total = sum(len(source) for source in comparison.sources)
    with progress.task("Reading", total=total) as task:
        return {source.role: source.load(comparison.size, task) for source in comparison.sources}


def _model(plan: _Plan, released: bool) -> dict[str, Any] | None:
    """Say in the report which model stood by."""
    if plan.model is None:
        return None
    return {"digest": plan.model.digest, "released": released, "notes": list(plan.model.notes)}


def _measure(
    plan: _Plan,
    pixels: dict[str, npt.NDArray[np.uint8]],
    encoders: Sequence[FeatureMap],
    release_model: bool,
    cluster: str | None,
    options: RunOptions,
    progress: Progress,
) -> AuditResult:
    from audits.audit import audit_images
    from audits.images import ImageSet

    comparison = plan.comparison

    def role(source: RoleImages) -> ImageSet:
        keys, strata = comparison.patients or {}, comparison.strata or {}
        return ImageSet(
            pixels[source.role],
            patients=keys.get(source.role),
            strata=strata.get(source.role),
            attributes=source.attributes(),
            boxes=source.boxes(),
        )

    access = None
    if plan.model is not None:
        seed = plan.settings.seed
        access = open_model(plan.model, comparison, pixels, seed=seed, device=options.device)
    losses = access.losses(progress) if access is not None and release_model else None
    synthetic, train, control = map(role, comparison.sources)
    with (
        open_workers(options.workers, cluster) as workers,
        progress.task("Auditing", unit="steps") as task,
    ):
        try:
            return audit_images(
                synthetic,
                train,
                control,
                settings=plan.settings,
                randomised_split=comparison.randomised,
                user_encoders=encoders,
                renoise=None if access is None else access.renoise,
                losses=losses,
                executor=workers.executor,
                shards=workers.shards,
                threads=max(1, _cores() // options.workers),
                progress=_Steps(task),
            )
        except AuditInputError as error:
            raise DataError(error.message, error.problems) from error


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Steps:
    """Turns "stage, done, total" into advances of a task."""

    def __init__(self, task: Task) -> None:
        self._task, self._done = task, 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        self._task.expect(total)
        self._task.advance(max(0, done - self._done), stage=stage)
        self._done = max(done, self._done)
