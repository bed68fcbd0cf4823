"""``--finish``, which ends a training early."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Finish"]

Finish = Annotated[
    bool,
    typer.Option(
        "--finish",
        help="Take no more steps: keep the averaged weights that a stopped run has.",
    ),
]
