"""The application: its verbs in the order of the road from patients to a package."""

from __future__ import annotations

from typing import Annotated

import typer

from bussynth import __version__
from bussynth.cli import (  # noqa: F401  (each module registers its verb)
    adapt,
    audit,
    card,
    deidentify,
    demo,
    doctor,
    evaluate,
    evolve,
    export,
    generate,
    ingest,
    inspect,
    keygen,
    ledger,
    phantom,
    report,
    restyle,
    review,
    split,
    train,
    verify,
    wrap,
)
from bussynth.cli.verb import VERBS

__all__ = ["ORDER", "app"]

ORDER = (
    "demo",
    "doctor",
    "phantom",
    "deidentify",
    "ingest",
    "review",
    "split",
    "inspect",
    "train",
    "adapt",
    "generate",
    "evolve",
    "restyle",
    "wrap",
    "evaluate",
    "audit",
    "card",
    "report",
    "ledger",
    "keygen",
    "export",
    "verify",
)

app = typer.Typer(
    name="bussynth",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"bussynth {__version__}")
        raise typer.Exit


@app.callback()
def bussynth(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Share breast-ultrasound images without sharing patients.

    From a hospital's images to a synthetic cohort with an audit and a signature:
    ingest, split, train, generate, audit, export; verify and load at the other end.

    Exit codes: 0 ok, 1 bug, 2 usage, 3 data refused, 4 audit gate failed,
    5 integrity failed, 130 interrupted.
    """


for _name in sorted(VERBS, key=ORDER.index):
    app.command(_name)(VERBS[_name][0])
