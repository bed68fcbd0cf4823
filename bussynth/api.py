"""The verbs as Python functions: paths first, settings by keyword.

Each function takes the settings of its verb (the flags of the command line, the keys of
the TOML file) as keyword arguments. What only changes the speed is given as ``workers``,
``device`` and ``batch_size``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from bussynth.config import RunOptions
from bussynth.dependencies import missing_dependency
from bussynth.progress import SILENT, Progress

if TYPE_CHECKING:
    from bussynth.auditing.run import AuditReport, Source
    from bussynth.cohort.cohort import Cohort
    from bussynth.cohort.split import SplitResult
    from bussynth.generator.generator import Generator
    from bussynth.ingest.folder import IngestResult
    from bussynth.package.info import PackageInfo
    from bussynth.quality.evaluate import Evaluation
    from bussynth.wrapping.cohort import WrapResult

_P = ParamSpec("_P")
_R = TypeVar("_R")

__all__ = [
    "adapt",
    "audit",
    "card",
    "evaluate",
    "evolve",
    "export",
    "generate",
    "ingest_folder",
    "phantom",
    "restyle",
    "split",
    "train",
    "wrap",
]


def _full(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Name what to install when the light core is not enough."""

    @functools.wraps(function)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return function(*args, **kwargs)
        except ModuleNotFoundError as error:
            absent = missing_dependency(error)
            if absent is None:
                raise
            raise absent from error

    return run


@_full
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


@_full
def train(
    cohort: Cohort | Path | str,
    out: Path | str,
    *,
    device: str = "auto",
    force: bool = False,
    finish: bool = False,
    progress: Progress = SILENT,
    **settings: Any,
) -> Generator:
    """Train a generator on the training patients of a cohort.

    Args:
        cohort: A cohort that was split.
        out: Folder of the model; an unfinished one there is resumed.
        device: Device of torch.
        force: Replace an earlier output.
        finish: Take no more steps: make the model of the averaged weights that an unfinished
            training has.
        progress: Where to report.
        settings: Fields of :class:`bussynth.generator.config.TrainConfig`.

    Raises:
        UsageError: A setting is wrong, the cohort is not split, or ``out`` is taken.
    """
    from bussynth.cohort.cohort import Cohort
    from bussynth.generator.config import TrainConfig
    from bussynth.generator.generator import Generator

    opened = cohort if isinstance(cohort, Cohort) else Cohort.open(cohort)
    return Generator.train(
        opened,
        Path(out),
        TrainConfig.from_dict(settings),
        options=RunOptions(device=device),
        progress=progress,
        force=force,
        finish=finish,
    )


@_full
def adapt(
    cohort: Cohort | Path | str,
    out: Path | str,
    *,
    device: str = "auto",
    force: bool = False,
    finish: bool = False,
    progress: Progress = SILENT,
    **settings: Any,
) -> Generator:
    """Fit an adapter of a base to the training patients of a cohort.

    Args:
        cohort: A cohort that was split.
        out: Folder of the adapter; an unfinished one there is resumed.
        device: Device of torch.
        force: Replace an earlier output.
        finish: Take no more steps: make the model of the averaged weights that an unfinished
            training has.
        progress: Where to report.
        settings: Fields of :class:`bussynth.generator.config.AdaptConfig`, such as ``base``.

    Raises:
        UsageError: A setting or the base is wrong, the cohort is not split, or ``out`` is taken.
    """
    from bussynth.cohort.cohort import Cohort
    from bussynth.generator.config import AdaptConfig
    from bussynth.generator.generator import Generator

    opened = cohort if isinstance(cohort, Cohort) else Cohort.open(cohort)
    return Generator.adapt(
        opened,
        Path(out),
        AdaptConfig.from_dict(settings),
        options=RunOptions(device=device),
        progress=progress,
        force=force,
        finish=finish,
    )


@_full
def generate(
    model: Path | str,
    out: Path | str,
    *,
    base: Path | str | None = None,
    real: Cohort | Path | str | None = None,
    workers: int = 1,
    device: str = "auto",
    batch_size: int | None = None,
    force: bool = False,
    progress: Progress = SILENT,
    **settings: Any,
) -> Cohort:
    """Draw a synthetic cohort from a generator.

    Args:
        model: Folder of a model or an adapter, or ``builtin:NAME``.
        out: Folder of the synthetic cohort; an unfinished one is resumed.
        base: Of an adapter: its base, if that is not a built-in one.
        real: For a guard, and only then: the cohort the model was trained on.
        workers: Worker processes.
        device: Device of torch.
        batch_size: Images a batch.
        force: Replace an earlier output.
        progress: Where to report.
        settings: Fields of :class:`bussynth.generator.config.GenerateConfig`.

    Raises:
        UsageError: A setting is wrong, ``out`` is taken, or a guard cannot be used like this.
        DataError: The cohort of a guard is not the model's, or has no patients.
        IntegrityError: The model is unfinished or was changed, also while images were drawn.
    """
    from bussynth.cohort.cohort import Cohort
    from bussynth.generator.config import GenerateConfig
    from bussynth.generator.generate import generate_cohort

    opened = real if real is None or isinstance(real, Cohort) else Cohort.open(real)
    return generate_cohort(
        model,
        Path(out),
        GenerateConfig.from_dict(settings),
        base=base,
        real=opened,
        options=RunOptions(workers=workers, device=device, batch_size=batch_size),
        progress=progress,
        force=force,
    )


