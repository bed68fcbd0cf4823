"""Device transfer: a cohort re-rendered as another scanner would have drawn it.

Each image is taken up to a noise level and down again under the conditions it had, but for the
device. Patient, split, lesion box, mask and all other conditions stay, so that an image derived
from a test patient is a test image and audits group it with its patient. The outputs show the
findings of their sources: they are as personal as those, and the cohort says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bussynth.cohort import Cohort, Row
from bussynth.cohort.split import check_assignment, kept_record
from bussynth.config import suggest
from bussynth.errors import DataError, UsageError
from bussynth.generator.restyle_config import RestyleConfig
from bussynth.generator.seeds import derive_seed
from bussynth.images import encode_png
from bussynth.progress import SILENT, Progress

__all__ = ["RestylePlan", "Restyler", "check_restyle", "restyle_cohort"]

_DEVICE = "device"
_ROWS = 64


class Restyler(Protocol):
    """What device transfer needs of a generator."""

    @property
    def digest(self) -> str:
        """``"sha256:..."`` of everything that decides the images."""
        ...

    @property
    def vocabulary(self) -> Mapping[str, Sequence[str]]:
        """Values of each condition column."""
        ...

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        ...

    @property
    def trained_on(self) -> str | None:
        """Digest of the cohort the model was trained on."""
        ...

    def restyle(
        self,
        images: npt.NDArray[np.uint8],
        source: Sequence[Mapping[str, Any]],
        target: Sequence[Mapping[str, Any]],
        strength: float,
        seeds: Sequence[int] | None = None,
        steps: int = 12,
        guidance: float = 1.0,
        batch_size: int | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Images ``(n, H, W)`` re-rendered; without seeds the ODE is inverted."""
        ...


