"""``bussynth generate``: draw a synthetic cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb
from bussynth.generator.config import GenerateConfig

__all__ = ["generate"]

_SPEED = ["workers", "device", "batch_size"]


@verb("generate", config=GenerateConfig, dry_run=True, force=True, speed=_SPEED)
def generate(
    model: Annotated[str, typer.Argument(help="Folder of a model or an adapter, or builtin:NAME.")],
    out: Annotated[Path, typer.Option(help="Folder of the synthetic cohort.")],
    config: GenerateConfig,
    run: Run,
    base: Annotated[
        str | None,
        typer.Option(help="Of an adapter: its base, if that is not built in.", show_default=False),
    ] = None,
    real: Annotated[
        Path | None,
        typer.Option(help="For a guard: cohort the model was trained on.", show_default=False),
    ] = None,
) -> Outcome:
    """Draw a synthetic cohort from a generator.

    Image i depends on the seed and on i alone, whatever the batch size or the number of
    workers. A run that was stopped goes on when the same command is given again.

    Example: bussynth generate model --out synthetic -n 1000 --condition pathology=malignant
    """
    from bussynth.cohort.cohort import Cohort
    from bussynth.generator.generate import check_generate, generate_cohort
    from bussynth.generator.protection import guard_notes

    opened = None if real is None else Cohort.open(real)
    if run.dry_run:
        from bussynth.generator.generator import Generator

        loaded = Generator.load(model, "cpu", base)
        check_generate(loaded, out, config, real=opened, options=run.options, force=run.force)
        text = f"{config.n} images can be generated into {out}."
        return Outcome(data=config.to_dict(), text=text)
    cohort = generate_cohort(
        model,
        out,
        config,
        base=base,
        real=opened,
        options=run.options,
        progress=run.progress,
        force=run.force,
    )
    guard = cohort.provenance.get("guard")
    text = f"{cohort.counts['images']} synthetic images in {out}"
    if guard is not None:
        text += f"; {guard['rejected']} draws rejected, {guard['left_out']} images left out"
    return Outcome(
        data={"cohort": str(out), "digest": cohort.digest, "guard": guard, **cohort.counts},
        text=text,
        notes=() if guard is None else guard_notes(guard),
    )
