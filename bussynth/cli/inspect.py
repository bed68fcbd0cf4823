"""``bussynth inspect``: say what a folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb

__all__ = ["inspect"]


@verb("inspect", force=True)
def inspect(
    path: Annotated[Path, typer.Argument(help="A cohort, a model or a package.")],
    run: Run,
    grid: Annotated[
        Path | None, typer.Option(help="Also draw a grid of images into this PNG file.")
    ] = None,
) -> Outcome:
    """Say what a cohort, a model or a package holds.

    A package is described as it describes itself; only `bussynth verify` checks it.

    Example: bussynth inspect cohort --grid cohort.png
    """
    from bussynth.errors import UsageError
    from bussynth.inspection import inspect_folder

    data = inspect_folder(path)
    notes = tuple(data.pop("notes", ()))
    if grid is not None:
        from bussynth import atomic
        from bussynth.cohort.cohort import Cohort
        from bussynth.grid import draw_grid, first_rows

        if grid.exists() and not run.force:
            raise UsageError(f"{grid} exists; choose another name, or use --force.")
        atomic.write_bytes(grid, draw_grid(first_rows(Cohort.open(path), 32)))
        data["grid"] = str(grid)
    return Outcome(data=data, text=_lines(data), notes=notes)


def _lines(data: dict[str, object], indent: str = "") -> str:
    lines = []
    for key, value in data.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}:", _lines(value, indent + "  ")]
        else:
            lines.append(f"{indent}{key}: {value}")
    return "\n".join(line for line in lines if line)
