"""Verbs that make generators, and images with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bussynth.api.dependent import full
from bussynth.config import RunOptions
from bussynth.progress import SILENT, Progress

if TYPE_CHECKING:
    from bussynth.cohort.cohort import Cohort
    from bussynth.generator.generator import Generator
    from bussynth.wrapping.cohort import WrapResult

__all__ = ["adapt", "evolve", "generate", "restyle", "train", "wrap"]


@full
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


@full
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


@full
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


@full
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


@full
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


@full
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
