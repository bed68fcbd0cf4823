"""``bussynth wrap``: images of a generator made elsewhere become a synthetic cohort.

The provenance holds ``generator`` (digest of the source's files), ``request`` (what else decides
the images) and ``trained_on`` (digest of the training cohort, or null), as in cohorts that
``bussynth generate`` makes, so audits compare them alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import PIL

from bussynth.cohort import Cohort, Row
from bussynth.config import RunOptions
from bussynth.ingest.notes import Note
from bussynth.progress import SILENT, Progress
from bussynth.wrapping.check import WrapPlan, check_wrap
from bussynth.wrapping.config import WrapConfig
from bussynth.wrapping.diffusers_folder import PipelinePlan
from bussynth.wrapping.drawing import Drawing, draw_chunks, drawn_rows, remove_leftovers
from bussynth.wrapping.images import ImagesPlan, image_rows
from bussynth.wrapping.sampler import SamplerPlan

__all__ = ["WrapResult", "wrap_source"]

_RESAMPLING: Final = "hamming to shrink, bilinear to enlarge"


@dataclass(frozen=True, kw_only=True)
class WrapResult:
    """What a wrap wrote.

    Attributes:
        cohort: The cohort.
        kind: What the source was.
        notes: What the user should know.
    """

    cohort: Cohort
    kind: str
    notes: tuple[Note, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        provenance = self.cohort.provenance
        return {
            "cohort": str(self.cohort.path),
            "digest": self.cohort.digest,
            "kind": self.kind,
            "generator": provenance["generator"],
            "trained_on": provenance["trained_on"],
            "vocabulary": {name: list(words) for name, words in self.cohort.vocabulary.items()},
            **self.cohort.counts,
            "notes": [note.to_dict() for note in self.notes],
        }


def wrap_source(
    path: Path | str,
    out: Path | str,
    config: WrapConfig | None = None,
    *,
    labels: Path | str | None = None,
    trained_on: Path | str | None = None,
    options: RunOptions | None = None,
    progress: Progress = SILENT,
    force: bool = False,
) -> WrapResult:
    """Make a synthetic cohort from images or a generator that come from elsewhere.

    A drawing that was killed goes on when it is started again with the same arguments.

    Args:
        path: A folder of finished images; a pipeline folder of diffusers; or a sampler in
            TorchScript or ONNX (see :mod:`bussynth.wrapping.spec`), which runs when it is opened.
        out: Cohort folder to make.
        config: Options.
        labels: Table of labels, for finished images; a metadata file in their folder if None.
        trained_on: The cohort that the generator learned from, so that an audit can notice that
            it compares with another one.
        options: Workers (for finished images), device and batch size.
        progress: Where to report.
        force: Replace an earlier synthetic cohort in ``out``.

    Returns:
        The result.

    Raises:
        UsageError: Options do not fit the source, or a place is wrong.
        DataError: The source cannot be used; all problems are listed and nothing is written.
    """
    out, options = Path(out), options or RunOptions()
    plan = check_wrap(
        path,
        out,
        config,
        labels=labels,
        trained_on=trained_on,
        options=options,
        progress=progress,
        force=force,
    )
    if isinstance(plan.material, ImagesPlan):
        return _wrap_images(plan, plan.material, out, options, progress, force=force)
    return _wrap_model(plan, plan.material, out, options, progress, force=force)


def _wrap_images(
    plan: WrapPlan,
    images: ImagesPlan,
    out: Path,
    options: RunOptions,
    progress: Progress,
    *,
    force: bool,
) -> WrapResult:
    size = plan.config.image_size
    found: list[Note] = []
    rows = image_rows(
        images,
        size,
        plan.declared,
        found,
        workers=options.workers,
        progress=progress,
    )
    request = {
        "image_size": size,
        "conditions": dict(plan.declared),
        "columns": sorted(images.columns),
    }
    cohort = _create(plan, out, rows, images.digest(progress), request, {}, force=force)
    return WrapResult(cohort=cohort, kind=plan.source.kind, notes=(*plan.notes, *found))


def _wrap_model(
    plan: WrapPlan,
    model: PipelinePlan | SamplerPlan,
    out: Path,
    options: RunOptions,
    progress: Progress,
    *,
    force: bool,
) -> WrapResult:
    config = plan.config
    request: dict[str, Any] = {
        "n": plan.n,
        "seed": config.seed,
        "image_size": config.image_size,
        "conditions": dict(config.conditions),
    }
    if isinstance(model, PipelinePlan):
        request |= {"pipeline": model.pipeline, "steps": model.steps}
    drawing = Drawing(
        out=out,
        digest=model.digest,
        request=request,
        n=plan.n,
        seed=config.seed,
        size=config.image_size,
        vocabulary=model.spec.vocabulary if isinstance(model, SamplerPlan) else {},
        asked=plan.asked,
        declared=plan.declared,
    )
    drawer = model.open(seed=config.seed, device=options.device)
    draw_chunks(drawer, drawing, batch_size=options.batch_size, progress=progress)
    cohort = _create(
        plan, out, drawn_rows(drawing), model.digest, request, drawer.versions, force=force
    )
    remove_leftovers(out)
    notes = [*plan.notes, *drawer.notes]
    if config.image_size > max(model.image_size):
        notes.append(Note("enlarged", "smaller than the stored size, enlarged", plan.n))
    return WrapResult(cohort=cohort, kind=plan.source.kind, notes=tuple(notes))


def _create(
    plan: WrapPlan,
    out: Path,
    rows: Iterable[Row],
    digest: str,
    request: Mapping[str, Any],
    versions: Mapping[str, str],
    *,
    force: bool,
) -> Cohort:
    return Cohort.create(
        out,
        rows,
        kind="synthetic",
        image_size=plan.config.image_size,
        vocabulary=plan.vocabulary,
        provenance={
            "verb": "wrap",
            "source": plan.source.kind,
            "generator": digest,
            "request": dict(request),
            "trained_on": plan.trained_on,
            "geometry": "letterbox",
            "resampling": _RESAMPLING,
            "versions": {"numpy": np.__version__, "pillow": PIL.__version__, **versions},
        },
        force=force,
    )
