"""``bussynth doctor``: is everything there, and can this network be trained privately?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb
from bussynth.doctor.config import DoctorConfig

__all__ = ["doctor"]


@verb("doctor", config=DoctorConfig, speed=["device"])
def doctor(
    config: DoctorConfig,
    run: Run,
    place: Annotated[Path, typer.Argument(help="Folder that is to be written to.")] = Path(),
    dp: Annotated[
        bool,
        typer.Option(
            "--dp",
            help="Also check the network of a private training: what adapt would train with "
            "--dp-epsilon, or train if a preset is given. It looks at no cohort.",
        ),
    ] = False,
) -> Outcome:
    """Check the installation, and what a private training rests on.

    A line for each finding: ok, warning, or problem with a remedy. The exit code is 0 without a
    problem, else that of the first. Nothing is looked up on the network.

    Example: bussynth doctor --dp --base builtin:busbra-64
    """
    from bussynth.doctor.environment import look_at_environment
    from bussynth.doctor.finding import exit_code, table
    from bussynth.errors import UsageError

    if not dp and config != DoctorConfig():
        raise UsageError("These settings are of the network to check; add --dp.")
    found = look_at_environment(place)
    data = {"environment": [one.to_dict() for one in found], "private_training": None}
    text = table(found)
    if dp:
        from bussynth.doctor.private import look_at_private_training

        checks = look_at_private_training(config, run.options.device, run.progress)
        data["private_training"] = [one.to_dict() for one in checks]
        text += f"\n\nPrivate training\n{table(checks)}"
        found += checks
    return Outcome(data=data, text=text, exit_code=exit_code(found))
