"""Verbs that measure synthetic images, audit them and let them go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bussynth.api.dependent import full
from bussynth.config import RunOptions
from bussynth.progress import SILENT, Progress

if TYPE_CHECKING:
    from bussynth.auditing.run import AuditReport, Source
    from bussynth.cohort.cohort import Cohort
    from bussynth.package.info import PackageInfo
    from bussynth.quality.evaluate import Evaluation

__all__ = ["audit", "card", "evaluate", "export"]


@full
def evaluate(
    synthetic: Cohort | Path | str,
    *,
    real: Cohort | Path | str,
    out: Path | str | None = None,
    workers: int = 1,
    force: bool = False,
    progress: Progress = SILENT,
    **settings: Any,
) -> Evaluation:
    """Measure whether synthetic images obey their conditions and look like real ones.

    Args:
        synthetic: The synthetic cohort.
        real: Cohort whose train and test patients to use.
        out: Folder of evaluation.json and evaluation.md; nothing is written if None.
        workers: Worker threads.
        force: Replace an earlier output.
        progress: Where to report.
        settings: Fields of :class:`bussynth.quality.config.EvaluateConfig`.

    Raises:
        UsageError: A setting is wrong, the cohorts do not fit, or ``out`` is taken.
        DataError: There are too few patients.
    """
    from bussynth.quality.config import EvaluateConfig
    from bussynth.quality.evaluate import evaluate as measure

    return measure(
        synthetic,
        real,
        out,
        config=EvaluateConfig.from_dict(settings),
        options=RunOptions(workers=workers),
        progress=progress,
        force=force,
    )


@full
def audit(
    synthetic: Source,
    *,
    real: Source | None = None,
    train: Source | None = None,
    control: Source | None = None,
    patients: Path | str | None = None,
    out: Path | str | None = None,
    model: Path | str | None = None,
    base: Path | str | None = None,
    release_model: bool = False,
    encoders: Sequence[Path | str] = (),
    cluster: str | None = None,
    workers: int = 1,
    device: str = "auto",
    force: bool = False,
    progress: Progress = SILENT,
    **settings: Any,
) -> AuditReport:
    """Search for copies of training patients and compare with patients never seen.

    Args:
        synthetic: Synthetic cohort, or a folder of images.
        real: Cohort whose train and control patients to use; or give both of the next.
        train: What the generator learned from: cohort or folder.
        control: Other patients, drawn by the same lottery, that it never saw.
        patients: CSV with the columns file and patient, for folders.
        out: Folder for report.html and report.json; no report is written if None.
        model: Folder of the model that made the images; its near-copies are planted as controls.
        base: If the model is an adapter: its base, if that is not a built-in one.
        release_model: The model is to be released too: attack it by its losses.
        encoders: TorchScript or ONNX encoders of your own.
        cluster: Address of a Dask scheduler to run on.
        workers: Worker processes.
        device: Device of torch.
        force: Replace an earlier output.
        progress: Where to report.
        settings: Fields of :class:`bussynth.auditing.config.AuditConfig`.

    Raises:
        UsageError: A setting is wrong, or the roles are incomplete.
        DataError: The images cannot be compared.
    """
    from bussynth.auditing.config import AuditConfig
    from bussynth.auditing.run import audit as measure

    return measure(
        synthetic,
        real=real,
        train=train,
        control=control,
        patients=None if patients is None else Path(patients),
        out=None if out is None else Path(out),
        config=AuditConfig.from_dict(settings),
        model=model,
        base=base,
        release_model=release_model,
        encoders=encoders,
        cluster=cluster,
        options=RunOptions(workers=workers, device=device),
        progress=progress,
        force=force,
    )


@full
def card(
    model: Path | str,
    out: Path | str,
    *,
    base: Path | str | None = None,
    evaluation: Path | str | None = None,
    audit: Path | str | None = None,
    about: Path | str | None = None,
    samples: Path | str | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Write the card of a model: what it is, what it learned from, how good and how safe.

    Args:
        model: Folder of a model or an adapter, or ``builtin:NAME``.
        out: Folder of the card.
        base: Of an adapter: its base, if that is not a built-in one.
        evaluation: Folder that ``evaluate`` wrote.
        audit: Folder that ``audit`` wrote.
        about: TOML file with name, licences, citation and limits.
        samples: Synthetic cohort of the model for the picture; drawn anew by default.
        force: Replace an earlier card.
        progress: Where to report.

    Returns:
        The folder.

    Raises:
        UsageError: ``out`` is taken, or the files are of another model.
    """
    from bussynth.modelcard.card import write_card

    write_card(
        str(model),
        Path(out),
        base=None if base is None else str(base),
        evaluation=evaluation,
        audit=audit,
        about=about,
        samples=samples,
        progress=progress,
        force=force,
    )
    return Path(out)


def export(
    synthetic: Path | str,
    *,
    key: Path | str,
    out: Path | str,
    audit: Path | str | None = None,
    ledger: Path | str | None = None,
    require_review: Path | str | None = None,
    force: bool = False,
    progress: Progress = SILENT,
    **settings: Any,
) -> PackageInfo:
    """Pack a synthetic cohort under one of two privacy claims and sign it.

    Args:
        synthetic: The synthetic cohort.
        key: Private key that signs.
        out: Folder of the package.
        audit: Folder that the audit wrote; needed unless ``claim="formal-dp"``, and refused then.
        ledger: With ``claim="formal-dp"``: the real cohort, to compare the statement with its
            ledger.
        require_review: The real cohort, whose de-identification must have been looked at and
            approved.
        force: Replace an earlier output.
        progress: Where to report.
        settings: Fields of :class:`bussynth.package.export_config.ExportConfig`.

    Raises:
        AuditGateError: The audit is missing, foreign or failed.
        DataError: The cohort must not leave, or not under this claim.
        UsageError: A setting or the key is wrong, an argument does not belong to the claim, or
            ``out`` is taken.
    """
    from bussynth.package.export import export_package
    from bussynth.package.export_config import ExportConfig

    return export_package(
        Path(synthetic),
        audit,
        Path(key),
        Path(out),
        config=ExportConfig.from_dict(settings),
        ledger=ledger,
        require_review=require_review,
        force=force,
        progress=progress,
    )
