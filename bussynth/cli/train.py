"""``bussynth train``: fit a generator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.finish import Finish
from bussynth.cli.private import outcome_words, plan_words
from bussynth.cli.verb import Outcome, Run, verb
from bussynth.generator.config import TrainConfig

__all__ = ["train"]


@verb("train", config=TrainConfig, dry_run=True, force=True, speed=["device"])
def train(
    cohort: Annotated[Path, typer.Argument(help="A cohort that was split.")],
    out: Annotated[Path, typer.Option(help="Folder of the model.")],
    config: TrainConfig,
    run: Run,
    finish: Finish = False,
) -> Outcome:
    """Train a generator on the training patients of a cohort.

    A run that was stopped goes on when the same command is given again.

    Example: bussynth train cohort --out model --preset small-64
    """
    from bussynth.cohort.cohort import Cohort
    from bussynth.generator.generator import Generator
    from bussynth.generator.plan import check_train

    opened = Cohort.open(cohort)
    if run.dry_run:
        plan = check_train(opened, out, config, options=run.options, force=run.force, finish=finish)
        data = plan.to_dict()
        return Outcome(
            data=data,
            text=f"{data['config']['preset']}: {plan.parameters / 1e6:.2f} million parameters, "
            f"{plan.images} training images, about {plan.memory_mib} MiB, on {plan.device}; "
            f"{plan.state}.{plan_words(plan.private)}",
        )
    model = Generator.train(
        opened,
        out,
        config,
        options=run.options,
        progress=run.progress,
        force=run.force,
        finish=finish,
    )
    record = dict(model.training)
    return Outcome(
        data={"model": str(out), "digest": model.digest, "training": record},
        text=f"Model in {out}: {outcome_words(record)}",
    )
