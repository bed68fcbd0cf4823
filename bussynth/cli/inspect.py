"""``bussynth inspect``: say what a folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bussynth.cli.verb import Outcome, Run, verb

__all__ = ["inspect"]


@verb("inspect", force=True)
def inspect(
    path: Annotated[
        Path, typer.Argument(help="A cohort, a model, an adapter or a package; or builtin:NAME.")
    ],
    run: Run,
    grid: Annotated[
        Path | None, typer.Option(help="Also draw a contact sheet into this PNG file.")
    ] = None,
    beside: Annotated[
        Path | None, typer.Option(help="With --grid: another cohort, drawn on the left.")
    ] = None,
) -> Outcome:
    """Say what a cohort, a model, an adapter or a package holds.

    A package is described as it describes itself; only `bussynth verify` checks it. A
    contact sheet of a real cohort shows patients: keep it where the cohort is kept.

    Example: bussynth inspect synthetic --grid samples.png
    """
    from bussynth.errors import UsageError
    from bussynth.inspection import inspect_folder

    if beside is not None and grid is None:
        raise UsageError("--beside needs --grid, the file to draw into.")
    if grid is not None and grid.suffix.lower() != ".png":
        raise UsageError(f"--grid draws a PNG file; give {grid} the ending .png.")
    if grid is not None and grid.exists() and not run.force:
        raise UsageError(f"{grid} exists; choose another name, or use --force.")
    data = inspect_folder(path)
    notes = tuple(data.pop("notes", ()))
    if grid is not None:
        from bussynth import atomic
        from bussynth.cohort.cohort import Cohort
        from bussynth.grid import draw_grid, draw_pair, first_rows

        rows = first_rows(Cohort.open(path), 32)
        if beside is None:
            atomic.write_bytes(grid, draw_grid(rows))
        else:
            atomic.write_bytes(grid, draw_pair(first_rows(Cohort.open(beside), 32), rows))
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
