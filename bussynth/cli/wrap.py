"""``bussynth wrap``: images of a generator made elsewhere become a synthetic cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb
from bussynth.wrapping.config import WrapConfig

__all__ = ["wrap"]


@verb(
    "wrap",
    config=WrapConfig,
    dry_run=True,
    force=True,
    speed=["workers", "device", "batch_size"],
)
def wrap(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder of images, pipeline folder of diffusers, or sampler (.pt, .ts, .onnx)."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the synthetic cohort.")],
    config: WrapConfig,
    run: Run,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="CSV table of finished images: file, conditions, and x0, y0, x1, y1.",
            show_default="metadata.csv or metadata.jsonl in the folder",
        ),
    ] = None,
    trained_on: Annotated[
        Path | None,
        typer.Option(help="Cohort that the generator learned from, for audits to check."),
    ] = None,
) -> Outcome:
    """Make a synthetic cohort from images or a generator that come from elsewhere.

    A sampler is a TorchScript or ONNX file with a sampler.json beside it, which holds schema
    ("bussynth-sampler/1"), image_size [H, W], noise_shape [c, h, w] and vocabulary {column:
    [values]}. It turns noise (float32 n, c, h, w) and conditions (int64 n, columns, in
    alphabetical order; 0 is not stated, values count from 1; no such input if the vocabulary is
    empty) into float32 n, 1, H, W in [0, 1]. Opening it runs it: use files you trust.

    Example: bussynth wrap images --labels labels.csv --trained-on cohort --out synthetic
    """
    from bussynth.wrapping.check import check_wrap
    from bussynth.wrapping.cohort import wrap_source

    if run.dry_run:
        plan = check_wrap(
            source,
            out,
            config,
            labels=labels,
            trained_on=trained_on,
            options=run.options,
            progress=run.progress,
            force=run.force,
        )
        return Outcome(
            data=plan.to_dict(),
            text=f"{plan.n} images ({plan.source.kind}) can be wrapped into {out}.",
            notes=tuple(str(note) for note in plan.notes),
        )
    result = wrap_source(
        source,
        out,
        config,
        labels=labels,
        trained_on=trained_on,
        options=run.options,
        progress=run.progress,
        force=run.force,
    )
    data = result.to_dict()
    return Outcome(
        data=data,
        text=f"{data['images']} synthetic images in {out}",
        notes=tuple(str(note) for note in result.notes),
    )
