"""``bussynth demo``: the whole road on simulated images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb
from bussynth.demo_config import DemoConfig

__all__ = ["demo"]


@verb("demo", config=DemoConfig, force=True, speed=["workers", "device"])
def demo(
    config: DemoConfig,
    run: Run,
    out: Annotated[Path, typer.Option(help="Folder of everything the demo makes.")] = Path(
        "bussynth-demo"
    ),
) -> Outcome:
    """Walk the whole road on phantoms: no data needed, about three minutes on two cores.

    phantom, split, train, generate, audit, export, verify, load.

    Example: bussynth demo --out bussynth-demo
    """
    from bussynth.cli.console import warn
    from bussynth.demo import run_demo

    result = run_demo(
        out,
        config,
        options=run.options,
        progress=run.progress,
        force=run.force,
        say=warn,
    )
    return Outcome(data=result.to_dict(), text=result.to_text())
