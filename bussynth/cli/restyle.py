"""``bussynth restyle``: device transfer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb
from bussynth.generator.restyle_config import RestyleConfig

__all__ = ["restyle"]

_PERSONAL = (
    "The images show the findings of the patients they were made from: they are personal data "
    "like those, and no synthetic images."
)


@verb("restyle", config=RestyleConfig, dry_run=True, force=True, speed=["device", "batch_size"])
def restyle(
    cohort: Annotated[Path, typer.Argument(help="A real or phantom cohort.")],
    model: Annotated[str, typer.Option(help="Folder of a model or an adapter, or builtin:NAME.")],
    out: Annotated[Path, typer.Option(help="Folder of the new cohort.")],
    config: RestyleConfig,
    run: Run,
    base: Annotated[
        str | None,
        typer.Option(help="Of an adapter: its base, if that is not built in.", show_default=False),
    ] = None,
) -> Outcome:
    """Render images as another scanner would have drawn them.

    Lesion, box, mask, patient and split stay, so the new cohort trains what the old one
    trains. Derived images of patients are personal data: they are marked, and export
    refuses them.

    Example: bussynth restyle cohort --model model --to-device B --split train --out as-b
    """
    from bussynth.cohort.cohort import Cohort
    from bussynth.generator.generator import Generator
    from bussynth.generator.restyle import check_restyle, restyle_cohort

    opened = Cohort.open(cohort)
    generator = Generator.load(model, "cpu" if run.dry_run else run.options.device, base)
    plan = check_restyle(opened, generator, out, config, force=run.force)
    if run.dry_run:
        text = f"{plan.images} images of {len(plan.source)} can be made into {out}."
        return Outcome(data=plan.to_dict(), text=text, notes=plan.notes)
    made = restyle_cohort(
        opened,
        generator,
        out,
        config,
        batch_size=run.options.batch_size,
        progress=run.progress,
        force=run.force,
    )
    personal = (_PERSONAL,) if made.kind == "real" else ()
    return Outcome(
        data={"cohort": str(out), "digest": made.digest, "derived": made.derived, **made.counts},
        text=f"{len(made)} images in {out}, derived from {len(plan.source)} of {cohort}",
        notes=(*plan.notes, *personal),
    )
