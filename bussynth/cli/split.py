"""``bussynth split``: the recorded lottery."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb
from bussynth.cohort.split_config import SplitConfig

__all__ = ["split"]


@verb("split", config=SplitConfig, dry_run=True, force=True)
def split(
    cohort: Annotated[Path, typer.Argument(help="The cohort.")],
    config: SplitConfig,
    run: Run,
) -> Outcome:
    """Draw each patient for training, control or test, and record the draw.

    Do this before training: an audit is valid only because the same lottery drew the
    patients the model learned from and those it never saw.

    Example: bussynth split cohort --control 0.2 --test 0.2
    """
    from bussynth.cohort.cohort import Cohort
    from bussynth.cohort.split import check_split, split_cohort

    if run.dry_run:
        notes = check_split(Cohort.open(cohort), config, force=run.force)
        return Outcome(
            data={"cohort": str(cohort), "notes": notes},
            text=f"{cohort} can be split.",
            notes=tuple(notes),
        )
    result = split_cohort(cohort, config, force=run.force, progress=run.progress)
    lines = [
        f"{name:<8} {result.patients.get(name, 0):>7} patients "
        f"{result.images.get(name, 0):>8} images"
        for name in ("train", "control", "test")
    ]
    return Outcome(data=result.to_dict(), text="\n".join(lines), notes=result.notes)
