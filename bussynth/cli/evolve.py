"""``bussynth evolve``: Private Evolution."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.private import claim_words
from bussynth.cli.verb import Outcome, Run, verb
from bussynth.generator.evolution_config import EvolveConfig
from privacy.dp.rounding import rounded_up

__all__ = ["evolve"]


@verb("evolve", config=EvolveConfig, dry_run=True, force=True, speed=["device", "batch_size"])
def evolve(
    cohort: Annotated[Path, typer.Argument(help="The patients: a cohort that was split.")],
    out: Annotated[Path, typer.Option(help="Folder of the synthetic cohort.")],
    config: EvolveConfig,
    run: Run,
) -> Outcome:
    """Breed a synthetic cohort from a public generator by private votes of patients.

    Nothing is trained, and only noisy votes leave the patients: differential privacy for every
    patient, in minutes on a CPU. A run that was stopped goes on when the same command is given
    again.

    Example: bussynth evolve cohort --out synthetic -n 500 --dp-epsilon 8 --dp-patients 600
    """
    from bussynth.cohort.cohort import Cohort
    from bussynth.generator.evolution import check_evolve, evolve_cohort

    opened = Cohort.open(cohort)
    if run.dry_run:
        plan = check_evolve(opened, out, config, force=run.force)
        return Outcome(
            data={
                "epsilon": plan.epsilon(config.delta),
                "delta": config.delta,
                "rounds": plan.rounds,
                "candidates": list(plan.candidates),
                "noise_multiplier": plan.noise_multiplier,
            },
            text=f"{plan.rounds} rounds of votes on {sum(plan.candidates)} images; each vote count "
            f"has a noise of {plan.noise_multiplier:.3g} patients. Epsilon "
            f"{rounded_up(plan.epsilon(config.delta)):.3g} at delta {config.delta:.3g} for every "
            "patient, spent with the first round.",
        )
    made = evolve_cohort(
        opened, out, config, options=run.options, progress=run.progress, force=run.force
    )
    privacy = made.provenance["privacy"]
    return Outcome(
        data={"cohort": str(out), "digest": made.digest, "privacy": privacy},
        text=f"{made.counts['images']} synthetic images in {out}; {claim_words(privacy)}",
    )
