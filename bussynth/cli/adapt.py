"""``bussynth adapt``: fit an adapter to a base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.finish import Finish
from bussynth.cli.private import outcome_words, plan_words
from bussynth.cli.verb import Outcome, Run, verb
from bussynth.generator.config import AdaptConfig

__all__ = ["adapt"]


@verb("adapt", config=AdaptConfig, dry_run=True, force=True, speed=["device"])
def adapt(
    cohort: Annotated[Path, typer.Argument(help="A cohort that was split.")],
    out: Annotated[Path, typer.Option(help="Folder of the adapter.")],
    config: AdaptConfig,
    run: Run,
    finish: Finish = False,
) -> Outcome:
    """Fit a small adapter of a ready-made base to the training patients of a cohort.

    The base stays as it is; new labels and devices are learned. A run that was stopped goes on
    when the same command is given again.

    Example: bussynth adapt cohort --base builtin:phantom-64 --out adapter --rank 8
    """
    from bussynth.cohort.cohort import Cohort
    from bussynth.generator.generator import Generator
    from bussynth.generator.lora import targets_words
    from bussynth.generator.plan import check_adapt

    opened = Cohort.open(cohort)
    if run.dry_run:
        plan = check_adapt(opened, out, config, options=run.options, force=run.force, finish=finish)
        trained = targets_words(getattr(plan.config, "targets", ()), config.rank)
        return Outcome(
            data=plan.to_dict(),
            text=f"Trains {trained} of a network of {plan.parameters / 1e6:.2f} "
            f"million parameters, {plan.config.steps or 'any number of'} steps at a learning rate "
            f"of {plan.config.learning_rate:g}; {plan.images} training images, about "
            f"{plan.memory_mib} MiB, on {plan.device}; an adapter file of about "
            f"{plan.file_bytes / 1e6:.2f} MB; {plan.state}.{plan_words(plan.private)}",
        )
    model = Generator.adapt(
        opened,
        out,
        config,
        options=run.options,
        progress=run.progress,
        force=run.force,
        finish=finish,
    )
    record = dict(model.training)
    size = sum(path.stat().st_size for path in out.iterdir()) / 1e6
    return Outcome(
        data={"adapter": str(out), "digest": model.digest, "training": record},
        text=f"Adapter in {out} ({size:.1f} MB, {record['trained_parameters']:,} parameters): "
        f"{outcome_words(record)}",
    )