@_full
def evolve(
    cohort: Cohort | Path | str,
    out: Path | str,
    *,
    device: str = "auto",
    batch_size: int | None = None,
    force: bool = False,
    progress: Progress = SILENT,
    **settings: Any,
) -> Cohort:
    """Breed a synthetic cohort from a public generator by private votes of patients.

    Args:
        cohort: The patients, split; those of the training split vote.
        out: Folder of the synthetic cohort; an unfinished evolution is resumed.
        device: Device of torch.
        batch_size: Images a batch.
        force: Replace an earlier output.
        progress: Where to report.
        settings: Fields of :class:`bussynth.generator.evolution_config.EvolveConfig`.

    Raises:
        UsageError: A setting is wrong, ``out`` is taken, or the cohort's ledger forbids it.
        DataError: There are no training images.
        IntegrityError: The base is damaged.
    """
    from bussynth.cohort.cohort import Cohort
    from bussynth.generator.evolution import evolve_cohort
    from bussynth.generator.evolution_config import EvolveConfig

    return evolve_cohort(
        cohort if isinstance(cohort, Cohort) else Cohort.open(cohort),
        Path(out),
        EvolveConfig.from_dict(settings),
        options=RunOptions(device=device, batch_size=batch_size),
        progress=progress,
        force=force,
    )


@_full
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


@_full
def restyle(
    cohort: Cohort | Path | str,
    out: Path | str,
    *,
    model: Path | str,
    base: Path | str | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    force: bool = False,
    progress: Progress = SILENT,
    **settings: Any,
) -> Cohort:
    """Render the images of a cohort as other scanners would have drawn them.

    Args:
        cohort: A real or phantom cohort.
        out: Folder of the new cohort; its images are derived from patients.
        model: Folder of a model or an adapter, or ``builtin:NAME``.
        base: Of an adapter: its base, if that is not a built-in one.
        device: Device of torch, not of the scanner.
        batch_size: Images a batch.
        force: Replace an earlier output.
        progress: Where to report.
        settings: Fields of :class:`bussynth.generator.restyle_config.RestyleConfig`.

    Raises:
        UsageError: A setting is wrong, the model does not know the device, or ``out`` is taken.
    """
    from bussynth.cohort.cohort import Cohort
    from bussynth.generator.generator import Generator
    from bussynth.generator.restyle import restyle_cohort
    from bussynth.generator.restyle_config import RestyleConfig

    return restyle_cohort(
        cohort if isinstance(cohort, Cohort) else Cohort.open(cohort),
        Generator.load(model, device, base),
        Path(out),
        RestyleConfig.from_dict(settings),
        batch_size=batch_size,
        progress=progress,
        force=force,
    )


@_full
def wrap(
    path: Path | str,
    out: Path | str,
    *,
    labels: Path | str | None = None,
    trained_on: Path | str | None = None,
    workers: int = 1,
    device: str = "auto",
    batch_size: int | None = None,
    force: bool = False,
    progress: Progress = SILENT,
    **settings: Any,
) -> WrapResult:
    """Make a synthetic cohort from images or a generator that come from elsewhere.

    Args:
        path: Folder of images, pipeline folder of diffusers, or TorchScript or ONNX sampler.
        out: Folder of the synthetic cohort.
        labels: CSV table of a folder of images.
        trained_on: Cohort the generator learned from, so that audits can check it.
        workers: Worker processes.
        device: Device of torch.
        batch_size: Images a batch.
        force: Replace an earlier output.
        progress: Where to report.
        settings: Fields of :class:`bussynth.wrapping.config.WrapConfig`.

    Raises:
        UsageError: A setting is wrong, or ``out`` is taken.
        DataError: The images or the sampler were refused; all problems are listed.
    """
    from bussynth.wrapping.cohort import wrap_source
    from bussynth.wrapping.config import WrapConfig

    return wrap_source(
        path,
        out,
        WrapConfig.from_dict(settings),
        labels=labels,
        trained_on=trained_on,
        options=RunOptions(workers=workers, device=device, batch_size=batch_size),
        progress=progress,
        force=force,
    )


@_full
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


@_full
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


def export(
    synthetic: Path | str,
    *,
    audit: Path | str,
    key: Path | str,
    out: Path | str,
    force: bool = False,
    progress: Progress = SILENT,
    **settings: Any,
) -> PackageInfo:
    """Pack an audited synthetic cohort and sign it.

    Args:
        synthetic: The synthetic cohort.
        audit: Folder that the audit wrote.
        key: Private key that signs.
        out: Folder of the package.
        force: Replace an earlier output.
        progress: Where to report.
        settings: Fields of :class:`bussynth.package.export_config.ExportConfig`.

    Raises:
        AuditGateError: The audit is missing, foreign or failed.
        UsageError: A setting or the key is wrong, or ``out`` is taken.
    """
    from bussynth.package.export import export_package
    from bussynth.package.export_config import ExportConfig

    return export_package(
        Path(synthetic),
        Path(audit),
        Path(key),
        Path(out),
        config=ExportConfig.from_dict(settings),
        force=force,
        progress=progress,
    )
