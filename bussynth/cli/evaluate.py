"""``bussynth evaluate``: are conditions obeyed, and do the images look like real ones?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb
from bussynth.quality.config import EvaluateConfig

__all__ = ["evaluate"]


@verb("evaluate", config=EvaluateConfig, dry_run=True, force=True, speed=["workers"])
def evaluate(
    synthetic: Annotated[Path, typer.Argument(help="The synthetic cohort.")],
    real: Annotated[
        Path, typer.Option(help="Real or phantom cohort whose train and test patients to use.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of evaluation.json and evaluation.md.")],
    config: EvaluateConfig,
    run: Run,
) -> Outcome:
    """Measure whether synthetic images show what was requested, and how real they look.

    Networks that learned from real training patients recognise the conditions and find the
    lesions, in synthetic images and in those of real test patients beside them.

    This is a look at held-out real patients. Under a formal-dp claim it may not accompany a
    package: keep the folder at the site unless the claim is empirically-audited.

    Example: bussynth evaluate synthetic --real cohort --out evaluation
    """
    from bussynth.quality.evaluate import check_evaluate
    from bussynth.quality.evaluate import evaluate as measure

    if run.dry_run:
        notes = check_evaluate(synthetic, real, out, config=config, force=run.force)
        return Outcome(
            data={"notes": notes}, text="The images can be evaluated.", notes=tuple(notes)
        )
    evaluation = measure(
        synthetic,
        real,
        out,
        config=config,
        options=run.options,
        progress=run.progress,
        force=run.force,
    )
    return Outcome(
        data={"out": str(out), **evaluation.to_dict()},
        text=f"{evaluation.to_text()}\n\nevaluation  {out / 'evaluation.md'}",
    )
