"""``bussynth phantom``: simulate a cohort."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb
from bussynth.cohort.phantom.config import PhantomConfig

__all__ = ["phantom"]


@verb("phantom", config=PhantomConfig, dry_run=True, force=True, speed=["workers"])
def phantom(
    out: Annotated[Path, typer.Argument(help="Folder of the new cohort.")],
    config: PhantomConfig,
    run: Run,
) -> Outcome:
    """Simulate a cohort of phantoms: ultrasound images that belong to no patient.

    Example: bussynth phantom phantoms --patients 500 --image-size 64 --seed 1
    """
    from bussynth.cohort.cohort import Cohort

    Cohort.check_place(out, "phantom", force=run.force)
    if run.dry_run:
        return Outcome(data=config.to_dict(), text=f"{out} can be written.")
    from bussynth.cohort.phantom.cohort import write_phantom_cohort

    cohort = write_phantom_cohort(
        out, config, options=run.options, progress=run.progress, force=run.force
    )
    return Outcome(
        data={"cohort": str(out), "digest": cohort.digest, **cohort.counts},
        text=f"{cohort.counts['images']} images of {cohort.counts['patients']} simulated "
        f"patients in {out}",
    )