@dataclass(frozen=True, kw_only=True)
class RestylePlan:
    """What a device transfer would do.

    Attributes:
        source: The rows to be rendered.
        vocabulary: Of the new cohort: the source's, with the new devices.
        columns: Conditions that both the cohort and the model have.
        config: What is rendered.
        images: Number of images to make.
        notes: What the user should know.
    """

    source: Cohort
    vocabulary: dict[str, tuple[str, ...]]
    columns: tuple[str, ...]
    config: RestyleConfig
    images: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for ``--dry-run --json``."""
        return {
            "source": str(self.source.path),
            "source_images": len(self.source),
            "images": self.images,
            "config": self.config.to_dict(),
            "notes": list(self.notes),
        }

    def targets(self, device: str | None) -> list[str]:
        """Devices in which an image of ``device`` is rendered."""
        own = self.config.include_own
        return [word for word in self.config.to_device if own or word != device]


def check_restyle(
    cohort: Cohort,
    model: Restyler,
    out: Path | str,
    config: RestyleConfig,
    *,
    force: bool = False,
) -> RestylePlan:
    """Check a device transfer without rendering anything.

    Args:
        cohort: Real or phantom cohort.
        model: The generator.
        out: Cohort folder to make.
        config: What to render.
        force: Replace an earlier device transfer.

    Raises:
        UsageError: Cohort and model do not fit each other, a device is unknown, or ``out`` is
            taken.
        DataError: There is nothing to render.
        IntegrityError: The cohort was changed after it was written or split.
    """
    if cohort.kind == "synthetic":
        raise UsageError(
            f"{cohort.path} is synthetic; ask a model for images of another device instead: "
            "`bussynth generate --condition device=NAME`."
        )
    if cohort.derived is not None:
        raise UsageError(
            f"{cohort.path} was derived from another cohort itself; restyle that one, or what "
            "was lost on the way is lost twice."
        )
    _check_place(cohort, Path(out), force=force)
    problems = _misfits(cohort, model, config)
    if problems:
        raise UsageError(f"The model cannot restyle {cohort.path}.", problems)
    source = _selected(cohort, config)
    if len(source) == 0:
        raise DataError(
            "There is nothing to render: no image is of another device than "
            f"{', '.join(config.to_device)}; use --include-own."
        )
    columns = tuple(column for column in cohort.vocabulary if column in model.vocabulary)
    notes = _unknown_words(source, model, columns)
    cohort.verify()
    check_assignment(cohort)
    devices = cohort.vocabulary[_DEVICE]
    new = tuple(word for word in config.to_device if word not in devices)
    plan = RestylePlan(
        source=source,
        vocabulary=cohort.vocabulary | {_DEVICE: devices + new},
        columns=columns,
        config=config,
        images=0,
        notes=tuple(notes),
    )
    found = source.table([_DEVICE]).column(_DEVICE).to_pylist()
    return replace(plan, images=sum(len(plan.targets(device)) for device in found))


def restyle_cohort(
    cohort: Cohort,
    model: Restyler,
    out: Path | str,
    config: RestyleConfig,
    *,
    batch_size: int | None = None,
    progress: Progress = SILENT,
    force: bool = False,
) -> Cohort:
    """Render the images of a cohort as other devices would have drawn them.

    An image depends on its source, the device and the seed alone, not on which others are
    rendered with it (up to the rounding of the kernels).

    Args:
        cohort: Real or phantom cohort. It is not changed.
        model: The generator.
        out: Cohort folder to make; it appears whole or not at all.
        config: What to render.
        batch_size: Images computed at once.
        progress: Where to report.
        force: Replace an earlier device transfer in ``out``.

    Returns:
        The cohort, of the kind of its source, with the patients and splits of its source, marked
        as :attr:`~bussynth.cohort.Cohort.derived`.

    Raises:
        UsageError: See :func:`check_restyle`.
        DataError: See :func:`check_restyle`.
        IntegrityError: See :func:`check_restyle`.
    """
    plan = check_restyle(cohort, model, out, config, force=force)
    return Cohort.create(
        out,
        _rendered(plan, model, batch_size, progress),
        kind=cohort.kind,
        image_size=cohort.image_size,
        vocabulary=plan.vocabulary,
        masks=cohort.has_masks,
        split=kept_record(plan.source),
        provenance={
            "derived": {
                "by": "restyle",
                "source": cohort.digest,
                "model": model.digest,
                "trained_on": model.trained_on,
                "request": config.to_dict(),
            },
            # By which an audit knows the model that made the images.
            "generator": model.digest,
        },
        force=force,
    )


def _check_place(cohort: Cohort, out: Path, *, force: bool) -> None:
    inside, source = out.absolute().resolve(), cohort.path.resolve()
    if inside == source or inside in source.parents or source in inside.parents:
        raise UsageError(f"{out} overlaps the folder of the cohort; choose another place.")
    Cohort.check_place(out, cohort.kind, force=force)
    if (out / "cohort.json").is_file() and Cohort.open(out).derived is None:
        raise UsageError(
            f"{out} holds a cohort that was not derived from another, which is not replaced; "
            "choose another name."
        )


def _misfits(cohort: Cohort, model: Restyler, config: RestyleConfig) -> list[str]:
    """Say why the model cannot render images of the cohort as the devices asked for."""
    problems = []
    if cohort.image_size != tuple(model.image_size):
        (height, width), (rows, columns) = cohort.image_size, model.image_size
        problems.append(
            f"it draws images of {columns}x{rows} pixels, those of the cohort have "
            f"{width}x{height}; ingest at the model's size"
        )
    if _DEVICE not in cohort.vocabulary:
        problems.append("the cohort has no column device, so nobody knows what to render anew")
    words = model.vocabulary.get(_DEVICE)
    if words is None:
        problems.append("the model was trained without a column device and knows no devices")
    else:
        problems += [
            f"to_device={word!r}: the model does not know this device{suggest(word, words)} "
            f"(known: {', '.join(words)})"
            for word in config.to_device
            if word not in words
        ]
    return problems


def _selected(cohort: Cohort, config: RestyleConfig) -> Cohort:
    """Rows of the split that are to be rendered in one device at least."""
    view = cohort if config.split is None else cohort.select(split=config.split)
    if config.include_own or len(config.to_device) > 1:
        return view
    others = [word for word in cohort.vocabulary[_DEVICE] if word not in config.to_device]
    return view.select(device=[*others, None])


def _unknown_words(source: Cohort, model: Restyler, columns: Sequence[str]) -> list[str]:
    """Find values that the model has not met; refuse them in all columns but the device.

    A scanner that the model has not met can be left unstated: it is what is taken away. Any other
    unstated condition would be drawn at random and change what the image shows.
    """
    table = source.table(list(columns))
    problems, notes = [], []
    for column in columns:
        found = [word for word in table.column(column).to_pylist() if word is not None]
        unknown = [word for word in found if word not in model.vocabulary[column]]
        if column == _DEVICE and unknown:
            notes.append(
                f"{len(unknown)} images are of a device that the model does not know; for it "
                "they are of any device."
            )
        elif unknown:
            problems.append(
                f"{column}: it does not know {', '.join(sorted(set(unknown)))} "
                f"(known: {', '.join(model.vocabulary[column])})"
            )
    if problems:
        raise UsageError(f"The model cannot restyle {source.path}.", problems)
    return notes


def _rendered(
    plan: RestylePlan, model: Restyler, batch_size: int | None, progress: Progress
) -> Iterator[Row]:
    """Rows of the new cohort, in the order of their sources."""
    config = plan.config
    devices = plan.vocabulary[_DEVICE]
    with progress.task("Restyling", total=plan.images) as task:
        for batch in plan.source.batches(_ROWS):
            jobs = [
                (row, device) for row in batch for device in plan.targets(row.conditions[_DEVICE])
            ]
            source = [_conditions(row, plan.columns, model) for row, _ in jobs]
            images = model.restyle(
                np.stack([row.image for row, _ in jobs]),
                source,
                [
                    before | {_DEVICE: device}
                    for before, (_, device) in zip(source, jobs, strict=True)
                ],
                config.strength,
                # One noise for all devices: they differ by the device alone.
                [derive_seed(f"restyle/{row.id}", config.seed) for row, _ in jobs]
                if config.method == "noise"
                else None,
                steps=config.steps,
                guidance=config.guidance,
                batch_size=batch_size,
            )
            for (row, device), image in zip(jobs, images, strict=True):
                yield replace(
                    row,
                    id=f"{row.id}-device{devices.index(device)}",
                    png=encode_png(image),
                    conditions={**row.conditions, _DEVICE: device},
                )
            task.advance(len(jobs))


def _conditions(row: Row, columns: Sequence[str], model: Restyler) -> dict[str, Any]:
    """Conditions of a row as the model is told them."""
    told: dict[str, Any] = {column: row.conditions[column] for column in columns}
    if told[_DEVICE] not in model.vocabulary[_DEVICE]:
        told[_DEVICE] = None
    return told | {"lesion_box": row.lesion_box}
