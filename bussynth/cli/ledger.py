"""``bussynth ledger``: what was spent of the privacy of a cohort's patients."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb
from privacy.dp.rounding import rounded_up

__all__ = ["ledger"]


@verb("ledger")
def ledger(
    cohort: Annotated[Path, typer.Argument(help="A real cohort, or one of phantoms.")],
    run: Run,
    close_idle: Annotated[
        bool,
        typer.Option(
            "--close-idle", help="Give back what is reserved for plans that took no step."
        ),
    ] = False,
) -> Outcome:
    """Show what private trainings have spent on a cohort, and what is left.

    The ledger is checked from end to end first. It stays at the site. With --close-idle, plans that
    never began are closed; a run that was about to begin one cannot any more.

    Example: bussynth ledger cohort
    """
    from bussynth.cohort.cohort import Cohort
    from bussynth.generator.private_plan import open_ledger

    found = open_ledger(Cohort.open(cohort))
    closed = found.close_idle() if close_idle else ()
    cap, spent = found.cap, found.spent()
    lines = [*(f"Closed and given back: {purpose}." for purpose in closed)]
    lines += [
        f"Spent: epsilon {rounded_up(spent.epsilon):.3g} of {cap.epsilon:g} at delta "
        f"{rounded_up(cap.delta):.3g}, for at most about {cap.patients:,} patients."
    ]
    for one in found.registered():
        if one.begun:
            cost = "spent and closed" if one.closed else "spent"
        else:
            cost = "given back" if one.closed else "reserved"
        lines.append(
            f"  {one.purpose}: noise {one.mechanism.noise_multiplier:g}, chance "
            f"{one.mechanism.sampling_rate:.3g}, {one.taken:,} of {one.mechanism.steps:,} "
            f"steps taken, {cost}"
        )
    return Outcome(data=found.to_dict(), text="\n".join(lines))
